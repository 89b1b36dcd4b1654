"""Are the answers to several different views unlike those to the adaptation frames?

The classes of one room say nothing: a camera that looks at a kitchen for a month answers "kitchen" for a month. So a
window is not so many seconds or frames but so many *views*, frames that are all farther apart from each other than one
in four random pairs of adaptation frames. A camera that does not move gathers three or four of them, however long it
looks and whoever walks by, never the fewest of SIZES: it is judged by its input alone.

Two distances of a window of m views from all adaptation frames, each with a limit of its own:

- ``shares``: total variation between the mean probabilities, 0 to 1;
- ``unsure``: mean rank of the entropy of each answer among those of the adaptation frames, 0 to 1; usually 0.5.

The limits are quantiles over all windows of STREAMS random orders of the adaptation frames, with views gathered as a
device gathers them, so that a window of frames drawn like them is beyond one of both with a probability of about
FALSE_ALARM. And no window of the frames in their own order is beyond either: where they show one class after the other,
a device may, too. But the network was trained, without labels, on these very frames, and is surer of them than of new
ones of the same kind: of frames that were kept from it, the mean rank was 0.60 and 0.64 where it had seen 76 frames and
0.54 where it had seen 408 (``benchmarks/drift.py``). OPTIMISM is added to the limit of ``unsure`` for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.monitoring.input_distance import FALSE_ALARM, spread

SIZES = (8, 16, 32)
"""Views in a window; the largest that there are enough views for counts."""

STREAMS = 300
"""Random orders of the adaptation frames, of STREAM_FRAMES each, whose windows the limits come from."""

STREAM_FRAMES = 160

OPTIMISM = 0.15
"""Mean rank by which new frames of the same kind may be answered less surely than those that were trained on."""

_RANKS = 100  # steps of the table of entropies
_FEWEST_FRAMES = (
    4  # adaptation frames per view: with fewer, draws would be nearly the same frames again and again
)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AnswerWindows:
    """What the answers to windows of different views were like.

    Attributes:
        gate: distance (:class:`tgkt_edge.monitoring.input_distance.Normal`'s, not in limits) above which two frames
        are different views.
        shares: (K,) mean probabilities. entropies: (101,) quantiles of the answers' entropies in nats, ascending.
        limits: views in a window -> (shares, unsure); empty where there were too few frames.
    """

    gate: float
    shares: Floats
    entropies: Floats
    limits: Mapping[int, tuple[float, float]]

    @classmethod
    def of(cls, descriptions: Floats, weights: Floats, probabilities: Floats) -> AnswerWindows:
        """Learn from (N, D) descriptions and the (N, K) answers to the same frames."""
        kept = spread(len(descriptions))
        vectors, answers = descriptions[kept], probabilities[kept]
        apart = np.zeros((len(kept), len(kept)), np.float32)
        for column, weight in enumerate(weights):
            apart += weight * np.abs(vectors[:, column, None] - vectors[:, column])
        gate = float(np.percentile(apart[np.triu_indices(len(kept), 1)], 25))
        entropies = np.quantile(entropy(probabilities), np.linspace(0, 1, _RANKS + 1)).astype(np.float32)
        plain = cls(gate, probabilities.mean(0).astype(np.float32), entropies, {})
        rng = np.random.default_rng(0)
        found: dict[int, list[NDArray[np.int64]]] = {size: [] for size in SIZES}
        told = stream(apart, gate, np.arange(len(kept)), every=1)
        for _ in range(STREAMS):
            for views in stream(apart, gate, rng.permutation(len(kept))[:STREAM_FRAMES]):
                for size in SIZES:
                    if len(views) >= size:
                        found[size].append(views[-size:])
        limits = {}
        for size, chosen in found.items():
            if size * _FEWEST_FRAMES > len(kept) or len(chosen) < STREAMS:
                break  # so many different views are hardly to be had among these frames
            measured = np.array([plain.distances(answers[views]) for views in chosen])
            # Either limit may be passed by chance: each gets half of the false alarms.
            high = np.quantile(measured, 1 - FALSE_ALARM / 2, axis=0, method="higher")
            in_order = [plain.distances(answers[views[-size:]]) for views in told if len(views) >= size]
            high = np.max([high, *in_order], axis=0)
            limits[size] = (max(float(high[0]), 1e-3), float(high[1]) + OPTIMISM)
        return cls(gate, plain.shares, entropies, limits)

    def distances(self, answers: Floats) -> tuple[float, float]:
        """``shares`` and ``unsure`` of the (m, K) answers to m views."""
        ranks = np.interp(entropy(answers), self.entropies, np.linspace(0, 1, len(self.entropies)))
        return float(np.abs(answers.mean(0) - self.shares).sum() / 2), float(ranks.mean())

    def excess(self, answers: Sequence[Floats]) -> float:
        """The larger of both distances of the newest views, in limits: over 1 is unlike; 0 while they are too few.

        Args:
            answers: (K,) probabilities for each view, oldest first.
        """
        size = max((size for size in self.limits if size <= len(answers)), default=0)
        if not size:
            return 0.0
        found = self.distances(np.stack(answers[-size:]))
        return max(value / limit for value, limit in zip(found, self.limits[size], strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        limits = [{"views": m, "shares": a, "unsure": b} for m, (a, b) in self.limits.items()]
        return {
            "gate": self.gate,
            "shares": self.shares.tolist(),
            "entropies": self.entropies.tolist(),
            "limits": limits,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], classes: int) -> AnswerWindows:
        """Inverse of :meth:`to_dict`. Raises ValueError, KeyError or TypeError for anything else."""
        shares, entropies = np.array(values["shares"], np.float32), np.array(values["entropies"], np.float32)
        limits = {
            int(entry["views"]): (float(entry["shares"]), float(entry["unsure"]))
            for entry in values["limits"]
        }
        gate = float(values["gate"])
        numbers = [gate, *(limit for pair in limits.values() for limit in pair)]
        if shares.shape != (classes,) or entropies.ndim != 1 or len(entropies) < 2:
            raise ValueError(
                f"{shares.shape} shares and {entropies.shape} entropies, expected {classes} shares"
            )
        if not all(math.isfinite(n) and n >= 0 for n in numbers) or not all(
            a > 0 < b for a, b in limits.values()
        ):
            raise ValueError(f"gate and limits {numbers}: expected finite numbers above 0")
        if not (np.isfinite(shares).all() and (np.diff(entropies) >= 0).all()):
            raise ValueError("expected finite shares and ascending entropies")
        return cls(gate, shares, entropies, limits)


def entropy(probabilities: Floats) -> Floats:
    """(N,) entropies in nats of (N, K) probabilities."""
    found: Floats = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(1)
    return found


def stream(
    apart: NDArray[np.float32], gate: float, order: NDArray[np.int64], every: int = 8
) -> list[NDArray[np.int64]]:
    """What :class:`Views` holds after every few frames: for each view the newest frame that showed it, oldest first.

    Args:
        apart: (N, N) distances of frames. order: the frames in the order in which they come.
    """
    first: list[int] = []  # of each view, the frame that it was found with
    newest: list[int] = []
    held = []
    for number, frame in enumerate(order, 1):
        place = int(apart[frame, first].argmin()) if first else 0
        if first and apart[frame, first[place]] <= gate:
            first.append(first.pop(place))
            newest.pop(place)
        else:
            first.append(int(frame))
        newest.append(int(frame))
        del first[: -SIZES[-1]], newest[: -SIZES[-1]]
        if number % every == 0:
            held.append(np.array(newest))
    return held


class Views:
    """The newest different views of a device, at most the largest of SIZES, and the newest answer to each.

    A view stays what it was found with, so that it does not wander off by small steps.

    Args:
        windows: what is compared with. weights: (D,) of the distance between descriptions.
    """

    def __init__(self, windows: AnswerWindows, weights: Floats) -> None:
        self._windows, self._weights = windows, weights
        self._views: list[tuple[Floats, Floats, float]] = []  # description, answer, time; by time

    def see(self, description: Floats, answer: Floats, time: float = 0.0) -> float:
        """One more frame: (D,) description and (K,) probabilities. Returns :meth:`AnswerWindows.excess`."""
        if self._views:
            apart = np.abs(np.stack([view[0] for view in self._views]) - description) @ self._weights  # (V,)
            place = int(apart.argmin())
            if apart[place] <= self._windows.gate:
                description = self._views.pop(place)[0]
        self._views = [*self._views, (description, answer, time)][-SIZES[-1] :]
        return self._windows.excess([view[1] for view in self._views])

    def forget(self, now: float, seconds: float) -> None:
        """Drop the views that nothing was like for so long."""
        self._views = [view for view in self._views if abs(now - view[2]) <= seconds]
