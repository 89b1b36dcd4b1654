"""What a camera agreed on at its first opening, so that every later opening is held to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime.sources.base import FrameSource, StreamFormat

_UNIT_TOLERANCE = 1e-6  # the same float32, printed or not


class PinnedOpener:
    """Opens one source as often as it is called, always in the format of its first opening.

    A camera that comes back after a loss may offer the same counts in another pixel format, size or unit. The
    model would then read wrong distances or intensities from frames that look well-formed.

    Args:
        open_source: opens the source in the format that it is given; None: in the one that suits the SensorSpec.
    """

    def __init__(self, open_source: Callable[[StreamFormat | None], FrameSource]) -> None:
        self._open = open_source
        self.format: StreamFormat | None = None

    def __call__(self) -> FrameSource:
        source = self._open(self.format)
        if source.live and self.format is None:
            self.format = source.format
        return source


def check_pinned(pinned: StreamFormat | None, found: StreamFormat, name: str) -> None:
    """Refuse a camera that comes back in another format than the one of its first opening.

    Raises:
        SourceLostError: (exit 5) with both formats.
    """
    if pinned is None or _same(pinned, found):
        return
    raise SourceLostError(
        f"{name}: it delivered {pinned} when it was first opened, and now delivers {found}. Its counts would mean "
        f"something else. Set the camera back to that mode, or start again to use the new one."
    )


def format_of(pixels: str, frame: NDArray[Any], unit_m: float | None = None) -> StreamFormat:
    """The format of (H, W, ...) frames whose pixels a source names ``pixels``."""
    return StreamFormat(pixels, frame.shape[1], frame.shape[0], unit_m)


def _same(pinned: StreamFormat, found: StreamFormat) -> bool:
    same_picture = all(
        getattr(pinned, name) == getattr(found, name) for name in ("pixels", "width", "height", "signal")
    )
    if pinned.unit_m is None or found.unit_m is None:
        return same_picture and pinned.unit_m is found.unit_m
    return same_picture and math.isclose(pinned.unit_m, found.unit_m, rel_tol=_UNIT_TOLERANCE)
