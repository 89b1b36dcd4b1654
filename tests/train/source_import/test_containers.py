"""One model in all wrappings that training programs use; each gives the same network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.train.source_import.conftest import NAMES, saved, small_resnet
from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.source_import.header_keys import DIGEST, IMPORT
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source

State = dict[str, Tensor]


def prefixed(state: State, prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def imported(content: object, names: Path, folder: Path, suffix: str = ".pth") -> str:
    """Digest of the weights that came out."""
    file = folder / f"model{suffix}"
    if suffix == ".safetensors":
        save_file({k: v.clone() for k, v in content.items()}, file)  # type: ignore[attr-defined]
    else:
        saved(content, file)
    found = read_source(file, ImportOptions(names, size=64))
    return str(found.header.extra[IMPORT][DIGEST])


@pytest.fixture(scope="module")
def expected(state: State, module_folder: Callable[[str], Path]) -> str:
    folder = module_folder("plain")
    names = folder / "classes.txt"
    names.write_text("\n".join(NAMES))
    return imported(state, names, folder)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 90, "best_acc1": torch.tensor(0.7), "arch": "resnet18"},
        lambda s: {"model": s, "optimizer": {"state": {}, "param_groups": []}},
        lambda s: {"model_state_dict": s, "loss": 0.1},
        lambda s: {"state_dict_ema": s, "state_dict": {k: v * 0 for k, v in s.items()}},
        lambda s: {"model_ema": {"module": s}},
        lambda s: prefixed(s, "module."),
        lambda s: prefixed(s, "_orig_mod."),
        lambda s: prefixed(s, "_orig_mod.module."),
        lambda s: {"state_dict": prefixed(s, "model.")},
        lambda s: prefixed(s, "backbone."),
        lambda s: {"n_averaged": torch.tensor(5), **prefixed(s, "module.")},
        lambda s: {"state_dict": {**prefixed(s, "net."), "criterion.weight": torch.ones(5)}},
        lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
        lambda s: {**{f"backbone.{k}": v for k, v in s.items() if k[:3] != "fc."},
                   "head.fc.weight": s["fc.weight"], "head.fc.bias": s["fc.bias"]},
        lambda s: {**{k: v for k, v in s.items() if k[:3] != "fc."}, "fc.1.weight": s["fc.weight"], "fc.1.bias":
        s["fc.bias"]},
    ],
)  # fmt: skip
@pytest.mark.slow
def test_wrapped(wrap: Any, state: State, expected: str, names: Path, tmp_path: Path) -> None:
    assert imported(wrap(state), names, tmp_path) == expected


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".pth.tar", ".safetensors"])
def test_suffixes(suffix: str, state: State, expected: str, names: Path, tmp_path: Path) -> None:
    assert imported(state, names, tmp_path, suffix) == expected


def test_files_of_old_torch(state: State, expected: str, names: Path, tmp_path: Path) -> None:
    """Before 1.6 torch.save wrote no zip archive."""
    file = tmp_path / "old.pth.tar"
    torch.save({"state_dict": prefixed(state, "module.")}, file, _use_new_zipfile_serialization=False)
    found = read_source(file, ImportOptions(names, size=64))
    assert found.header.extra[IMPORT][DIGEST] == expected


def test_half_precision_is_said(state: State, names: Path, tmp_path: Path) -> None:
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    found = read_source(saved(half, tmp_path / "half.pth"), ImportOptions(names, size=64))
    assert "  float16 tensors as float32" in found.lines
    assert all(t.dtype != torch.float16 for t in found.model.state_dict().values())


@pytest.mark.slow
def test_a_weight_normed_classifier_by_old_and_new_names(names: Path, tmp_path: Path) -> None:
    network = small_resnet()
    plain = imported(network.state_dict(), names, tmp_path)
    network.fc = parametrizations.weight_norm(network.fc)
    new = dict(network.state_dict())
    old = {
        {
            "fc.parametrizations.weight.original0": "fc.weight_g",
            "fc.parametrizations.weight.original1": "fc.weight_v",
        }.get(k, k): v
        for k, v in new.items()
    }
    assert set(old) - set(new) == {"fc.weight_g", "fc.weight_v"}
    with torch.no_grad():
        torch.testing.assert_close(
            torch._weight_norm(old["fc.weight_v"], old["fc.weight_g"], 0), network.fc.weight
        )
    assert imported(new, names, tmp_path) == imported(old, names, tmp_path)
    assert plain  # the same up to rounding; the proof in the header is what compares


class Secret:
    """Something that only the program that wrote it knows."""


@pytest.mark.slow
def test_a_pickle_of_more_than_tensors_is_refused_with_what_converts_it(
    names: Path, tmp_path: Path, state: State
) -> None:
    network = small_resnet()
    file = saved(network, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match="cannot be loaded as tensors alone") as caught:
        read_source(file, ImportOptions(names))
    # The advice works where the file comes from.
    text = str(caught.value)
    script = text[text.index('python -c "') + len('python -c "') : -1]
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)
    found = read_source(tmp_path / "whole.safetensors", ImportOptions(names, size=64))
    assert found.header.classes == NAMES
    assert all(
        torch.equal(found.model.state_dict()[f"backbone.network.{k}"], v)
        for k, v in state.items()
        if not k.startswith("fc.")
    )


def test_no_pickle_is_run(names: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (mark,))

    file = saved({"state_dict": {"conv1.weight": Attack()}}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="cannot be loaded as tensors alone"):
        read_source(file, ImportOptions(names))
    assert not mark.exists()


def test_what_holds_no_model_is_refused(names: Path, tmp_path: Path) -> None:
    for content, words in (
        ({"epoch": 3, "lr": 0.1}, r"holds no tensors of a model .*'epoch': int"),
        ([1, 2, 3], "holds list, expected the state dict"),
    ):
        with pytest.raises(CheckpointError, match=words):
            read_source(saved(content, tmp_path / "x.pth"), ImportOptions(names))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "x.pth").read_bytes()[:40])
    with pytest.raises(CheckpointError, match=r"cut\.pth: expected a classifier: .* cut off"):
        read_source(tmp_path / "cut.pth", ImportOptions(names))


def shot_files(folder: Path, used_norm: bool = True) -> Any:
    """SHOT's three files of a ResNet-18, and the network that they are together."""
    network = small_resnet()
    torch.manual_seed(1)
    bottleneck, norm, fc = nn.Linear(512, 256), nn.BatchNorm1d(256), nn.Linear(256, len(NAMES))
    if used_norm:
        with torch.no_grad():
            norm.train()(torch.randn(64, 256) * 3 + 1)
    normed = parametrizations.weight_norm(fc)
    parts = {
        "source_F.pt": {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")},
        "source_B.pt": {
            **{f"bn.{k}": v for k, v in norm.state_dict().items()},
            **{f"bottleneck.{k}": v for k, v in bottleneck.state_dict().items()},
        },
        "source_C.pt": {
            "fc.bias": normed.bias,
            "fc.weight_g": normed.parametrizations.weight.original0,
            "fc.weight_v": normed.parametrizations.weight.original1,
        },
    }
    for name, part in parts.items():
        saved({k: v.detach() for k, v in part.items()}, folder / name)
    network.fc = nn.Sequential(bottleneck, norm if used_norm else nn.Identity(), normed)
    network.eval()
    return network


@pytest.mark.parametrize("used_norm", [True, False])
@pytest.mark.parametrize("whole_folder", [True, False])
@pytest.mark.slow
def test_shot(used_norm: bool, whole_folder: bool, names: Path, tmp_path: Path) -> None:
    """Old weight norm names; a batch norm that saw no batch was not used (SHOT's --classifier ori)."""
    from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD, normalise

    network = shot_files(tmp_path, used_norm)
    file = tmp_path if whole_folder else tmp_path / "source_F.pt"
    found = read_source(file, ImportOptions(names, size=64))
    assert "resnet18 with SHOT's bottleneck of 256, 5 classes" in found.lines[0]
    x = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        own = (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
        torch.testing.assert_close(found.model(normalise(x)), network(own), rtol=1e-3, atol=1e-3)


def test_shot_with_a_part_missing(names: Path, tmp_path: Path) -> None:
    shot_files(tmp_path)
    (tmp_path / "source_B.pt").unlink()
    with pytest.raises(CheckpointError, match=r"beside it there is no source_B\.pt"):
        read_source(tmp_path / "source_F.pt", ImportOptions(names))
