"""Proof of an exported graph: the same real frames through torch and through ONNX Runtime."""

from __future__ import annotations

import copy
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

ROUNDING = 4.0
"""A graph sums in another order than torch; its own rounding may be so many times torch's, each against float64."""

MAX_ROUNDING = 1e-2
"""But no more than this share of the largest logit: a network whose float32 is less exact is not exported."""


def verify_fp32(
    deployed: Deployed, path: Path, classes: tuple[str, ...], codes: NDArray[np.uint16], size: int
) -> Comparison:
    """Run real frames through torch and through the file at ``path`` with ONNX Runtime, one by one, both on the CPU.

    Args:
        codes: (N, R, R) uint16 codes of frames (see preprocess).

    Where the two differ by more than MAX_RELATIVE, torch in float64 tells whether that is the file or float32: some
    networks magnify rounding, and torch's own float32 is then no nearer to the truth than the file.

    Raises:
        GateError: (exit 3) outputs differ by more than rounding, or a frame gets another class.
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
    if worst <= limit and result.top1_agreement == 1.0:
        return result
    if not np.isfinite(worst):
        raise GateError(_disagree(path, result, worst, limit))
    exact = _exact_logits(deployed, inputs)
    own = float(np.abs(reference[0] - exact).max())
    limit = max(limit, min(ROUNDING * own, MAX_ROUNDING * result.max_logit))
    worst = max(float(np.abs(answer[0] - exact).max()) for answer in (found, together))
    if worst <= limit and _same_class(found[0], exact, 2 * limit):
        return result
    more = ""
    if own > MAX_ROUNDING / ROUNDING * result.max_logit:
        more = (
            f" Torch's own answers in float32 differ from those in float64 by {own:.3g}: the network magnifies "
            f"rounding, as one with batch norms that saw next to no variance does. Train it with more or other frames."
        )
    raise GateError(_disagree(path, result, worst, limit) + more)


def _exact_logits(deployed: Deployed, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, K) of the plain network in float64, frame by frame."""
    double = copy.deepcopy(deployed).double()
    with torch.inference_mode():
        rows = [double(torch.from_numpy(x[np.newaxis]).double())[0].numpy() for x in inputs]
    return np.concatenate(rows).astype(np.float64)


def _same_class(found: NDArray[np.float32], exact: NDArray[np.float64], apart: float) -> bool:
    """Whether each frame gets its class, or one whose exact logit is no further than ``apart`` below the largest."""
    chosen = np.take_along_axis(exact, found.argmax(1)[:, np.newaxis], 1)[:, 0]
    return bool((exact.max(1) - chosen <= apart).all())


def _disagree(path: Path, result: Comparison, worst: float, limit: float) -> str:
    return (
        f"{path.name}: ONNX Runtime and torch disagree on {result.frames} real frames: largest logit difference "
        f"{worst:.3g} (allowed {limit:.3g}), same class on {result.top1_agreement:.1%}. No bundle was written."
    )
