"""FP16 and INT8 files beside an FP32 one, each passed through the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from tgkt_edge.data.loading import Frames, load_frames, load_labelled_frames, spread
from tgkt_edge.errors import GateError, UsageError
from tgkt_edge.evaluation.accuracy_gate import GATE_FRAMES, Comparison, network_inputs
from tgkt_edge.evaluation.engine_timing import time_engines
from tgkt_edge.evaluation.maps_check import check_maps
from tgkt_edge.export.fp16 import write_fp16
from tgkt_edge.export.int8 import FORMS, quantise
from tgkt_edge.export.int8_calibration import Ranges, calibrate
from tgkt_edge.export.mixed_precision import GateFrames, answers, fit
from tgkt_edge.export.task import Say, Task
from tgkt_edge.preprocess import resize_side
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine

HELD_OUT = 100
"""With at least so many frames left over by calibration the gate measures on those alone."""


@dataclass(frozen=True)
class RealFrames:
    """Frames for calibration and gate.

    Attributes:
        calibration: (N, 1, S, S) float32, as the network takes them.
        gate: (M, 1, S, S), and ``labels`` (M,) or None.
        held_out: whether the gate's frames are none of the calibration's; None: not known, they came from elsewhere.
    """

    calibration: NDArray[np.float32]
    gate: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    held_out: bool | None


def load_real_frames(
    task: Task, target: Path, labelled: Path | None, count: int, *, flag: str, skip_bad: bool
) -> RealFrames:
    """Read the target frames, and divide them between calibration and gate.

    Args:
        count: frames to calibrate with, at least 1, spread evenly over all that are there.
        labelled: labelled frames; then all of them, and only they, are the gate's.
        flag: what an error calls ``target``.

    Raises:
        DataError: frames that contradict the bundle's SensorSpec or cannot be read, named, unless ``skip_bad``.
    """
    side = resize_side(task.size)
    frames, _ = load_frames(
        target,
        task.sensor,
        side,
        skip_bad=skip_bad,
        flag=flag,
        at_most=count + (0 if labelled else GATE_FRAMES),
    )
    inputs = network_inputs(frames.codes, task.size)
    chosen = spread(len(inputs), count)
    if labelled is not None:
        truth: Frames = load_labelled_frames(
            labelled, task.sensor, side, task.classes, skip_bad=skip_bad, flag="`labels`"
        )
        return RealFrames(inputs[chosen], network_inputs(truth.codes, task.size), truth.labels, None)
    rest = np.setdiff1d(np.arange(len(inputs)), chosen)
    held_out = len(rest) >= HELD_OUT
    gate = inputs[rest] if held_out else inputs[spread(len(inputs), GATE_FRAMES)]
    return RealFrames(inputs[chosen], gate, None, held_out)


def add_precisions(
    task: Task,
    precisions: Sequence[str],
    frames: RealFrames | None,
    *,
    method: str,
    max_drop: float,
    verify: bool,
    say: Say,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the files of ``precisions`` beside ``model.onnx``.

    Args:
        precisions: any but fp32, each once.
        frames: needed for INT8 and for verification.

    Returns:
        What was verified, and for INT8 what it was calibrated with, each by precision.

    Raises:
        GateError: (exit 3) a precision, FP16 after INT8 included, loses more than ``max_drop``.
        UsageError: (exit 2) frames are needed and there are none.
    """
    requested = list(precisions)
    ranges: Ranges | None = None
    if any(name in FORMS for name in requested):
        if frames is None:
            raise UsageError("INT8 is calibrated on real target frames: give `calibrate=T`")
        say(f"calibrating on {len(frames.calibration)} frames ({method})")
        ranges = calibrate(task.file("fp32"), frames.calibration, method, say)
    gate: GateFrames | None = None
    if verify and requested and frames is not None:
        reference = answers(task.file("fp32"), task.size, task.classes, frames.gate)
        gate = GateFrames(frames.gate, frames.labels, reference)
    verification: dict[str, Any] = {}
    while requested:
        name = requested.pop(0)
        path = task.file(name)
        steps: list[dict[str, Any]] = []
        result: Comparison | None = None
        if name == "fp16":
            write_fp16(task.file("fp32"), path)
            if gate is not None:
                result = gate.measure(path, task.size, task.classes)
                if not result.passes(max_drop):
                    raise GateError(_too_much("fp16", result, max_drop))
        else:
            assert ranges is not None
            if gate is None:
                onnx.save_model(quantise(task.file("fp32"), ranges.ranges, name), path)
            else:
                result, steps = fit(
                    task.file("fp32"), path, ranges.ranges, name, gate, max_drop, task.size, task.classes, say
                )
                if result is None:
                    say(f"{name}: cannot keep within `max_drop={max_drop:g}`; fp16 takes its place")
                    verification[name] = {
                        "against": "fp32",
                        "passed": False,
                        "replaced_by": "fp16",
                        "steps": steps,
                    }
                    if "fp16" not in (*requested, *verification):
                        requested.insert(0, "fp16")
                    continue
        if result is not None:
            assert gate is not None
            assert frames is not None
            verification[name] = {
                "against": "fp32", **result.to_dict(), "drop": result.drop, "max_drop": max_drop, "passed": True,
                "held_out": frames.held_out, **_maps_and_speed(task, name, gate.inputs, say),
            }  # fmt: skip
            if steps:
                verification[name]["steps"] = steps
    written = [name for name in precisions if name in FORMS and task.file(name).is_file()]
    return verification, {} if ranges is None else dict.fromkeys(written, ranges.about)


def _too_much(name: str, result: Comparison, max_drop: float) -> str:
    return (
        f"{name} does not pass on {result.frames} real frames: {result.complaint(max_drop)}. No bundle was written. "
        f"Give another `max_drop`, or leave {name} out."
    )


def _maps_and_speed(task: Task, name: str, inputs: NDArray[np.float32], say: Say) -> dict[str, float]:
    """What the maps of a precision measure; milliseconds a frame of it and of FP32 on this CPU, and how many times
    faster than FP32 it is. Raises GateError: the maps do not add up to the logits."""
    engines = {
        key: OnnxRuntimeEngine(task.file(key), task.size, task.classes, providers=["CPUExecutionProvider"])
        for key in ("fp32", name)
    }
    try:
        of_maps = check_maps(engines[name], inputs, name, task.file(name).name)
        ms = time_engines(engines, inputs)
    finally:
        for engine in engines.values():
            engine.close()
    speed = ms["fp32"] / ms[name]
    if speed <= 1:
        why = {
            "fp16": "expected of a CPU without FP16 arithmetic; fp16 is for GPUs",
            "int8": "int8 is for TensorRT; on CPUs use int8-cpu",
        }.get(name, "use fp32 here")
        say(f"{name} is no faster than fp32 on this CPU ({speed:.2f}x): {why}")
    return {**of_maps, "ms": ms[name], "ms_fp32": ms["fp32"], "speed": speed}
