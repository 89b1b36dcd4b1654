"""The accuracy gate: what a precision costs against FP32 on real frames. Numpy only, so that a device can run it."""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import center_crop, to_unit

if TYPE_CHECKING:
    from tgkt_edge.runtime.engines.base import Answer, Engine

MAX_DROP = 0.01
"""Default of ``--max-drop``: one point of accuracy."""

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
            return f"it loses {self.drop:.2%}, allowed are {max_drop:.2%} (--max-drop)"
        changed = 1.0 - self.top1_agreement
        if changed > 2 * max_drop + _ROUNDING:
            return (
                f"{changed:.2%} of the frames change class, allowed are {2 * max_drop:.2%} (twice --max-drop)"
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


SETTLE_SECONDS = 0.1
"""How long an engine runs before its calls are timed, when its turn comes. ONNX Runtime's threads go on spinning for
some 60 ms after their last call and hold a core that the next engine's threads want: seen on two cores, INT8 took 15 ms
in place of 6.5 for as long as those of the FP32 engine before it did."""


def settle(call: Callable[[], object], seconds: float = SETTLE_SECONDS) -> None:
    """Call once at least, and until ``seconds`` have passed, untimed."""
    end = time.perf_counter() + seconds
    call()
    while time.perf_counter() < end:
        call()


def time_engines(
    engines: Mapping[str, Engine], inputs: NDArray[np.float32], rounds: int = 5, calls: int = 3
) -> dict[str, float]:
    """Median milliseconds of one frame on each engine, in turns, so that a change of clock or load meets all.

    In each of the rounds an engine is left to settle (:func:`settle`), then ``calls`` frames are timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds):
        for name, engine in engines.items():
            frames = [inputs[(number * calls + i) % len(inputs)][np.newaxis] for i in range(calls)]
            settle(functools.partial(engine.infer, frames[0]))
            for frame in frames:
                begin = time.perf_counter()
                engine.infer(frame)
                seconds[name].append(time.perf_counter() - begin)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def table(verification: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was measured, by precision, as a table for a person."""
    rows: list[Sequence[str]] = [
        ("precision", "against", "frames", "same class", "accuracy", "largest", "mean", "KL", "ms", "speed")
    ]
    for name, found in verification.items():
        if "frames" not in found:
            continue
        accuracy = found.get("accuracy")
        speed = found.get("speed")
        rows.append(
            (
                name,
                str(found["against"]),
                str(found["frames"]),
                f"{found['top1_agreement']:.1%}",
                "-" if accuracy is None else f"{accuracy:.1%} ({found['reference_accuracy']:.1%})",
                _number(found["max_logit_difference"]),
                _number(found["mean_logit_difference"]),
                _number(found.get("mean_kl")),
                _number(found.get("ms")),
                "-" if speed is None else f"{speed:.2f}x",
            )
        )
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of texts as lines, every column as wide as its widest cell. All rows have equally many cells."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
