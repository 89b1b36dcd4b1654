"""Held-out pairs: which they are, that no stage sees them, and what each epoch answered."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.support.training import Tiny
from tgkt_edge.config import build_config
from tgkt_edge.data.loading import Pairs, load_pairs
from tgkt_edge.errors import ConfigError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.holdout import RUNS, held_out, split_pairs
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")


@pytest.mark.parametrize(
    ("count", "share", "runs", "pairs"),
    [
        (60, 0.1, 6, 6),  # epfl-6
        (635, 0.1, RUNS, 64),  # nyuv2-5: 16 runs of 4
        (200, 0.1, RUNS, 20),  # 4 runs of 2, 12 of 1
        (20, 0.1, 4, 4),  # a few at least,
        (10, 0.1, 3, 3),  # but no more than a third
        (2, 0.1, 0, 0),
        (40, 0.5, RUNS, 20),
        (60, 0.0, 0, 0),
    ],
)
def test_how_many_are_held_out(count: int, share: float, runs: int, pairs: int) -> None:
    for seed in range(20):
        held = held_out(count, share, seed)
        assert len(held) == runs
        indices = [int(i) for run in held for i in run]
        assert len(indices) == pairs
        assert indices == sorted(set(indices))
        assert all(0 <= i < count for i in indices)
        for run in held:  # neighbours
            assert list(run) == list(range(run[0], run[0] + len(run)))
        assert all(one[-1] < other[0] for one, other in itertools.pairwise(held))


def test_held_out_pairs_are_spread_and_follow_the_seed() -> None:
    one, again, other = (np.concatenate(held_out(60, 0.1, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert set(one) != set(other)
    # One from each stretch of ten: the scenes of a sorted list are all asked about.
    assert [int(i) // 10 for i in one] == [0, 1, 2, 3, 4, 5]
    # Every pair has its chance.
    assert {int(i) for seed in range(300) for run in held_out(60, 0.1, seed) for i in run} == set(range(60))


def test_splitting_loses_and_doubles_no_pair() -> None:
    codes = np.arange(20, dtype=np.uint16)[:, None, None]
    rgb = np.repeat(codes[..., None].astype(np.uint8), 3, axis=3)
    kept, held, runs = split_pairs(Pairs(rgb, codes, tuple(map(str, range(20)))), 0.25, 3)
    assert (len(kept), len(held), sum(runs)) == (15, 5, 5)
    assert sorted([*kept.names, *held.names], key=int) == [str(i) for i in range(20)]
    for part in (kept, held):  # rows stay together
        assert [str(code) for code in part.codes[:, 0, 0]] == list(part.names)
        assert [str(code) for code in part.rgb[:, 0, 0, 0]] == list(part.names)


def test_more_than_half_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"holdout = 0\.6: expected 0 to 0\.5"):
        build_config(None, ["holdout=0.6"])


def spoil(file: Path) -> None:
    image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert image is not None
    cv2.imwrite(str(file), image[::-1, ::-1])


def test_no_stage_sees_a_held_out_pair(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    """With the files of held-out pairs altered, weights stay the same to the last bit; with others, they do not."""
    config = tiny.config()
    _, held, _ = split_pairs(load_pairs(tiny.data / "paired", DEPTH, 37), config.holdout, config.seed)
    altered = {Path(name).stem for name in held.names}
    assert len(altered) == 3

    weights = {}
    for case, hit in (("held out", altered), ("trained on", None)):
        paired = tmp_path / case / "paired"
        shutil.copytree(tiny.data / "paired", paired)
        files = [file for file in sorted(paired.glob("*/*")) if hit is None or file.stem in hit]
        assert len(files) == (6 if hit else 20)
        for file in files:
            spoil(file)
        inputs = RunInputs(tiny.inputs.target, str(paired), source_model=str(finished.source))
        adapt(inputs, DEPTH, tmp_path / case / "run", config)
        run = Run(tmp_path / case / "run")
        weights[case] = {**load_tensors(run.translator)[0], **load_tensors(run.target)[0]}
    whole = {**load_tensors(finished.translator)[0], **load_tensors(finished.target)[0]}
    assert [name for name in whole if not torch.equal(whole[name], weights["held out"][name])] == []
    assert not all(torch.equal(whole[name], weights["trained on"][name]) for name in whole)


def test_every_epoch_keeps_its_answers(finished: Run) -> None:
    files = sorted((finished.path / "epochs").iterdir())
    assert [file.name for file in files] == ["tgkt-0.safetensors", "tgkt-1.safetensors"]
    for epoch, file in enumerate(files):
        tensors, about = load_tensors(file)
        assert (about["stage"], about["epochs"]) == ("tgkt", epoch)
        p = tensors["probabilities"]
        assert (p.shape, p.dtype) == ((12, 6), torch.float32)
        torch.testing.assert_close(p.sum(1), torch.ones(12))
    first, second = (load_tensors(file)[0]["probabilities"] for file in files)
    assert not torch.equal(first, second)
