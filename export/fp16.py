"""FP16 as a graph: half-precision weights and arithmetic, float32 input and outputs."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import onnx

from tgkt_edge.bundle.bundle import OUTPUT_NAMES
from tgkt_edge.optional_deps import require

_FP16_MAX, _FP16_TINY = 65504.0, 2.0**-24  # largest finite, smallest positive number


def write_fp16(model: Path, out: Path) -> None:
    """Convert an FP32 ONNX file. Softmax stays in float32; a weight beyond FP16's range is clipped to it.

    TensorRT's strongly typed networks and ONNX Runtime on a GPU take the types as they stand. A CPU without FP16
    arithmetic gives the same answers more slowly.

    Raises:
        onnx.checker.ValidationError: the converted graph is no valid ONNX.
        MissingDependency: (exit 6) onnxconverter-common is not installed.
    """
    float16 = require("onnxconverter_common.float16", "export", "`precisions=fp16`")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # It names every weight that it rounds to the smallest positive number.
        warnings.simplefilter("ignore")
        converted = float16.convert_float_to_float16(
            onnx.load(str(model)),
            min_positive_val=_FP16_TINY,
            max_finite_val=_FP16_MAX,
            keep_io_types=True,
        )
    _softmax_in_float32(converted.graph)
    onnx.save_model(converted, str(out))
    onnx.checker.check_model(str(out), full_check=True)


def _softmax_in_float32(graph: onnx.GraphProto) -> None:
    """Take the probabilities from the float32 logits, so that they sum to one as FP32's do.

    The converter's own list of operators to keep cannot do it: it leaves an output of a kept operator in FP16.
    """
    logits, probabilities = OUTPUT_NAMES
    (cast,) = (node for node in graph.node if probabilities in node.output)
    (softmax,) = (node for node in graph.node if cast.input[0] in node.output)
    for node in (cast, softmax):
        graph.node.remove(node)
    softmax.input[0], softmax.output[0] = logits, probabilities
    graph.node.append(softmax)
