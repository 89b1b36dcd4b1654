"""Graphs that take raw counts, against preprocessing and the plain graph on real frames. Needs ONNX Runtime alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES
from tgkt_edge.errors import FrameError, GateError, IncompatibleError, UsageError
from tgkt_edge.evaluation.accuracy_gate import ask, compare
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import CODE_MAX, preprocess
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.sensor import SensorSpec

RAW_FRAMES = 32
"""Real frames that are compared, where there are more."""

ALLOWED_CODES = 1
"""What a pixel of the network's input may differ by, in codes of 65535: rounding of sums in another order."""


def raw_name(precision: str) -> str:
    """What the manifest calls the verification of a precision's graph of raw counts."""
    return "raw" if precision == "fp32" else f"raw-{precision}"


def check_raw(
    path: Path,
    spec: SensorSpec,
    size: int,
    engine: Engine,
    frames: Sequence[tuple[str, NDArray[Any]]],
    max_drop: float,
    element: str,
) -> dict[str, Any]:
    """Run raw frames through the graph at ``path``, and through :func:`tgkt_edge.preprocess.preprocess` and ``engine``.

    Args:
        engine: of the same precision. frames: names and (H, W) raw counts. element: dtype of the graph's input.

    Returns:
        For the manifest: how the answers compare (:class:`tgkt_edge.evaluation.accuracy_gate.Comparison`), and
        ``max_code_difference`` and ``share_of_codes`` that differ at all.

    Raises:
        UsageError: (exit 2) none of the frames holds a measurement.
        GateError: (exit 3) an input differs by more than ALLOWED_CODES, or the answers do not pass the gate.
        IncompatibleError: (exit 4) ONNX Runtime cannot load the graph or run the frames.
    """
    session = _session(path)
    inputs, answers, worst, differing, pixels = [], [], 0.0, 0, 0
    for name, frame in frames:
        try:
            expected = preprocess(frame, spec, size, name)
        except FrameError:  # nothing was measured: there is no answer to compare
            continue
        try:
            *answer, unit = session.run(
                [*OUTPUT_NAMES, INPUT_NAME], {"counts": frame[np.newaxis].astype(element)}
            )
        except Exception as error:  # ONNX Runtime's own have no common base
            raise IncompatibleError(f"{path}: {name}: {str(error).splitlines()[0]}") from error
        difference = np.abs(np.rint(unit[0] * CODE_MAX) - np.rint(expected * CODE_MAX))
        worst, differing = max(worst, float(difference.max())), differing + int(np.count_nonzero(difference))
        pixels += difference.size
        inputs.append(expected)
        answers.append(answer)
    if not inputs:
        raise UsageError(f"{path.name}: none of {len(frames)} frames holds a measurement; give other frames.")
    found = compare(ask(engine, np.stack(inputs)), (_rows(answers, 0), _rows(answers, 1)))
    if not worst <= ALLOWED_CODES or found.complaint(max_drop):
        raise GateError(
            f"{path.name} does not answer {len(inputs)} raw frames as preprocessing and the plain graph do: inputs "
            f"differ by up to {worst:g} of {CODE_MAX} codes (allowed {ALLOWED_CODES}), same class on "
            f"{found.top1_agreement:.1%}. Export again."
        )
    return {
        "against": "preprocess", **found.to_dict(), "drop": found.drop, "max_drop": max_drop, "passed": True,
        "max_code_difference": worst, "share_of_codes": differing / pixels,
    }  # fmt: skip


def _rows(answers: Sequence[Sequence[NDArray[np.float32]]], which: int) -> NDArray[np.float32]:
    return np.concatenate([answer[which] for answer in answers])


def _session(path: Path) -> Any:
    ort = require("onnxruntime", "cpu", "checking a graph of raw counts")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:
        raise IncompatibleError(
            f"{path} cannot be loaded by ONNX Runtime {ort.__version__}: {str(error).splitlines()[0]}"
        ) from error
