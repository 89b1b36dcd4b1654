"""Whether the maps of a graph are what they should be: for each class the mean over places is the logit. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import GateError
from tgkt_edge.runtime.engines.base import Engine, with_maps

CHECKED_FRAMES = 16
"""Frames on which maps are compared with logits, of those that there are."""

ALLOWED = 1e-4
"""Largest difference between a map's mean and its logit, as a share of the largest logit. Seen: under 5e-6."""

ALLOWED_FP16 = 1e-2
"""The same of half precision, whose logits are rounded to eleven bits. Seen: under 1e-3."""


def maps_difference(engine: Engine, inputs: NDArray[np.float32]) -> float | None:
    """Largest difference between the mean of a map and its logit, as a share of the largest logit.

    Args:
        inputs: (N, 1, S, S) float32, as the network takes them; the first CHECKED_FRAMES are looked at.

    Returns:
        None: the engine's graph has no maps. NaN: an answer is not finite.
    """
    mapped = with_maps(engine)
    if mapped is None:
        return None
    answers = [mapped.infer_maps(frame[np.newaxis]) for frame in inputs[:CHECKED_FRAMES]]
    logits = np.concatenate([answer[0] for answer in answers]).astype(np.float64)
    means = np.concatenate([answer[2].mean((2, 3), dtype=np.float64) for answer in answers])
    return float(np.abs(means - logits).max() / max(float(np.abs(logits).max()), 1e-30))


def check_maps(
    engine: Engine, inputs: NDArray[np.float32], precision: str, where: object
) -> dict[str, float]:
    """What the manifest says of the maps: ``{"maps_difference": ...}``; empty where the graph has none.

    Raises:
        GateError: (exit 3) they are not what they should be.
    """
    found = maps_difference(engine, inputs)
    if found is None:
        return {}
    if not add_up(found, precision):
        raise GateError(f"{where}: {complaint(found, precision)}. Export without them: `maps=False`.")
    return {"maps_difference": found}


def add_up(difference: float, precision: str) -> bool:
    """Whether maps that differ so much are what they should be; NaN is not."""
    return difference <= _allowed(precision)


def complaint(difference: float, precision: str) -> str:
    """What is wrong with maps that do not :func:`add_up`, in words."""
    return (
        f"the maps of evidence do not add up to the logits: they differ by {difference:.3g} of the largest logit, "
        f"allowed are {_allowed(precision):g}"
    )


def _allowed(precision: str) -> float:
    return ALLOWED_FP16 if precision == "fp16" else ALLOWED
