"""PGM: comments wherever programs write them, and numbers that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame

COUNTS = np.arange(6 * 8, dtype=np.uint16).reshape(6, 8) * 700
PIXELS = COUNTS.astype(">u2").tobytes()


@pytest.mark.parametrize(
    "head",
    [
        b"P5\n# one\n8 # two\n6\n# three\n65535\n",
        b"P5\n8 6\n65535 # behind the maximum\n",
        b"P5\n8 6\n65535\n# a line before the pixels\n",
    ],
)
def test_a_comment_is_no_pixel(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(head + PIXELS)
    np.testing.assert_array_equal(read_frame(path), COUNTS)


def test_pixels_that_begin_like_a_comment_are_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    pixels = b"#x\n" + PIXELS[3:]
    for tail in (b"", b"something behind\n"):
        path.write_bytes(b"P5\n8 6\n65535\n" + pixels + tail)
        assert read_frame(path).astype(">u2").tobytes() == pixels


@pytest.mark.parametrize("word", ["-1", "1.5", "1_0", "0x1", "1e1"])
def test_what_is_no_whole_number_is_named(word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_text(f"P2\n2 1\n20\n{word} 3\n")
    with pytest.raises(DataError, match=f"not a whole number .*{word}"):
        read_frame(path)
