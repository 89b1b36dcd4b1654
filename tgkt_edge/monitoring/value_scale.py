"""Are frames in another unit than the adaptation frames, or their counts shifted by bits?

A frame is described by the quantiles of its valid values, in metres or counts, on a logarithmic scale, where another
unit moves all of them by one step. It is *off* if

- it is farther from its nearest references than they are from each other (:mod:`.input_distance`'s construction, with
  its false alarms), or
- its nearest or farthest values lie beyond those of every adaptation frame: sensors have a nearest distance, and
  rooms a farthest.

Being off alone says little: the flag is raised only where over half of the newest frames are off and dividing them
all by one factor brings most of them among the adaptation frames. Whole factors show also in the counts: where all
frames have counts that are multiples of five, and those at adaptation had not, the data were multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.levels import QUANTILES, STEP, TOP, Levels
from tgkt_edge.data.value_checks import UNITS_M
from tgkt_edge.monitoring.input_distance import FALSE_ALARM, NEAREST, STRETCHES, spread
from tgkt_edge.notes import note
from tgkt_edge.sensor import SensorSpec

MARGIN = 0.02
"""Logarithm by which the extreme values of a frame may pass those of all adaptation frames: 2 %."""

LEAST = 0.05
"""Mean logarithm from the nearest references that is never off: 5 %."""

MIN_FRAMES = 20
"""Frames below which nothing is learnt."""

FACTORS = (0.1, 0.2, 0.25, 0.4, 0.5, 2.0, 2.5, 4.0, 5.0, 8.0, 10.0)
"""By which depth may be off beside the factors between known units."""

SHIFTS = (4, 6, 8)
"""Bits by which NIR counts may be shifted, either way. Two bits could be a lamp that was switched on."""

_FLOOR = {"depth": 1e-3, "nir": 1.0}  # metres, counts: below lie noise and 0
_DISTINCT = 50  # counts that must fit below the largest for their common divisor to mean something

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rescaling:
    """What frames were multiplied by: ``factor``, and the ``unit_m`` that would undo it (None for NIR)."""

    factor: float
    unit_m: float | None

    @property
    def text(self) -> str:
        """What it is and what to do."""
        if self.unit_m is None:
            bits = round(abs(math.log2(self.factor)))
            way = "up" if self.factor > 1 else "down"
            return f"counts look shifted {way} by {bits} bits: set black and white for them (`sensor=FILE`)"
        unit = self.unit_m
        name = next((name for name, size in UNITS_M.items() if abs(size / unit - 1) < 0.03), f"{unit:.3g} m")
        size = (
            f"{self.factor:.3g} times too large"
            if self.factor > 1
            else f"{1 / self.factor:.3g} times too small"
        )
        return f"depth looks {size}: likely counts of {name}; set unit_m: {unit:.6g} (`sensor=FILE`)"


@dataclass(frozen=True)
class ValueScale:
    """The values of the adaptation frames.

    Attributes:
        kind: as in SensorSpec. references: (R, 7) quantiles, metres or counts.
        limit: mean logarithm from the NEAREST references above which a frame is off.
        step: greatest common divisor of all counts. false_alarm: share of views of the same kind that are off by
            ``limit``, as promised.
    """

    kind: str
    references: Floats
    limit: float
    step: int
    false_alarm: float

    @classmethod
    def of(cls, levels: Levels, spec: SensorSpec, false_alarm: float = FALSE_ALARM) -> ValueScale | None:
        """Learn from the (N, LENGTH) levels of frames in their order; None: too few have a valid pixel, or the sensor's
        values know no factor: temperatures, disparities, and floating-point numbers of infrared cameras."""
        if spec.kind == "thermal" or spec.encoding == "disparity" or (spec.kind == "nir" and spec.is_float):
            return None
        known = levels[np.isfinite(levels).all(1)]
        count = len(known)
        if count <= NEAREST:
            return None
        values = np.array([[float(f"{value:.4g}") for value in row] for row in known[:, : len(QUANTILES)]])
        kept = spread(count)
        distances = _distances(values, values[kept], _FLOOR[spec.kind])
        stretch = np.arange(count) * min(STRETCHES, count) // count
        distances[stretch[:, None] == stretch[kept]] = np.inf
        scores = np.sort(_nearest(distances))
        rank = min(math.ceil((1 - false_alarm) * (count + 1)), count)
        step = int(np.gcd.reduce(known[:, STEP].astype(np.int64)))
        limit = max(float(scores[rank - 1]), LEAST)
        return cls(spec.kind, values[kept], limit, max(step, 1), max(false_alarm, 1 / (count + 1)))

    def excess(self, levels: Levels, factor: float = 1.0) -> Floats:
        """(N,) how far each of (N, LENGTH) levels is off, in limits, once divided by ``factor``: over 1 is off."""
        floor = _FLOOR[self.kind]
        values = levels[:, : len(QUANTILES)] / factor
        near = _nearest(_distances(values, self.references, floor)) / self.limit
        ends = np.log(np.maximum(values[:, [0, -1]], floor))
        known = np.log(np.maximum(self.references[:, [0, -1]], floor))
        beyond = np.maximum(known[:, 0].min() - ends[:, 0], ends[:, 1] - known[:, 1].max())
        return np.maximum(near, np.where(beyond > MARGIN, 1 + beyond / self.limit, 0.0))

    def rescaling(self, levels: Levels, spec: SensorSpec) -> Rescaling | None:
        """What over half of (N, LENGTH) frames were multiplied by; None: nothing, or nothing that explains them."""
        known = levels[np.isfinite(levels).all(1)]
        if not len(known):
            return None
        plain = self.excess(known)
        whole = self._whole_factor(known)
        if (plain > 1).mean() <= 0.5 and whole is None:
            return None
        found: dict[float, tuple[float, float]] = {}
        for factor in [whole] if whole is not None else self._factors(spec):
            excess = self.excess(known, factor)
            found[factor] = (float((excess > 1).mean()), float(np.median(excess)))
        best = min(found, key=lambda factor: found[factor])
        inside, middle = found[best]
        if inside > 0.5 or middle >= float(np.median(plain)):
            return None
        return Rescaling(best, spec.unit_m / best if spec.unit_m is not None else None)

    def _whole_factor(self, known: Levels) -> float | None:
        """The factor that the counts of all frames share beyond that of the adaptation frames; None: there is none."""
        step = int(np.gcd.reduce(known[:, STEP].astype(np.int64)))
        distinct = float(np.median(known[:, TOP])) / max(step, 1)
        if step <= self.step or step % self.step or distinct < _DISTINCT:
            return None
        factor = step / self.step
        return factor if factor in FACTORS or (self.kind == "nir" and math.log2(factor) in SHIFTS) else None

    def _factors(self, spec: SensorSpec) -> Sequence[float]:
        if self.kind == "nir":
            return [2.0**bits for shift in SHIFTS for bits in (shift, -shift)]
        if spec.unit_m is None:  # a stereo camera in place of the one at adaptation
            return FACTORS
        named = [spec.unit_m / size for size in UNITS_M.values()]
        plain = [factor for factor in FACTORS if all(abs(factor / one - 1) > 0.03 for one in named)]
        return [factor for factor in (*named, *plain) if abs(factor - 1) > 0.03]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "kind": self.kind,
            "limit": self.limit,
            "step": self.step,
            "false_alarm": self.false_alarm,
            "references": self.references.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ValueScale:
        """Inverse of :meth:`to_dict`. Raises ValueError, KeyError or TypeError for anything else."""
        references = np.array(values["references"], np.float64)
        limit, promised = float(values["limit"]), float(values["false_alarm"])
        if values["kind"] not in _FLOOR or references.ndim != 2 or references.shape[1] != len(QUANTILES):
            raise ValueError(f"scale of {values['kind']!r} with references {references.shape}")
        if len(references) < NEAREST or not np.isfinite(references).all():
            raise ValueError(f"expected at least {NEAREST} rows of finite references")
        if not (math.isfinite(limit) and limit > 0 and 0 < promised <= 1 and int(values["step"]) >= 1):
            raise ValueError(f"limit {limit}, step {values['step']}: expected finite numbers above 0")
        return cls(str(values["kind"]), references, limit, int(values["step"]), promised)


def note_other_scale(
    pairs: Levels | None, target: Levels | None, spec: SensorSpec, paired_name: str, target_name: str
) -> None:
    """Note where target frames look like paired ones in another unit: one sensor takes both."""
    known = ValueScale.of(pairs, spec) if pairs is not None and len(pairs) >= MIN_FRAMES else None
    found = known.rescaling(target, spec) if known is not None and target is not None else None
    if found is not None:
        note(
            f"`target={target_name}`: against the frames of `paired={paired_name}`, {found.text}. Both are read by one "
            f"SensorSpec: bring them to one unit if they differ."
        )


def _distances(values: Floats, references: Floats, floor: float) -> Floats:
    """(N, R) mean absolute difference of logarithms."""
    a, b = np.log(np.maximum(values, floor)), np.log(np.maximum(references, floor))
    total: Floats = np.zeros((len(a), len(b)))
    for column in range(a.shape[1]):  # one at a time: all at once would be (N, R, 7) numbers
        total += np.abs(a[:, column, None] - b[:, column])
    mean: Floats = total / a.shape[1]
    return mean


def _nearest(distances: Floats) -> Floats:
    nearest: Floats = np.partition(distances, NEAREST - 1, axis=1)[:, :NEAREST].mean(1)
    return nearest
