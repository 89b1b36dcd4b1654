"""Averages over the areas of a frame that become one output pixel each: only of the part that is needed.

A part is the same numbers as its place in the whole, bit for bit: it begins and ends where edges of output pixels are
edges of input pixels, and there the weights of an area depend on the ratio of both sides alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20
"""Bytes of decoded pixels that are averaged at once: they stay in a processor's cache."""


class Box(NamedTuple):
    """Some rows and columns of an image, the ends not in it."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def part(self) -> tuple[slice, slice]:
        """As an index."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def area(image: NDArray[Any], width: int, height: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """(H, W) or (H, W, C) to ``height`` by ``width``: area-averaged where it shrinks, linear where it grows.

    Args:
        out: where to put it, of the result's shape and dtype; rows need not follow each other without gaps.
    """
    import cv2

    if (image.shape[0] < height) != (image.shape[1] < width):
        # OpenCV averages areas only when neither axis grows, else it skips pixels: shrink first, then grow.
        size = (min(image.shape[1], width), min(image.shape[0], height))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (width, height), dst=out, interpolation=cv2.INTER_AREA)


class Averages:
    """A frame's averages, (side, side) or (side, side, C) float32, computed where they are asked for.

    Args:
        read: gives rows and columns of the frame, (h, w) or (h, w, C) float32.
        shape: H, W and, where there are several, C.
        side: width and height of the result, pixels.
    """

    def __init__(
        self, read: Callable[[tuple[slice, slice]], NDArray[np.float32]], shape: tuple[int, ...], side: int
    ) -> None:
        self._read, self._side = read, side
        self._height, self._width = shape[:2]
        self._rows, self._columns = _steps(self._height, self._width, side)
        self._out = np.empty((side, side, *shape[2:]), np.float32)
        self._pixel_bytes = 4 * math.prod(shape[2:])
        self._known: Box | None = None

    def around(self, box: Box) -> Box:
        """The smallest part that holds ``box`` and can be computed alone."""
        rows, columns = self._rows, self._columns
        return Box(
            box.top // rows * rows, box.left // columns * columns,
            -(-box.bottom // rows) * rows, -(-box.right // columns) * columns,
        )  # fmt: skip

    def of(self, box: Box) -> NDArray[np.float32]:
        """The averages of a part that :meth:`around` gave, which holds the one before: that is not computed again."""
        known = self._known
        if known is None:
            self._compute(box)
        elif known != box:
            self._compute(Box(box.top, box.left, known.top, box.right))
            self._compute(Box(known.bottom, box.left, box.bottom, box.right))
            self._compute(Box(known.top, box.left, known.bottom, known.left))
            self._compute(Box(known.top, known.right, known.bottom, box.right))
        self._known = box
        return self._out[box.part]

    def _compute(self, box: Box) -> None:
        if box.top >= box.bottom or box.left >= box.right:
            return
        columns = slice(box.left * self._width // self._side, box.right * self._width // self._side)
        width = columns.stop - columns.start
        step_bytes = width * self._pixel_bytes * (self._rows * self._height // self._side or 1)
        step = self._rows * max(1, _BLOCK // step_bytes)
        for top in range(box.top, box.bottom, step):
            bottom = min(top + step, box.bottom)
            rows = slice(top * self._height // self._side, bottom * self._height // self._side)
            area(
                self._read((rows, columns)), box.right - box.left, bottom - top,
                self._out[top:bottom, box.left : box.right],
            )  # fmt: skip


def _steps(height: int, width: int, side: int) -> tuple[int, int]:
    """Of how many rows and columns of output pixels the edges are edges of input pixels, exactly, also in the float64
    in which OpenCV computes where an area begins."""
    steps = []
    for length in (height, width):
        step = side // math.gcd(length, side)
        exact = step & (step - 1) == 0 and 1 / (side / length) == length / side
        steps.append(step if exact else side)
    return (side, side) if min(height, width) < side else (steps[0], steps[1])
