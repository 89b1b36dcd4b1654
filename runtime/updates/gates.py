"""What a new bundle must reach before it takes over: ``agreement>=0.7``, ``latency<=1.5``, ``drift<=1``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tgkt_edge.errors import UsageError

_SIGNS: dict[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le}
_EXPECTED = {"agreement": ">=", "latency": "<=", "drift": "<="}
_GATE = re.compile(r"\s*([a-z]+)\s*(>=|<=)\s*(\S+)\s*")
_KNOWN = (
    "agreement>=0.7 (share of frames), latency<=1.5 (times the old one's), drift<=1 (multiples of the limit)"
)


@dataclass(frozen=True)
class Comparison:
    """What a new bundle did on the newest frames beside the old one.

    Attributes:
        frames: how many. Of none all others are None.
        agreement: share of them on which both name the same class.
        latency: median of its inference over that of the old one.
        drift: median distance of the frames from its adaptation frames, in multiples of its limit; None: it holds no
            statistics.
    """

    frames: int = 0
    agreement: float | None = None
    latency: float | None = None
    drift: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Its fields that say something, rounded."""
        measured = {"agreement": self.agreement, "latency": self.latency, "drift": self.drift}
        return {
            "frames": self.frames,
            **{key: round(value, 4) for key, value in measured.items() if value is not None},
        }


@dataclass(frozen=True)
class Gate:
    """One condition on a :class:`Comparison`."""

    figure: str
    sign: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """The gate of ``agreement>=0.7``. Raises UsageError."""
        found = _GATE.fullmatch(text)
        try:
            limit = float(found.group(3)) if found else math.nan
        except ValueError:
            limit = math.nan
        if found is None or not math.isfinite(limit) or limit < 0:
            raise UsageError(f"`update_gates={text}`: expected {_KNOWN}")
        figure, sign = found.group(1), found.group(2)
        if _EXPECTED.get(figure) != sign:
            raise UsageError(f"`update_gates={text}`: expected {_KNOWN}")
        if figure == "agreement" and limit > 1:
            raise UsageError(f"`update_gates={text}`: agreement is a share, 0 to 1")
        return cls(figure, sign, limit)

    def failed(self, comparison: Comparison) -> str:
        """Why it is not passed; empty: it is."""
        value: float | None = getattr(comparison, self.figure)
        if value is None:
            why = (
                "no frame was there to compare on"
                if not comparison.frames
                else "the bundle holds no statistics"
            )
            return f"{self.figure} cannot be measured, since {why}; expected {self.sign} {self.limit:g}"
        if _SIGNS[self.sign](value, self.limit):
            return ""
        return (
            f"{self.figure} {value:.3g} on the newest {comparison.frames} frames, "
            f"expected {self.sign} {self.limit:g}"
        )


def parse_gates(texts: Iterable[str]) -> tuple[Gate, ...]:
    """The gates of several texts. Raises UsageError: one is none, or two are of one figure."""
    gates = tuple(map(Gate.parse, texts))
    figures = [gate.figure for gate in gates]
    for figure in figures:
        if figures.count(figure) > 1:
            raise UsageError(f"`update_gates`: {figure} is given twice")
    return gates
