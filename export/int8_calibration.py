"""Calibration: the range of every activation on the target's own unlabelled frames, which INT8 scales come from."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.calibrate import (
    CalibraterBase,
    EntropyCalibrater,
    MinMaxCalibrater,
    PercentileCalibrater,
    TensorsData,
)

from tgkt_edge.bundle.bundle import INPUT_NAME
from tgkt_edge.errors import UsageError
from tgkt_edge.export_options import check_method
from tgkt_edge.system.cpu import cpu_limit

PERCENTILE = 99.99

METHODS: dict[str, tuple[type[CalibraterBase], dict[str, Any]]] = {
    "percentile": (PercentileCalibrater, {"num_bins": 2048, "percentile": PERCENTILE}),
    "entropy": (EntropyCalibrater, {"num_bins": 128, "num_quantized_bins": 128}),
    "minmax": (MinMaxCalibrater, {}),
}
"""What ONNX Runtime calls each :data:`tgkt_edge.export_options.CalibrationMethod`."""

MIN_FRAMES = 100
"""Fewer frames than this are warned of: ranges of rare scenes are missed."""

CALIBRATED_OPERATORS = ("Conv", "Add", "MaxPool", "Relu")

_TOGETHER = 8  # frames whose activations are in memory at once: about 0.1 GB each at 224 pixels


@dataclass(frozen=True)
class Ranges:
    """What calibration found.

    Attributes:
        ranges: of every activation, as onnxruntime.quantization takes them.
        about: method, frames and digest of the set, for the manifest.
    """

    ranges: TensorsData
    about: dict[str, Any]


def digest(inputs: NDArray[np.float32]) -> str:
    """SHA-256 of the calibration set as the network sees it: shape, then values in order."""
    found = hashlib.sha256(repr(inputs.shape).encode())
    found.update(np.ascontiguousarray(inputs, dtype="<f4").tobytes())
    return found.hexdigest()


def calibrate(
    model: Path,
    inputs: NDArray[np.float32],
    method: str = "percentile",
    say: Callable[[str], None] = lambda line: None,
) -> Ranges:
    """Run frames through an FP32 graph and find the range of every activation.

    Args:
        inputs: (N, 1, S, S) float32 in [0, 1], from :func:`tgkt_edge.preprocess.preprocess`, N >= 1.
        method: one of METHODS.
        say: takes a warning for a person.

    Raises:
        UsageError: (exit 2) an unknown method, or no frames.
    """
    check_method(method)
    if not len(inputs):
        raise UsageError("calibration needs at least one frame")
    if len(inputs) < MIN_FRAMES:
        say(
            f"warning: only {len(inputs)} calibration frames; under {MIN_FRAMES} the ranges of rarer scenes "
            f"are missed. Give more with `calibrate`."
        )
    # ONNX Runtime keeps all activations of all frames it is handed; in portions it merges their histograms instead.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        calibrator = open_calibrator(model, Path(folder), method)
        for first in range(0, len(inputs), _TOGETHER):
            calibrator.collect_data(_Portion(inputs[first : first + _TOGETHER]))
        ranges = calibrator.compute_data()
    about = {"method": method, "frames": len(inputs), "sha256": digest(inputs)}
    if method == "percentile":
        about["percentile"] = PERCENTILE
    return Ranges(ranges, about)


def open_calibrator(model: Path, folder: Path, method: str) -> CalibraterBase:
    """What onnxruntime.quantization calls a calibrator, with a session of as many threads as this process may use: the
    library's own would have one a core of the machine.

    Args:
        folder: where the graph with all activations as outputs is written. method: one of METHODS.
    """
    kind, options = METHODS[method]
    calibrator = kind(
        model, list(CALIBRATED_OPERATORS), str(folder / "augmented.onnx"), symmetric=False, **options
    )
    calibrator.augment_graph()
    session = onnxruntime.SessionOptions()
    session.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session.intra_op_num_threads = cpu_limit() or 0  # 0: its own choice
    calibrator.infer_session = onnxruntime.InferenceSession(
        calibrator.augmented_model_path, session, providers=["CPUExecutionProvider"]
    )
    return calibrator


class _Portion(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """One batch."""

    def __init__(self, batch: NDArray[np.float32]) -> None:
        self._left = [{INPUT_NAME: batch}]

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The batch, then None."""
        return self._left.pop() if self._left else None
