"""Features: the same few views of every image, computed once, kept in files that are known by what they hold."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.errors import ConfigError, TgktEdgeError
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation import features as module
from tgkt_edge.train.methods.translation.features import (
    FRAME_LAYERS,
    RGB_LAYERS,
    WIDTH,
    Features,
    Kind,
    extract,
    fixed_views,
)
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, normalise
from tgkt_edge.train.nn.normals import surface_normals
from tgkt_edge.train.nn.ranks import Ranks

CPU = Compute(torch.device("cpu"), "fp32")
SIZE = 32


@pytest.fixture(scope="module")
def frames() -> Store:
    """Seven frames of noise, 37 pixels."""
    codes = np.random.default_rng(2).integers(0, 65536, (7, 37, 37), dtype=np.uint16)
    return Store(codes, torch.device("cpu"))


def features(
    network: SceneClassifier, images: Store, folder: Path, kind: Kind | None = None, batch: int = 4
) -> Features:
    kind = kind or Kind(FRAME_LAYERS, True, views=2)
    return extract("frames", network.backbone, images, kind, SIZE, batch, CPU, RunLog(None), folder)


def test_the_four_views_by_hand() -> None:
    views = fixed_views(np.array([5, 6]), 128, 112)
    assert [view.index.tolist() for view in views] == [[5, 6]] * 4
    assert [(view.top[0], view.left[1], bool(view.flip[0])) for view in views] == [
        (8, 8, False), (8, 8, True), (0, 0, False), (16, 16, True),
    ]  # fmt: skip
    assert len(fixed_views(np.array([0]), 128, 112, 1)) == 1


def test_a_row_is_what_the_network_pools_of_that_view(
    untrained: SceneClassifier, frames: Store, tmp_path: Path
) -> None:
    found = features(untrained, frames, tmp_path).rows(np.arange(7))
    assert found.shape == (7, 2, 512 + 1024 + 2048)
    for part in np.split(found, [512, 1536], axis=-1):
        np.testing.assert_allclose(np.linalg.norm(part, axis=-1), 1, rtol=1e-3)
    view = fixed_views(np.array([3]), 37, SIZE)[1]
    with torch.no_grad():
        pooled = untrained.backbone(normalise(frames.take(view, SIZE)))[0]  # (2048,)
    expected = (pooled / pooled.norm()).numpy()
    np.testing.assert_allclose(found[3, 1, 1536:], expected, atol=2e-4)  # kept in half precision


@pytest.mark.slow
def test_the_last_layer_of_several_is_that_layer_alone_bit_for_bit(
    untrained: SceneClassifier, frames: Store, tmp_path: Path
) -> None:
    several = features(untrained, frames, tmp_path)
    alone = features(untrained, frames, tmp_path, Kind(RGB_LAYERS, True, views=2))
    last = several.last(WIDTH)
    assert len(last) == 7
    np.testing.assert_array_equal(last.rows(np.arange(7)), alone.rows(np.arange(7)))
    assert all(block.flags.c_contiguous for _, block in last.blocks())


@pytest.mark.slow
def test_normals_and_plain_frames_are_told_apart(
    untrained: SceneClassifier, frames: Store, tmp_path: Path
) -> None:
    kind = Kind((4,), False, "normals", 1)
    found = features(untrained, frames, tmp_path, kind).rows(np.array([2]))[0, 0]
    x = surface_normals(frames.take(fixed_views(np.array([2]), 37, SIZE)[0], SIZE))
    with torch.no_grad():
        expected = untrained.backbone(normalise(x))[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    plain = features(untrained, frames, tmp_path, Kind((4,), False, "plain", 1)).rows(np.array([2]))[0, 0]
    assert np.abs(plain - found).max() > 0.01
    files = set(tmp_path.iterdir())
    at = [
        features(untrained, frames, tmp_path, Kind((4,), False, "relative normals", 1, offset)).rows(
            np.array([2])
        )
        for offset in (0.0, 0.5)
    ]
    assert len(set(tmp_path.iterdir()) - files) == 2  # where code 0 is, counts
    assert np.abs(at[0] - found).max() > 0.01
    assert np.abs(at[0] - at[1]).max() > 0.01


@pytest.mark.slow
def test_what_is_kept_is_not_computed_again(
    untrained: SceneClassifier, frames: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 3)
    whole = features(untrained, frames, tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert [(start, len(block)) for start, block in whole.blocks()] == [(0, 3), (3, 3), (6, 1)]
    before = {file: load_tensors(file)[0]["features"].clone() for file in files}

    def never(*args: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(module, "pooled_layers", never)
        again = features(untrained, frames, tmp_path)
    np.testing.assert_array_equal(again.rows(np.arange(7)), whole.rows(np.arange(7)))

    # A file that is gone and one that is damaged are computed again, to the same numbers; the third is left alone.
    files[0].unlink()
    damaged = bytearray(files[1].read_bytes())
    damaged[-9] ^= 1
    files[1].write_bytes(damaged)
    features(untrained, frames, tmp_path)
    assert sorted(tmp_path.iterdir()) == files
    assert all(torch.equal(load_tensors(file)[0]["features"], rows) for file, rows in before.items())


@pytest.mark.slow
def test_other_frames_weights_views_or_sizes_are_other_files(
    untrained: SceneClassifier, frames: Store, tmp_path: Path
) -> None:
    features(untrained, frames, tmp_path)
    other = SceneClassifier(2).eval()
    features(other, frames, tmp_path)
    features(untrained, Store(np.zeros((7, 37, 37), np.uint16), torch.device("cpu")), tmp_path)
    features(untrained, frames, tmp_path, Kind(FRAME_LAYERS, True, views=1))
    extract(
        "frames", untrained.backbone, frames, Kind(FRAME_LAYERS, True, views=2), 36, 4, CPU, RunLog(None), tmp_path
    )  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.slow
def test_rows_are_found_across_files(
    untrained: SceneClassifier, frames: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 2)
    found = features(untrained, frames, tmp_path)
    np.testing.assert_array_equal(found.rows(np.array([1, 2, 6])), found.rows(np.arange(7))[[1, 2, 6]])
    assert len(found) == 7


def test_a_rank_that_does_not_see_what_another_computed_says_so(
    untrained: SceneClassifier, frames: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as with a cache on each machine's own disk. The one file of seven frames is rank 0's to compute."""
    monkeypatch.setattr(Ranks, "wait", lambda ranks: None)  # rank 0 has come, with a folder of its own
    second = Compute(CPU.device, CPU.precision, ranks=Ranks(1, 2))
    kind = Kind(FRAME_LAYERS, True, views=2)
    words = (untrained.backbone, frames, kind, SIZE, 4)
    with pytest.raises(
        TgktEdgeError, match=f"{tmp_path}: rank 1 does not see there what another rank computed: `cache`"
    ):
        extract("frames", *words, second, RunLog(None), tmp_path)
    features(untrained, frames, tmp_path)
    assert len(extract("frames", *words, second, RunLog(None), tmp_path)) == 7


def test_one_more_view_than_there_are_is_refused() -> None:
    assert AdaptConfig().translation.views == 4
    with pytest.raises(ConfigError, match=r"translation\.views = 5: expected 1 to 4"):
        build_config(None, ["translation.views=5"])


def test_features_that_are_large_are_mapped_from_a_file_that_nobody_else_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = Features([tmp_path / "0.safetensors"], 5)
    small = features.scratch(3)
    assert not isinstance(small, np.memmap)
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    large = features.scratch(3)
    assert isinstance(large, np.memmap)
    for found in (small, large):
        found[:] = np.arange(15).reshape(5, 3)
        assert (found.shape, found.dtype) == ((5, 3), np.float16)
        np.testing.assert_array_equal(found, np.arange(15).reshape(5, 3))
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_features_is_found_before_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(TgktEdgeError, match=r"cannot take .* GiB for the features .* `resume=True`"):
            Features([tmp_path / "0.safetensors"], 5000).scratch(3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
