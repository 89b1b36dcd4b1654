"""The accuracy gate: what a precision costs against FP32 on real frames. Numpy only, so that a device can run it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import center_crop, to_unit
from tgkt_edge.runtime.engines.base import Answer, Engine

_ROUNDING = 1e-9  # 1 - 0.99 is a little more than 0.01

GATE_FRAMES = 512
"""Unlabelled frames compared, where there are more; with labels, all of them."""


@dataclass(frozen=True)
class Comparison:
    """How one graph differs from its reference on the same frames.

    Attributes:
        frames: how many were compared.
        max_logit_difference, mean_logit_difference: absolute, over frames and classes.
        max_logit: largest absolute logit of the reference.
        max_probability_difference: absolute.
        mean_kl: mean over frames of KL(reference || found), nats.
        top1_agreement: share of frames with the same largest class, 0 to 1.
        accuracy, reference_accuracy: shares 0 to 1 where labels were given, else None.
    """

    frames: int
    max_logit_difference: float
    mean_logit_difference: float
    max_logit: float
    max_probability_difference: float
    mean_kl: float
    top1_agreement: float
    accuracy: float | None = None
    reference_accuracy: float | None = None

    @property
    def drop(self) -> float:
        """Accuracy lost, 0 to 1. Without labels its upper bound: the share of frames that get another class."""
        if self.accuracy is not None and self.reference_accuracy is not None:
            return max(0.0, self.reference_accuracy - self.accuracy)
        return 1.0 - self.top1_agreement

    def passes(self, max_drop: float) -> bool:
        """Whether the drop is allowed, every answer is a number, and at most 2 ``max_drop`` of the frames change class.

        The last matters with labels only: equal accuracy on few frames can hide classes that trade places.
        """
        return not self.complaint(max_drop)

    def complaint(self, max_drop: float) -> str:
        """Which condition of :meth:`passes` is not met, in words; empty if all are."""
        if not math.isfinite(self.max_logit_difference):
            return "answers that are no numbers"
        if self.drop > max_drop + _ROUNDING:
            return f"it loses {self.drop:.2%}, allowed are {max_drop:.2%} (`max_drop`)"
        changed = 1.0 - self.top1_agreement
        if changed > 2 * max_drop + _ROUNDING:
            return (
                f"{changed:.2%} of the frames change class, allowed are {2 * max_drop:.2%} (twice `max_drop`)"
            )
        return ""

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def compare(reference: Answer, found: Answer, labels: NDArray[np.int64] | None = None) -> Comparison:
    """Compare (logits, probabilities), each (N, K) float32, with those of a reference.

    Args:
        labels: (N,) class indices, or None.
    """
    logits, probabilities = reference
    difference = np.abs(found[0] - logits)
    truth = _log_softmax(logits)
    kl = (np.exp(truth) * (truth - _log_softmax(found[0]))).sum(1)  # (N,)
    return Comparison(
        frames=len(logits),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        max_logit=float(np.abs(logits).max()),
        max_probability_difference=float(np.abs(found[1] - probabilities).max()),
        mean_kl=float(kl.mean()),
        top1_agreement=float((found[0].argmax(1) == logits.argmax(1)).mean()),
        accuracy=None if labels is None else float((found[0].argmax(1) == labels).mean()),
        reference_accuracy=None if labels is None else float((logits.argmax(1) == labels).mean()),
    )


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def network_inputs(codes: NDArray[np.uint16], size: int) -> NDArray[np.float32]:
    """(N, R, R) codes to what ``run`` feeds the network, (N, 1, size, size) float32 in [0, 1]."""
    return np.stack([to_unit(center_crop(frame, size))[np.newaxis] for frame in codes])


def ask(engine: Engine, inputs: NDArray[np.float32]) -> Answer:
    """Logits and probabilities of (N, 1, S, S) inputs, frame by frame as ``run`` does."""
    rows = [engine.infer(frame[np.newaxis]) for frame in inputs]
    return np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])
