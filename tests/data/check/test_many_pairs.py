"""Sets that are larger than a block: memory does not grow with them, and what they tell is what few pairs tell."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.pairs import Scene, finding
from tgkt_edge.data.check import survey
from tgkt_edge.data.check.belonging import blocks, stretches
from tgkt_edge.data.check.check import check_data
from tgkt_edge.data.check.copies import nearly_equal


def boxes(count: int, seed: int) -> list[Scene]:
    """Boxes before a wall, seen alike by both cameras: no two pairs are alike."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        depth = np.full((48, 64), 5000, np.uint16)
        rgb = np.full((48, 64, 3), 90, np.uint8)
        for _ in range(6):
            x, y, w, h = (
                int(random.integers(low, high)) for low, high in ((0, 50), (0, 36), (6, 24), (6, 20))
            )
            cv2.rectangle(depth, (x, y), (x + w, y + h), int(random.integers(800, 4500)), -1)
            cv2.rectangle(rgb, (x, y), (x + w, y + h), random.integers(0, 256, 3).tolist(), -1)
        found.append((rgb, depth))
    return found


@pytest.fixture
def few_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The alignment takes the most time, on a number of pairs that does not grow."""
    monkeypatch.setattr(survey, "LOOKED_AT", 6)


@pytest.mark.slow
@pytest.mark.usefixtures("few_aligned")
def test_memory_does_not_grow_with_the_pairs(write: Callable[..., Path]) -> None:
    few, many = write(boxes(60, 1), "few"), write(boxes(240, 2), "many")
    peaks = []
    for folder in (few, few, many):  # the first loads libraries
        tracemalloc.start()
        report = check_data(folder, "depth")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert finding(report, "belonging").state == "ok", report.text()
        assert finding(report, "files").state == "ok"
    # Pictures of a pair take 150 KB, and edges of up to 200 pairs are held at a time.
    assert peaks[2] - peaks[1] < 180 * 25_000


@pytest.mark.slow
@pytest.mark.usefixtures("few_aligned")
def test_of_many_pairs_those_that_are_wrong_are_named_and_a_list_that_slipped_is_seen(
    write: Callable[..., Path],
) -> None:
    good = boxes(240, 3)
    good[5], good[200] = (good[5][0], good[200][1]), (good[200][0], good[5][1])
    folder = write(good)
    (folder / "frame/007.png").write_bytes(b"no picture")
    report = check_data(folder, "depth")
    assert {"005", "200"} <= {Path(name).stem for name in finding(report, "belonging").names}
    assert finding(report, "files").figures == {"bad": 1}
    slipped = [(good[i][0], good[i - 2][1]) for i in range(10, 240)]
    found = finding(check_data(write(slipped, "slipped"), "depth"), "belonging")
    assert found.figures["step"] == 2


def test_every_pair_is_in_one_block_and_stretches_are_neighbors() -> None:
    for count in (1, 5, 48, 49, 1000):
        assert sorted(np.concatenate(blocks(count)).tolist()) == list(range(count))
        assert all(len(block) <= 72 for block in blocks(count))
    assert stretches(200) == [range(200)]
    runs = stretches(5000)
    assert runs[0][0] == 0
    assert runs[-1][-1] == 4999
    assert sum(map(len, runs)) == 200


@pytest.mark.slow
def test_copies_among_many_are_found_without_comparing_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20000 scenes with a copy of each tenth, and of a camera that stands still: some comparisons a frame."""
    random = np.random.default_rng(0)
    coarse = random.random((20_000, 4, 4)).astype(np.float32)
    thumbs = np.repeat(np.repeat(coarse, 4, 1), 4, 2).reshape(-1, 256)
    copies = thumbs[::10] + random.normal(0, 0.004, (2000, 256)).astype(np.float32)
    compared = 0
    mean = np.abs

    def count(values: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(values)
        return np.asarray(mean(values))

    monkeypatch.setattr("tgkt_edge.data.check.copies.np.abs", count)
    found = nearly_equal(np.concatenate([thumbs, copies]))
    assert found.tolist() == [False] * 20_000 + [True] * 2000
    assert compared < 22_000 * 200
    compared = 0
    still = thumbs[:1] + random.normal(0, 0.002, (5000, 256)).astype(np.float32)
    assert nearly_equal(still).tolist() == [False] + [True] * 4999
    assert compared < 5000 * 65
