"""What ``adapt`` notes of pairs and target frames that are in memory anyway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.pairs import moved, scenes
from tgkt_edge.data.check.check import note_quickly
from tgkt_edge.data.check.copies import NEAR, nearly_equal, thumbnails
from tgkt_edge.data.loading import Frames, Pairs, load_pairs
from tgkt_edge.sensor import PRESETS


@pytest.mark.slow
def test_adapt_notes_what_its_quick_look_sees(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    spec = PRESETS["depth"]
    good = load_pairs(write(scenes(12)), spec, 128)
    nothing = Frames(np.zeros((0, 128, 128), np.uint16), ())
    note_quickly(good, nothing, "pairs")
    assert caplog.text == ""
    bad = load_pairs(write([(moved(rgb, 1, 1, 14, 0), depth) for rgb, depth in scenes(12)], "bad"), spec, 128)
    note_quickly(bad, nothing, "bad")
    assert (
        "`paired=bad`: RGB images fit their frames when enlarged by +0%, then moved by -4% of the width"
        in caplog.text
    )
    caplog.clear()
    note_quickly(good, Frames(good.codes[:3], ("a", "b", "c")), "pairs")
    assert "`paired=pairs`: 3 of 12 frames are also target frames, or nearly" in caplog.text


def test_thumbnails_that_hardly_differ_are_found() -> None:
    codes = np.stack([np.full((64, 64), value, np.uint16) for value in (0, 30000, 30100, 65535)])
    thumbs = thumbnails(codes)
    assert nearly_equal(thumbs).tolist() == [False, False, True, False]  # of two that are alike the later one
    assert nearly_equal(thumbs, thumbs[1:2]).tolist() == [False, True, True, False]
    assert nearly_equal(thumbs[:0]).tolist() == []
    assert nearly_equal(thumbs, thumbs[:0]).tolist() == [False] * 4


@pytest.mark.parametrize("spread_of", ["scenes", "one brightness", "copies"])
def test_what_is_found_is_what_comparing_all_with_all_finds(spread_of: str) -> None:
    random = np.random.default_rng(1)
    base = random.random((300, 256)).astype(np.float32) * random.random((300, 1)).astype(np.float32)
    if spread_of == "one brightness":
        base += 0.5 - base.mean(1, keepdims=True)
    if spread_of == "copies":
        base = base[random.integers(0, 40, 300)]
    thumbs = (base + random.normal(0, 0.008, base.shape)).astype(np.float32)
    differences = np.abs(thumbs[:, np.newaxis] - thumbs[np.newaxis]).mean(2)
    for limit in (0.004, 0.0095, NEAR, 0.2):
        earlier = np.where(np.tri(300, k=-1, dtype=bool), differences, np.inf).min(1) <= limit
        np.testing.assert_array_equal(nearly_equal(thumbs, limit=limit), earlier)
        some = differences[:100, 100:].min(1) <= limit
        np.testing.assert_array_equal(nearly_equal(thumbs[:100], thumbs[100:], limit), some)


def test_a_set_in_memory_of_no_pairs_is_no_trouble() -> None:
    none = Pairs(np.zeros((0, 32, 32, 3), np.uint8), np.zeros((0, 32, 32), np.uint16), ())
    note_quickly(none, Frames(np.zeros((2, 32, 32), np.uint16), ("a", "b")), "none")
