"""Frames in, one JSON line a frame out: sources, engines and the pipeline between them.

Imports neither torch nor the training and export code. OpenCV, ONNX Runtime and TensorRT are imported when a source or
an engine is opened, so that ``import tgkt_edge.runtime`` needs nothing but numpy.

>>> from tgkt_edge.runtime import run
>>> summary = run(Path("bundle"), "frames/", max_frames=100)
"""

from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.runtime.engines.select import ENGINES, open_engine
from tgkt_edge.runtime.engines.tensorrt import TensorRtEngine
from tgkt_edge.runtime.output.summary import RunSummary
from tgkt_edge.runtime.pipeline import classify, run
from tgkt_edge.runtime.sources import Captured, FrameSource, open_source

__all__ = [
    "ENGINES",
    "Captured",
    "Engine",
    "FrameSource",
    "OnnxRuntimeEngine",
    "RunSummary",
    "TensorRtEngine",
    "classify",
    "open_engine",
    "open_source",
    "run",
]
