"""Pairs of frames of two free-running cameras, matched by time."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

_HELD = 256  # frames that may wait for a partner


class Timed(Protocol):
    """What has a time: a captured frame, a message that is not decoded yet."""

    @property
    def time(self) -> float:
        """Unix seconds."""


T = TypeVar("T", bound=Timed)


class Pairing(Generic[T]):
    """Matches the frames of two cameras by time: each frame with the color frame nearest to it, each used once.

    Args:
        max_skew: seconds that two may lie apart.
    """

    def __init__(self, max_skew: float) -> None:
        self._max_skew = max_skew
        self._frames: deque[T] = deque()
        self._colors: deque[T] = deque()

    def add_frame(self, captured: T) -> None:
        """A sensor frame; times must not fall."""
        self._frames.append(captured)

    def add_color(self, captured: T) -> None:
        """A color frame; times must not fall."""
        self._colors.append(captured)

    def resolve(self) -> list[tuple[T, T | None]]:
        """Every frame whose fate is decided now: (frame, its partner), or (frame, None) if it has none."""
        decided: list[tuple[T, T | None]] = []
        while self._frames:
            frame, colors = self._frames[0], self._colors
            # A nearer color frame may still come as long as the newest one is older than the frame.
            if not colors or colors[-1].time < frame.time:
                if len(self._frames) <= _HELD:
                    break
                decided.append((self._frames.popleft(), None))
                continue
            while len(colors) > 1 and abs(colors[1].time - frame.time) <= abs(colors[0].time - frame.time):
                colors.popleft()
            self._frames.popleft()
            near = abs(colors[0].time - frame.time) <= self._max_skew
            decided.append((frame, colors.popleft() if near else None))
        while len(self._colors) > _HELD:
            self._colors.popleft()
        return decided
