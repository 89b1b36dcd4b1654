"""Is the picture the right way up? Learnt from adaptation frames, where these can tell.

One number a frame, its *tilt*: how much its lower half lies above its upper half in values. Floors come nearer
towards the bottom of a depth frame, rooms are lit from above: where nearly all adaptation frames tilt to one side, one
that tilts to the other is turned or mirrored upside down. Where they tilt both ways nothing is learnt, and nothing is
ever said.

False alarms as in :mod:`tgkt_edge.monitoring.input_distance` (conformal prediction): a new view drawn like the
adaptation frames is
beyond the limit with a probability of at most FALSE_ALARM, or 1 / (frames + 1) where they are too few for that. A
camera that does not move has one view: if that is one of the rare odd ones, it is one for good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.monitoring.input_distance import FALSE_ALARM

LEAST = 0.01
"""Least tilt, in units of the sensor's range, that says anything: a wall seen head-on has none."""

POWER = 0.7
"""Share of the adaptation frames that must be recognised when turned upside down; else nothing is learnt."""

Floats = NDArray[np.float32]


def tilt(unit: Floats) -> float:
    """Mean of the lower half minus mean of the upper half of a (1, S, S) float32 input in [0, 1]; -1 to 1.

    An odd middle row belongs to neither. Turned upside down the frame has the negative tilt.
    """
    image = unit[0]
    half = image.shape[0] // 2
    return float(image[-half:].mean() - image[:half].mean())


@dataclass(frozen=True)
class Upright:
    """Which tilts are those of frames upside down.

    Attributes:
        sign: 1 or -1, the side to which adaptation frames tilt.
        limit: upside down if ``sign * tilt`` is below it; at most -LEAST.
        power: share of the adaptation frames that would be beyond it upside down.
        false_alarm: share of upright views of the same kind that are beyond it, as promised.
    """

    sign: int
    limit: float
    power: float
    false_alarm: float

    @classmethod
    def of(cls, tilts: Floats, false_alarm: float = FALSE_ALARM) -> Upright | None:
        """Learn from the (N,) tilts of upright frames; None: upright and turned ones cannot be told apart."""
        sign = 1 if np.median(tilts) >= 0 else -1
        ordered = np.sort(np.round(tilts, 5).astype(np.float64) * sign)
        rank = max(math.floor(false_alarm * (len(ordered) + 1)), 1)
        limit = min(float(ordered[rank - 1]), -LEAST)
        power = float((-ordered < limit).mean())
        if power < POWER:
            return None
        return cls(sign, limit, power, max(false_alarm, 1 / (len(ordered) + 1)))

    def turned(self, tilt: float) -> bool:
        """Whether a frame of this tilt is upside down."""
        return self.sign * tilt < self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Upright:
        """Inverse of :meth:`to_dict`. Raises ValueError, KeyError or TypeError for anything else."""
        found = cls(values["sign"], *(float(values[key]) for key in ("limit", "power", "false_alarm")))
        if found.sign not in (1, -1) or not (-1 <= found.limit <= -LEAST and 0 < found.false_alarm <= 1):
            raise ValueError(f"{found}: expected a sign of 1 or -1 and a limit from -1 to {-LEAST}")
        return found
