"""Rows of numbers that thermal cameras put above or below their pictures: times, states, the housing's warmth."""

from __future__ import annotations

_ROWS: dict[tuple[int, int], tuple[str, int]] = {
    (80, 63): ("Lepton 2", 3),
    (160, 122): ("Lepton 3", 2),
    (320, 258): ("Boson 320", 2),
    (640, 514): ("Boson 640", 2),
}
"""(width, height) with telemetry: which camera, and how many rows of it."""


def telemetry_rows(size: tuple[int, int]) -> tuple[str, int] | None:
    """The camera whose pictures, with telemetry, have this (width, height), and how many rows it is; None: none."""
    return _ROWS.get(size)


def with_telemetry(size: tuple[int, int]) -> tuple[int, int]:
    """A camera's (width, height) with its telemetry; as it is where none is known."""
    width, height = size
    return next((one for one, (_, rows) in _ROWS.items() if one == (width, height + rows)), size)
