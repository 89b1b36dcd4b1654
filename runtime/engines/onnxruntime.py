"""The ONNX Runtime engine: a bundle's ONNX graph on the CPU or on CUDA."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES
from tgkt_edge.bundle.onnx_file import MAPS
from tgkt_edge.errors import IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.engines.base import Answer, Grid, MapsAnswer, check_batch, no_maps
from tgkt_edge.system.cpu import cpu_limit, usable_cpus

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
"""ONNX Runtime's names of its back-ends."""

CLASSES_KEY = "tgkt_edge.classes"
"""Key of the class names, a JSON list, in the metadata of the graph that ``tgkt-edge export`` writes."""

MOST_LANES = 16
"""Each lane takes memory, and one thread cannot decode files faster than so many answer them."""


def lanes_for_files() -> int:
    """Inferences side by side with which files are answered: one a usable processor, to MOST_LANES."""
    return min(usable_cpus(), MOST_LANES)


class OnnxRuntimeEngine:
    """An ONNX graph on ONNX Runtime. Loading it ends with one inference on zeros, so that the first frame is not slow.

    Args:
        model_path: the .onnx file; its checksum is the caller's business (:meth:`Bundle.model`).
        size: side S of the network's input, pixels.
        classes: the K names that the graph must agree with.
        providers: ONNX Runtime's execution providers in order, the first of which must work; None: CUDA where this
            build has it and it works, then CPU.
        threads: CPU threads for one inference; None: one a physical core, or as many
            as affinity and quota allow, where those are fewer.
        lanes: inferences side by side on the CPU, of one thread each: more frames a second than one after the other on
            all cores, each of them later. Without effect on CUDA.

    Raises:
        ValueError: ``lanes`` below 1, or more than one and ``threads``.
        IncompatibleError: (exit 4) no loadable ONNX file, inputs, outputs or classes that disagree, or a provider
            that does not work here.
        UsageError: (exit 2) a provider that this ONNX Runtime lacks.
        MissingDependency: (exit 6) ONNX Runtime is not installed.
    """

    precision: str | None = None
    """Of the bundle's precisions, the one that was loaded, where that is known."""

    def __init__(
        self,
        model_path: Path,
        size: int,
        classes: Sequence[str],
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        lanes: int = 1,
    ) -> None:
        if lanes < 1 or (lanes > 1 and threads is not None):
            raise ValueError(
                f"lanes = {lanes}, threads = {threads}: expected 1 lane or more, of one thread each if more"
            )
        self._ort = require("onnxruntime", "cpu", "running a bundle")
        self._path, self._size, self._classes = model_path, size, tuple(classes)
        options = self._ort.SessionOptions()
        options.log_severity_level = 3  # errors; warnings about every folded node help nobody on a device
        chosen = self._choose(providers)
        if chosen[0] != CPU:
            lanes = 1
        if lanes > 1:
            threads = 1  # the calling thread itself, so that calls share nothing but the weights
        if threads is None:
            threads = cpu_limit()  # where there is none, its own choice: one a physical core
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            # Without its fallback, which would print to stdout, where our records go.
            self._session: Any = self._ort.InferenceSession(
                str(model_path), options, providers=chosen, enable_fallback=0
            )
        except self._errors() as error:
            where, advice = "", "Export the bundle again, or install a newer ONNX Runtime."
            if chosen[0] != CPU:
                where, advice = (
                    f" with {chosen[0]}",
                    "'tgkt-edge doctor' reports whether that works here at all.",
                )
            raise IncompatibleError(
                f"{model_path} cannot be loaded by ONNX Runtime {self._ort.__version__}{where}: {_first_line(error)} "
                f"{advice}"
            ) from error
        self._grid: Grid | None = None
        self._check_session()
        # Maps that nobody asks for are not computed. Only then: what finds out what to leave out takes time, too.
        self._only_asked_for: Any = None
        if self._grid is not None:
            self._only_asked_for = self._ort.RunOptions()
            self._only_asked_for.only_execute_path_to_fetches = True
        active = self._session.get_providers()[0]
        if providers is not None and active != chosen[0]:  # it lists a provider whose libraries do not load
            raise IncompatibleError(
                f"ONNX Runtime {self._ort.__version__} has {chosen[0]} but cannot use it here: its CUDA or cuDNN is "
                f"missing or of another version, or there is no GPU. 'tgkt-edge doctor' reports more."
            )
        self._name = f"onnxruntime, {active.removesuffix('ExecutionProvider')}"
        self._lanes = lanes
        # The first inference allocates memory and picks kernels: that is no frame's latency, and fails here if ever.
        self.infer(np.zeros((1, 1, size, size), np.float32))

    @property
    def name(self) -> str:
        """Library and the device it really uses."""
        return self._name

    @property
    def lanes(self) -> int:
        """See :attr:`Engine.lanes`."""
        return self._lanes

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        """Classify a batch; see :meth:`Engine.infer`."""
        logits, probabilities = self._run(batch, OUTPUT_NAMES)
        return logits, probabilities

    @property
    def grid(self) -> Grid | None:
        """See :attr:`MapsEngine.grid`."""
        return self._grid

    def infer_maps(self, batch: NDArray[np.float32]) -> MapsAnswer:
        """Classify a batch and fetch the maps; see :meth:`MapsEngine.infer_maps`."""
        if self._session is not None and self._grid is None:
            raise no_maps(self._path)
        logits, probabilities, maps = self._run(batch, (*OUTPUT_NAMES, MAPS))
        return logits, probabilities, maps

    def _run(self, batch: NDArray[np.float32], names: Sequence[str]) -> list[NDArray[np.float32]]:
        """The outputs of these names, the first two of which are logits and probabilities."""
        if self._session is None:
            raise ValueError(f"the engine of {self._path} is closed")
        check_batch(batch, self._size)
        try:
            found: list[NDArray[np.float32]] = self._session.run(
                list(names), {INPUT_NAME: batch}, self._only_asked_for
            )
        except self._errors() as error:
            raise TgktEdgeError(f"{self._path}: inference failed: {_first_line(error)}") from error
        logits, probabilities = found[:2]
        expected = (len(batch), len(self._classes))
        if logits.shape != expected or probabilities.shape != expected:
            raise IncompatibleError(
                f"{self._path}: answered {logits.shape} and {probabilities.shape}, expected {expected} twice. "
                f"Export the bundle again."
            )
        return found

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _errors(self) -> tuple[type[Exception], ...]:
        """What ONNX Runtime raises: its own exceptions have no common base but Exception."""
        state = self._ort.capi.onnxruntime_pybind11_state
        own = [
            kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)
        ]
        return (*own, RuntimeError)

    def _choose(self, providers: Sequence[str] | None) -> list[str]:
        available = self._ort.get_available_providers()
        if providers is None:
            return [name for name in (CUDA, CPU) if name in available]
        for name in providers:
            if name not in available:
                raise UsageError(f"ONNX Runtime here has no '{name}'; it has: {', '.join(available)}")
        return list(providers)

    def _check_session(self) -> None:
        """Raise IncompatibleError unless the graph is the one that the bundle describes."""
        count, size = len(self._classes), self._size
        inputs = {node.name: node for node in self._session.get_inputs()}
        outputs = {node.name: node for node in self._session.get_outputs()}
        problem = ""
        if list(inputs) != [INPUT_NAME]:
            problem = f"inputs {list(inputs)}, expected only '{INPUT_NAME}'"
        elif not set(OUTPUT_NAMES) <= set(outputs):
            problem = f"outputs {list(outputs)}, expected {list(OUTPUT_NAMES)}"
        else:
            expected: dict[str, tuple[int | None, ...]] = {INPUT_NAME: (None, 1, size, size)}
            expected |= dict.fromkeys(OUTPUT_NAMES, (None, count))
            if MAPS in outputs:
                expected |= {MAPS: (None, count, None, None)}
                problem = _open_grid(outputs[MAPS])
                self._grid = None if problem else (outputs[MAPS].shape[2], outputs[MAPS].shape[3])
            for name, shape in expected.items():
                problem = problem or _disagreement(inputs.get(name) or outputs[name], shape)
        recorded = self._session.get_modelmeta().custom_metadata_map.get(CLASSES_KEY)
        if not problem and recorded is not None and _class_names(recorded) != self._classes:
            problem = f"its metadata names the classes {recorded}, the manifest {list(self._classes)}"
        if problem:
            raise IncompatibleError(
                f"{self._path} does not fit its manifest: {problem}. Export the bundle again; do not mix files of two."
            )


def _open_grid(node: Any) -> str:
    """What is wrong with the maps' rows and columns; or nothing."""
    shape = tuple(node.shape)
    if len(shape) == 4 and all(isinstance(count, int) for count in shape[2:]):
        return ""
    return f"{node.name} has shape {shape}, expected (N, K, rows, columns)"


def _disagreement(node: Any, expected: tuple[int | None, ...]) -> str:
    """How an input or output differs from float32 of shape ``expected`` (None: any, so must be dynamic); or nothing.

    A dimension that the graph leaves open (a name or None) agrees with every number.
    """
    shape = tuple(node.shape)
    if node.type != "tensor(float)":
        return f"{node.name} is {node.type}, expected tensor(float), that is float32"
    if len(shape) != len(expected):
        return f"{node.name} has shape {shape}, expected {len(expected)} dimensions"
    for found, want in zip(shape, expected, strict=True):
        if isinstance(found, int) and want is not None and found != want:
            return f"{node.name} has shape {shape}, expected {('N', *expected[1:])}"
    return ""


def _class_names(recorded: str) -> tuple[str, ...]:
    """Class names in the graph's metadata, a JSON list; a text that is none of that is one odd class."""
    try:
        names = json.loads(recorded)
    except ValueError:
        return (recorded,)
    return tuple(str(name) for name in names) if isinstance(names, list) else (recorded,)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."
