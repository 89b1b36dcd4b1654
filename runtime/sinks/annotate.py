"""A frame and its decision as one picture for people."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import colormaps as colours
from tgkt_edge.sensor import RawFrame, SensorSpec

STRIP = 92
"""Height of the strip under the picture, pixels: nothing is written over the frame itself."""

_GROUND, _INK, _QUIET, _TRACK, _FILL = (
    (20, 16, 13),
    (246, 242, 238),
    (180, 167, 154),
    (55, 46, 38),
    (180, 200, 63),
)
_BAD = (114, 123, 255)  # all BGR
_EDGE = 14


def canvas_size(frame: NDArray[Any], width: int) -> tuple[int, int]:
    """(width, height) of the annotated picture of (H, W) ``frame``, both even, as video wants them."""
    height, across = frame.shape[:2]
    return width // 2 * 2, (round(width * height / across) + STRIP) // 2 * 2


def annotate(
    frame: RawFrame,
    decision: Decision,
    spec: SensorSpec,
    table: str,
    size: tuple[int, int],
    state: str = "live",
) -> NDArray[np.uint8]:
    """Picture with label, probability, time, colour scale, and the source's state where it is not live.

    Args:
        frame: (H, W) raw counts of the dtype that ``spec`` says. Another shape than the first is fitted in.
        decision: on this frame.
        table: one of ``colours.NAMES``.
        size: (width, height) of the result; see :func:`canvas_size`.

    Returns:
        (height, width, 3) uint8 BGR.
    """
    cv2 = require("cv2", "cpu", "`sinks=video:`")
    width, height = size
    picture = np.full((height, width, 3), _GROUND, np.uint8)
    area = height - STRIP
    scale = min(width / frame.shape[1], area / frame.shape[0])
    shown = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    rgb = colours.colourise(frame, spec, table)
    # Enlarged pixels stay pixels: nothing between two measurements is made up.
    small = cv2.resize(rgb, shown, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    left, top = (width - shown[0]) // 2, (area - shown[1]) // 2
    picture[top : top + shown[1], left : left + shown[0]] = small[..., ::-1]
    _strip(cv2, picture[area:], decision, spec, table, state)
    return picture


def _strip(
    cv2: Any, strip: NDArray[np.uint8], decision: Decision, spec: SensorSpec, table: str, state: str
) -> None:
    width = strip.shape[1]
    share = decision.probability
    percent = f"{100 * share:.0f} %"
    taken = _write(cv2, strip, percent, 36, 0.85, _FILL, right=True)
    _write(cv2, strip, decision.label, 36, 0.95, _INK, room=width - taken - 3 * _EDGE)
    end = width - _EDGE
    strip[48:54, _EDGE:end] = _TRACK
    strip[48:54, _EDGE : _EDGE + round((end - _EDGE) * min(max(share, 0.0), 1.0))] = _FILL
    taken = _legend(cv2, strip, spec, table) if width >= 480 else 0
    words = f"{_time(decision.time)}  #{decision.frame}"
    flags = decision.health
    if state != "live" or flags:
        words = f"{' '.join([*([state] if state != 'live' else []), *flags])}  {words}"
    _write(
        cv2,
        strip,
        words,
        78,
        0.45,
        _BAD if state != "live" or flags else _QUIET,
        room=width - taken - 3 * _EDGE,
    )


def _legend(cv2: Any, strip: NDArray[np.uint8], spec: SensorSpec, table: str) -> int:
    """Colour scale with its ends in metres, counts or degrees Celsius; returns its width."""
    unit = {"thermal": " C"}.get(spec.kind, spec.quantity.suffix)  # OpenCV writes ASCII
    low, high = (f"{value:.4g}{unit}" for value in spec.range)
    width = strip.shape[1]
    taken: int = _write(cv2, strip, high, 78, 0.45, _QUIET, right=True)
    end = width - _EDGE - taken - 8
    bar = colours.table(table)[np.linspace(0, 255, 120).astype(int), ::-1]
    strip[67:79, end - 120 : end] = bar
    before: int = end - 120 - 8 - _text_width(cv2, low, 0.45)
    _write(cv2, strip, low, 78, 0.45, _QUIET, at=before)
    return int(width - before)


def _write(
    cv2: Any,
    strip: NDArray[np.uint8],
    text: str,
    baseline: int,
    scale: float,
    colour: tuple[int, int, int],
    *,
    room: int | None = None,
    right: bool = False,
    at: int = _EDGE,
) -> int:
    """Write one line, shortened to ``room`` pixels. OpenCV's fonts know ASCII only. Returns its width."""
    text = text.encode("ascii", "replace").decode()
    while room is not None and len(text) > 1 and _text_width(cv2, text, scale) > room:
        text = text.removesuffix("...")[:-1] + "..." if len(text) > 4 else text[:-1]
    wide = _text_width(cv2, text, scale)
    place = (strip.shape[1] - _EDGE - wide if right else at, baseline)
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_DUPLEX, scale, colour, 1, cv2.LINE_AA)
    return wide


def _text_width(cv2: Any, text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)[0][0])


@lru_cache(maxsize=4)
def _day(day: int) -> str:
    return datetime.fromtimestamp(day * 86400, timezone.utc).strftime("%Y-%m-%d")


def _time(seconds: float) -> str:
    """Unix seconds as ``2026-01-31 12:00:00.5 UTC``; nothing for what is no such time."""
    if not 0 <= seconds < 1e11:
        return ""
    day, rest = divmod(seconds, 86400)
    tenths = int(rest * 10)
    minute, second = divmod(tenths // 10, 60)
    return f"{_day(int(day))} {minute // 60:02}:{minute % 60:02}:{second:02}.{tenths % 10} UTC"
