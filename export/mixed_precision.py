"""INT8 within an allowed drop: the layers that suffer most from 8 bits go back to float until the gate is passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import TensorsData

from tgkt_edge.evaluation.accuracy_gate import Comparison, ask, compare
from tgkt_edge.export.int8 import layers, quantise
from tgkt_edge.runtime.engines.base import Answer
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine

SENSITIVITY_FRAMES = 32
"""Frames that the sensitivity of each layer is measured on."""

MOST_FLOAT = 0.5
"""Share of the layers that may go back to float; with more of them INT8 is not worth its name."""


@dataclass(frozen=True)
class GateFrames:
    """What every precision is measured on.

    Attributes:
        inputs: (N, 1, S, S) float32, as the network takes them.
        labels: (N,) class indices, or None.
        reference: the answers of the FP32 file to ``inputs``.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    reference: Answer

    def measure(self, path: Path, size: int, classes: tuple[str, ...]) -> Comparison:
        """Answers of another file to the same frames, compared with FP32's."""
        return compare(self.reference, answers(path, size, classes, self.inputs), self.labels)


def answers(path: Path, size: int, classes: tuple[str, ...], inputs: NDArray[np.float32]) -> Answer:
    """Logits and probabilities of an ONNX file on this machine's CPU, frame by frame."""
    engine = OnnxRuntimeEngine(path, size, classes, providers=["CPUExecutionProvider"])
    try:
        return ask(engine, inputs)
    finally:
        engine.close()


def sensitivity(
    model: Path,
    ranges: TensorsData,
    form: str,
    frames: GateFrames,
    size: int,
    classes: tuple[str, ...],
    say: Callable[[str], None],
) -> dict[str, float]:
    """Mean KL from FP32's answers of the graph in which one layer alone is in 8 bits, for each layer, largest first."""
    names = layers(onnx.load(str(model)))
    chosen = np.unique(np.linspace(0, len(frames.inputs) - 1, SENSITIVITY_FRAMES).round().astype(int))
    few = GateFrames(frames.inputs[chosen], None, (frames.reference[0][chosen], frames.reference[1][chosen]))
    trial = model.with_name(f"{model.stem}.sensitivity.onnx")
    found = {}
    try:
        for number, name in enumerate(names, 1):
            onnx.save_model(quantise(model, ranges, form, [other for other in names if other != name]), trial)
            found[name] = few.measure(trial, size, classes).mean_kl
            if number % 10 == 0 or number == len(names):
                say(f"{form}: sensitivity of {number} of {len(names)} layers measured")
    finally:
        trial.unlink(missing_ok=True)
    # A layer whose answers are not numbers is the worst of all.
    return dict(sorted(found.items(), key=lambda item: -np.nan_to_num(item[1], nan=np.inf)))


def fit(
    model: Path,
    out: Path,
    ranges: TensorsData,
    form: str,
    frames: GateFrames,
    max_drop: float,
    size: int,
    classes: tuple[str, ...],
    say: Callable[[str], None],
) -> tuple[Comparison | None, list[dict[str, Any]]]:
    """Write ``out`` in 8 bits so that it passes the gate, with as few layers in float as were tried.

    First all layers in 8 bits; then 1, 2, 4, ... of the most sensitive ones in float, up to MOST_FLOAT of them.

    Returns:
        What the written file measured, or None where no trial passed (then ``out`` does not exist); and every step:
        ``{"float_layers", "drop", "top1_agreement", "mean_kl", "passed"}``.
    """
    count = len(layers(onnx.load(str(model))))
    order: list[str] = []
    steps: list[dict[str, Any]] = []
    number = 0
    while number <= MOST_FLOAT * count:
        if number and not order:
            worst = sensitivity(model, ranges, form, frames, size, classes, say)
            order = list(worst)
            say(f"{form}: most sensitive: " + ", ".join(f"{n} (KL {worst[n]:.2g})" for n in order[:3]))
        onnx.save_model(quantise(model, ranges, form, order[:number]), out)
        result = frames.measure(out, size, classes)
        complaint = result.complaint(max_drop)
        passed = not complaint
        steps.append(
            {
                "float_layers": order[:number],
                "drop": result.drop,
                "top1_agreement": result.top1_agreement,
                "mean_kl": result.mean_kl,
                "passed": passed,
            }
        )
        say(
            f"{form}: {number} of {count} layers back in float: same class on {result.top1_agreement:.1%}, drop "
            f"{result.drop:.2%}{'' if passed else f': not passed, {complaint}'}"
        )
        if passed:
            return result, steps
        number = max(1, 2 * number)
    out.unlink(missing_ok=True)
    return None, steps
