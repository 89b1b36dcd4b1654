"""Proof of an exported graph: the same real frames through torch and through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.errors import GateError
from tgkt_edge.evaluation.accuracy_gate import Comparison, ask, compare, network_inputs
from tgkt_edge.export.graph import Deployed
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine

MAX_RELATIVE = 1e-4
"""FP32 tolerance: largest logit difference as a share of the largest logit. Seen on ResNet-50: about 2e-6."""


def verify_fp32(
    deployed: Deployed, path: Path, classes: tuple[str, ...], codes: NDArray[np.uint16], size: int
) -> Comparison:
    """Run real frames through torch and through the file at ``path`` with ONNX Runtime, one by one, both on the CPU.

    Args:
        codes: (N, R, R) uint16 codes of frames (see preprocess).

    Raises:
        GateError: (exit 3) outputs differ by more than MAX_RELATIVE, or a frame gets another class.
    """
    inputs = network_inputs(codes, size)
    with torch.inference_mode():
        outputs = [deployed(torch.from_numpy(x[np.newaxis])) for x in inputs]
    reference = tuple(np.concatenate([output[i].numpy() for output in outputs]) for i in (0, 1))
    engine = OnnxRuntimeEngine(path, size, classes, providers=["CPUExecutionProvider"])
    try:
        found = ask(engine, inputs)
        together = engine.infer(inputs)  # the batch dimension must be free
    finally:
        engine.close()
    result = compare((reference[0], reference[1]), found)
    batched = compare((reference[0], reference[1]), together)
    limit = MAX_RELATIVE * result.max_logit
    worst = max(result.max_logit_difference, batched.max_logit_difference)
    if not worst <= limit or result.top1_agreement < 1.0:  # "not <=" so that NaN fails
        raise GateError(
            f"{path.name}: ONNX Runtime and torch disagree on {result.frames} real frames: largest logit difference "
            f"{worst:.3g} (allowed {limit:.3g}), same class on {result.top1_agreement:.1%}. No bundle was written."
        )
    return result
