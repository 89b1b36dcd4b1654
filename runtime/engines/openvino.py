"""The OpenVINO engine: a bundle's ONNX graph on the CPU, by Intel's runtime, from the same files as ONNX Runtime."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES
from tgkt_edge.bundle.onnx_file import MAPS, read_onnx
from tgkt_edge.errors import IncompatibleError, TgktEdgeError
from tgkt_edge.optional_deps import import_openvino
from tgkt_edge.runtime.engines.base import Answer, Grid, MapsAnswer, check_batch, no_maps
from tgkt_edge.runtime.engines.io_check import graph_disagreement
from tgkt_edge.system.cpu import cpu_limit


class OpenVinoEngine:
    """An ONNX graph on OpenVINO's CPU. Loading ends with one inference on zeros, so that the first frame is not slow.

    The graph is compiled for one frame, which is faster than for any number of them; the frames of a batch are answered
    one after the other. Arithmetic is the file's: OpenVINO's own choice would be half precision on some CPUs.

    Args:
        model_path: the .onnx file; its checksum is the caller's business (:meth:`Bundle.model`).
        size: side S of the network's input, pixels.
        classes: the K names that the graph must agree with.
        threads: CPU threads for one inference; None: its own choice, or as many as affinity and quota allow, where
            those are fewer.
        lanes: inferences side by side, of one thread each: see :class:`OnnxRuntimeEngine`.

    Raises:
        ValueError: ``lanes`` below 1, or more than one and ``threads``.
        IncompatibleError: (exit 4) no loadable ONNX file; inputs, outputs or classes that disagree.
        MissingDependency: (exit 6) OpenVINO is not installed.
    """

    precision: str | None = None
    """Of the bundle's precisions, the one that was loaded, where that is known."""

    def __init__(
        self, model_path: Path, size: int, classes: Sequence[str], threads: int | None = None, lanes: int = 1
    ) -> None:
        if lanes < 1 or (lanes > 1 and threads is not None):
            raise ValueError(
                f"lanes = {lanes}, threads = {threads}: expected 1 lane or more, of one thread each if more"
            )
        library = import_openvino()
        self._path, self._size, self._count = model_path, size, len(classes)
        info = read_onnx(model_path)
        problem = graph_disagreement(info, size, classes)
        if problem:
            raise IncompatibleError(
                f"{model_path} does not fit its manifest: {problem}. Export the bundle again; do not mix files of two."
            )
        tensor = info.outputs.get(MAPS)
        self._grid: Grid | None = None if tensor is None else tuple(tensor.shape[2:])  # type: ignore[assignment]
        if lanes > 1:
            threads = lanes
        elif threads is None:
            threads = cpu_limit()
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if lanes == 1 else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": lanes,
            **({} if threads is None else {"INFERENCE_NUM_THREADS": threads}),
        }
        try:
            core = library.Core()
            model = core.read_model(str(model_path))
            model.reshape({INPUT_NAME: [1, 1, size, size]})
            compiled = core.compile_model(model, "CPU", options)
            self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
            for _ in range(lanes):
                self._requests.put(compiled.create_infer_request())
        except Exception as error:  # it raises RuntimeError and its own
            raise IncompatibleError(
                f"{model_path} cannot be loaded by OpenVINO {library.__version__.partition('-')[0]}: "
                f"{_first_line(error)} Export the bundle again, or install a newer OpenVINO."
            ) from error
        self._closed = False
        self._name, self._lanes = "openvino, CPU", lanes
        self.infer(np.zeros((1, 1, size, size), np.float32))

    @property
    def name(self) -> str:
        """Library and device."""
        return self._name

    @property
    def lanes(self) -> int:
        """See :attr:`Engine.lanes`."""
        return self._lanes

    @property
    def grid(self) -> Grid | None:
        """See :attr:`MapsEngine.grid`."""
        return self._grid

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        """Classify a batch; see :meth:`Engine.infer`."""
        logits, probabilities = self._run(batch, OUTPUT_NAMES)
        return logits, probabilities

    def infer_maps(self, batch: NDArray[np.float32]) -> MapsAnswer:
        """Classify a batch and fetch the maps; see :meth:`MapsEngine.infer_maps`."""
        if not self._closed and self._grid is None:
            raise no_maps(self._path)
        logits, probabilities, maps = self._run(batch, (*OUTPUT_NAMES, MAPS))
        return logits, probabilities, maps

    def _run(self, batch: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[np.float32]]:
        if self._closed:
            raise ValueError(f"the engine of {self._path} is closed")
        check_batch(batch, self._size)
        batch = np.ascontiguousarray(batch)
        request = self._requests.get()  # one at a time for each; who comes later waits
        try:
            rows = []
            for frame in batch:
                request.infer({INPUT_NAME: frame[np.newaxis]}, share_inputs=True)
                rows.append([np.array(request.get_tensor(name).data) for name in names])
        except Exception as error:
            raise TgktEdgeError(f"{self._path}: inference failed: {_first_line(error)}") from error
        finally:
            self._requests.put(request)
        return [np.concatenate(column) for column in zip(*rows, strict=True)]

    def close(self) -> None:
        """Free the compiled graph. Closing twice is harmless."""
        self._closed = True
        while not self._requests.empty():
            self._requests.get()


def _first_line(error: Exception) -> str:
    lines = [
        line for line in str(error).strip().splitlines() if line and not line.startswith("Exception from")
    ]
    return (lines[-1] if lines else type(error).__name__).strip().rstrip(".") + "."
