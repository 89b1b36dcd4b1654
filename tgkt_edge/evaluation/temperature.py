"""Probabilities that mean what they say: one temperature, fitted on labelled frames.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017): logits are divided by T > 0
before the softmax. No label changes, only how sure the network claims to be. T is the minimum of the negative log
likelihood of labelled frames; how much it brings is measured by cross-fitting, on frames that T was not fitted on.

Ways to find T without labels were tried and are not offered: ``benchmarks/calibration.py`` says how they fared.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_LABELLED = 30
"""Labelled frames below which no temperature is fitted."""

FOLDS = 5
"""Parts of cross-fitting."""

BINS = 15
"""Equal bins of confidence in the expected calibration error, as in Guo et al."""

_LOWEST, _HIGHEST = 0.05, 20.0
_STEPS = 60  # of golden section: the interval shrinks to a thousand-millionth

Floats = NDArray[np.float32]


def soften(logits: Floats, temperature: float) -> Floats:
    """Softmax of ``logits / temperature``.

    Args:
        logits: (N, K). temperature: > 0; above 1 is less sure, below 1 surer.

    Returns:
        (N, K) float32, rows of sum 1; the largest of each row stays the largest.
    """
    result: Floats = np.exp(_log_softmax(logits, temperature)).astype(np.float32)
    return result


def nll(logits: Floats, labels: NDArray[np.int64], temperature: float = 1.0) -> float:
    """Mean negative log likelihood in nats of (N,) class indices under (N, K) logits."""
    return float(-_log_softmax(logits, temperature)[np.arange(len(labels)), labels].mean())


def ece(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """Expected calibration error, 0 to 1: mean over frames of |accuracy - confidence| of the frame's bin.

    Args:
        probabilities: (N, K). labels: (N,) class indices. BINS equal bins of the largest probability.
    """
    confidence, right = probabilities.max(1).astype(np.float64), probabilities.argmax(1) == labels
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # (low, high]
    gaps = np.bincount(index, right - confidence, BINS)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature from 0.05 to 20 of the least :func:`nll`, which is convex in 1 / T."""
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    ratio = (math.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = nll(logits, labels, math.exp(a)), nll(logits, labels, math.exp(b))
    for _ in range(_STEPS):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = nll(logits, labels, math.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = nll(logits, labels, math.exp(b))
    return math.exp((low + high) / 2)


def cross_fitted(logits: Floats, labels: NDArray[np.int64], seed: int = 0) -> Floats:
    """(N, K) probabilities, those of each fifth of the frames under the temperature that the other four fitted."""
    found = np.empty(logits.shape, np.float32)
    for part in np.array_split(np.random.default_rng(seed).permutation(len(labels)), FOLDS):
        others = np.setdiff1d(np.arange(len(labels)), part)
        found[part] = soften(logits[part], fit_temperature(logits[others], labels[others]))
    return found


def measure(logits: Floats, labels: NDArray[np.int64]) -> dict[str, Any]:
    """What a temperature fitted on these labelled frames brings.

    Returns:
        ``temperature`` fitted on all, ``frames``, and ``nll`` (nats) and ``ece`` (0 to 1) ``before`` and ``after``;
        after: cross-fitted, on frames that it was not fitted on.

    Raises:
        ValueError: fewer than MIN_LABELLED frames.
    """
    if len(labels) < MIN_LABELLED:
        raise ValueError(
            f"{len(labels)} labelled frames: expected at least {MIN_LABELLED} to fit a temperature"
        )
    before, after = soften(logits, 1.0), cross_fitted(logits, labels)
    likelihood = np.maximum(after[np.arange(len(labels)), labels].astype(np.float64), 1e-30)
    return {
        "temperature": fit_temperature(logits, labels),
        "frames": len(labels),
        "nll": {"before": nll(logits, labels), "after": float(-np.log(likelihood).mean())},
        "ece": {"before": ece(before, labels), "after": ece(after, labels)},
    }


def helps(found: dict[str, Any]) -> bool:
    """Whether the temperature of :func:`measure` is likelier than none on frames that it was not fitted on."""
    return bool(found["nll"]["after"] < found["nll"]["before"])


def describe(found: dict[str, Any]) -> str:
    """A line for a person."""
    nlls, eces = found["nll"], found["ece"]
    return (
        f"temperature {found['temperature']:.2f} on {found['frames']} labelled frames: calibration error "
        f"{eces['before']:.3f} -> {eces['after']:.3f}, negative log likelihood {nlls['before']:.3f} -> "
        f"{nlls['after']:.3f} (cross-fitted)"
    )


def _log_softmax(logits: Floats, temperature: float) -> NDArray[np.float64]:
    scaled = logits.astype(np.float64) / temperature
    with np.errstate(
        invalid="ignore"
    ):  # logits that are no numbers give probabilities that are none, for the caller
        shifted = scaled - scaled.max(1, keepdims=True)
        result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result
