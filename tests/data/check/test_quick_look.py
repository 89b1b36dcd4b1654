"""What ``adapt`` notes of pairs and target frames that are in memory anyway."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.pairs import moved, scenes
from tgkt_edge.data.check.check import note_quickly
from tgkt_edge.data.check.copies import nearest, thumbnails
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


def test_thumbnails_find_the_nearest() -> None:
    codes = np.stack([np.full((64, 64), value, np.uint16) for value in (0, 30000, 30100, 65535)])
    thumbs = thumbnails(codes)
    index, distance = nearest(thumbs)
    assert index[1:].tolist() == [0, 1, 2]
    np.testing.assert_allclose(distance[1:], [30000 / 65535, 100 / 65535, 35435 / 65535], atol=1e-6)
    assert np.isinf(distance[0])
    assert nearest(thumbs[:1], thumbs[2:])[0].tolist() == [0]


def test_a_set_in_memory_of_no_pairs_is_no_trouble() -> None:
    none = Pairs(np.zeros((0, 32, 32, 3), np.uint8), np.zeros((0, 32, 32), np.uint16), ())
    note_quickly(none, Frames(np.zeros((2, 32, 32), np.uint16), ("a", "b")), "none")
