"""Proof of an exported graph: the same real frames through torch and through ONNX Runtime."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.errors import GateError
from tgkt_edge.export.graph import Deployed
from tgkt_edge.preprocess import center_crop, to_unit
from tgkt_edge.runtime.engine import OnnxRuntimeEngine

MAX_RELATIVE = 1e-4
"""FP32 tolerance: largest logit difference as a share of the largest logit. Seen on ResNet-50: about 2e-6."""


@dataclass(frozen=True)
class Comparison:
    """How one graph differs from its reference on the same frames.

    Attributes:
        frames: how many were compared.
        max_logit_difference, mean_logit_difference: absolute, over frames and classes.
        max_logit: largest absolute logit of the reference.
        max_probability_difference: absolute.
        top1_agreement: share of frames with the same largest class, 0 to 1.
    """

    frames: int
    max_logit_difference: float
    mean_logit_difference: float
    max_logit: float
    max_probability_difference: float
    top1_agreement: float

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def compare(
    reference: tuple[NDArray[np.float32], NDArray[np.float32]],
    found: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Comparison:
    """Compare (logits, probabilities), each (N, K) float32, with those of a reference."""
    logits, probabilities = reference
    difference = np.abs(found[0] - logits)
    return Comparison(
        frames=len(logits),
        max_logit_difference=float(difference.max()),
        mean_logit_difference=float(difference.mean()),
        max_logit=float(np.abs(logits).max()),
        max_probability_difference=float(np.abs(found[1] - probabilities).max()),
        top1_agreement=float((found[0].argmax(1) == logits.argmax(1)).mean()),
    )


def verify_fp32(
    deployed: Deployed, path: Path, classes: tuple[str, ...], codes: NDArray[np.uint16], size: int
) -> Comparison:
    """Run real frames through torch and through the file at ``path`` with ONNX Runtime, one by one.

    Args:
        codes: (N, R, R) uint16 codes of frames (see preprocess).

    Raises:
        GateError: (exit 3) outputs differ by more than MAX_RELATIVE, or a frame gets another class.
    """
    inputs = [to_unit(center_crop(frame, size))[np.newaxis, np.newaxis] for frame in codes]
    with torch.inference_mode():
        outputs = [deployed(torch.from_numpy(x)) for x in inputs]
    reference = tuple(np.concatenate([output[i].numpy() for output in outputs]) for i in (0, 1))
    engine = OnnxRuntimeEngine(path, size, classes)
    try:
        answers = [engine.infer(x) for x in inputs]
        together = engine.infer(np.concatenate(inputs))  # the batch dimension must be free
    finally:
        engine.close()
    found = tuple(np.concatenate([answer[i] for answer in answers]) for i in (0, 1))
    result = compare((reference[0], reference[1]), (found[0], found[1]))
    batched = compare((reference[0], reference[1]), together)
    limit = MAX_RELATIVE * result.max_logit
    worst = max(result.max_logit_difference, batched.max_logit_difference)
    if not worst <= limit or result.top1_agreement < 1.0:  # "not <=" so that NaN fails
        raise GateError(
            f"{path.name}: ONNX Runtime and torch disagree on {result.frames} real frames: largest logit difference "
            f"{worst:.3g} (allowed {limit:.3g}), same class on {result.top1_agreement:.1%}. No bundle was written."
        )
    return result
