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
    """Matches the frames of two cameras by time: each frame with the colour frame nearest to it, each used once.

    Args:
        max_skew: seconds that two may lie apart.
    """

    def __init__(self, max_skew: float) -> None:
        self._max_skew = max_skew
        self._frames: deque[T] = deque()
        self._colours: deque[T] = deque()

    def add_frame(self, captured: T) -> None:
        """A sensor frame; times must not fall."""
        self._frames.append(captured)

    def add_colour(self, captured: T) -> None:
        """A colour frame; times must not fall."""
        self._colours.append(captured)

    def resolve(self) -> list[tuple[T, T | None]]:
        """Every frame whose fate is decided now: (frame, its partner), or (frame, None) if it has none."""
        decided: list[tuple[T, T | None]] = []
        while self._frames:
            frame, colours = self._frames[0], self._colours
            # A nearer colour frame may still come as long as the newest one is older than the frame.
            if not colours or colours[-1].time < frame.time:
                if len(self._frames) <= _HELD:
                    break
                decided.append((self._frames.popleft(), None))
                continue
            while len(colours) > 1 and abs(colours[1].time - frame.time) <= abs(colours[0].time - frame.time):
                colours.popleft()
            self._frames.popleft()
            near = abs(colours[0].time - frame.time) <= self._max_skew
            decided.append((frame, colours.popleft() if near else None))
        while len(self._colours) > _HELD:
            self._colours.popleft()
        return decided
