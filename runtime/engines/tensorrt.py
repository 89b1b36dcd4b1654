"""The TensorRT engine: a plan of the bundle on the GPU, memory allocated once, its work replayed as a CUDA graph."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES, Bundle
from tgkt_edge.bundle.engine_metadata import Here
from tgkt_edge.bundle.engines import Plan, here, read_plan, why_not
from tgkt_edge.bundle.onnx_file import MAPS
from tgkt_edge.errors import IncompatibleError, TgktEdgeError
from tgkt_edge.runtime.engines.base import Answer, Grid, MapsAnswer, check_batch, no_maps
from tgkt_edge.runtime.engines.cuda import Cuda, CudaError
from tgkt_edge.runtime.engines.device_memory import DeviceTensor, allocate
from tgkt_edge.runtime.engines.io_check import disagreements, tensors_of
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.library import FLAVOUR_NAMES
from tgkt_edge.trt.messages import make_logger

GRAPHS = 8
"""Batch sizes that are kept ready, each with a context and a CUDA graph of its own; the oldest gives way."""

_SAME = 5e-3  # what two runs of one plan may differ by, as a share of the largest logit; FP16's tolerance


@dataclass
class _Ready:
    """What one batch size runs on: a context with its shapes set, and what was captured of it."""

    context: trt.IExecutionContext
    graph: Any = None


class TensorRtEngine:
    """A plan of a bundle on the first GPU. Loading ends with inferences on zeros, so that the first frame is not slow.

    Nothing of the plan is run before its header and sidecar fit this machine and manifest and sidecar vouch for its
    bytes, which are read once. Threads that infer at once take turns.

    Args:
        bundle: an opened bundle. plan: one of its plans (:func:`tgkt_edge.bundle.engines.plans`).
        machine: what there is here to load it with; None: asked of this machine.

    Raises:
        IncompatibleError: (exit 4) the plan is not for this machine, is not of this bundle, or TensorRT refuses it.
        BundleError: (exit 4) the plan was altered or truncated.
        MissingDependency: (exit 6) TensorRT or cuda-bindings is not installed.
        TgktEdgeError: (exit 1) the GPU failed, or has no memory left.
    """

    precision: str | None = None
    """Of the bundle's precisions, the one that was loaded, where that is known."""

    def __init__(self, bundle: Bundle, plan: Plan, machine: Here | None = None) -> None:
        machine = machine or here()
        self._path, self._size, self._count = bundle.path / plan.name, bundle.size, len(bundle.classes)
        self._profile = plan.sidecar.profile
        found = trt.find()
        sidecar = plan.sidecar
        wrong = why_not(bundle, plan, machine)
        wrong += disagreements(bundle, self._profile, sidecar.inputs, sidecar.outputs)
        if wrong:
            raise IncompatibleError(f"{self._path}: {'; '.join(wrong)}. {self._again(bundle)}")
        self._name = f"{FLAVOUR_NAMES[found.flavour]} {found.version}, {machine.device}"
        self._rtx = found.module if found.flavour == "tensorrt_rtx" else None
        self.note = ""
        """Why work is not replayed as CUDA graphs, a line for people; empty if it is."""
        self._ready: dict[int, _Ready] = {}
        self._closed = False
        self._turn = threading.Lock()
        self._cuda = Cuda()
        with ExitStack() as undo:
            self._load(bundle, plan, undo)
            self._allocate(undo)
            undo.callback(self._forget)
            self.infer(np.zeros((1, 1, self._size, self._size), np.float32))
            self._undo = undo.pop_all()

    @property
    def name(self) -> str:
        """Library and GPU: "TensorRT 10.3.0, Orin"."""
        return self._name

    @property
    def lanes(self) -> int:
        """1: its buffers hold one batch."""
        return 1

    @property
    def max_batch(self) -> int:
        """Frames that the plan takes at once."""
        return self._profile.max

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        """Classify a batch; see :meth:`tgkt_edge.runtime.engines.base.Engine.infer`.

        Raises:
            ValueError: also for more frames than the plan takes. Fewer than it takes are filled up with zeros.
        """
        check_batch(batch, self._size)
        with self._turn:  # its buffers hold one batch
            self._infer(batch)
            logits, probabilities = (tensor.view[: len(batch)].copy() for tensor in self._outputs)
        return logits, probabilities

    @property
    def grid(self) -> Grid | None:
        """See :attr:`tgkt_edge.runtime.engines.base.MapsEngine.grid`."""
        return self._grid

    def infer_maps(self, batch: NDArray[np.float32]) -> MapsAnswer:
        """Classify a batch and fetch the maps; see :meth:`tgkt_edge.runtime.engines.base.MapsEngine.infer_maps`."""
        check_batch(batch, self._size)
        with self._turn:
            if self._maps is None and not self._closed:
                raise no_maps(self._path)
            self._infer(batch)
            assert self._maps is not None
            count, tensor = len(batch), self._maps
            try:
                self._cuda.from_gpu(tensor.pinned, tensor.gpu, tensor.bytes_of(count), self._stream)
                self._cuda.synchronise(self._stream)
            except CudaError as error:
                raise TgktEdgeError(f"{self._path}: the maps cannot be fetched: {error}") from error
            logits, probabilities, maps = (one.view[:count].copy() for one in (*self._outputs, tensor))
        return logits, probabilities, maps

    def _infer(self, batch: NDArray[np.float32]) -> None:
        """Bring the batch's answers into the outputs' page-locked memory, all but the maps."""
        if self._closed:
            raise ValueError(f"the engine of {self._path} is closed")
        count, profile = len(batch), self._profile
        if count > profile.max:
            raise ValueError(
                f"batch of {count} frames: {self._path} takes {profile.text()}. Build it with `max_batch={count}`."
            )
        size = max(count, profile.min)
        self._input.view[:count] = batch
        self._input.view[count:size] = 0
        try:
            ready = self._ready.get(size) or self._prepare(size)
            self._run(ready, size)
        except CudaError as error:
            raise TgktEdgeError(f"{self._path}: inference failed: {error}") from error

    def close(self) -> None:
        """Free the plan and all memory."""
        with self._turn:
            self._closed = True
            self._undo.close()

    # Loading

    def _load(self, bundle: Bundle, plan: Plan, undo: ExitStack) -> None:
        """Deserialise the plan."""
        log, self._errors = make_logger()
        self._runtime: trt.Runtime | None = trt.Runtime(log)
        # Such a plan carries a runtime of its own. The manifest vouches for it as for the rest.
        self._runtime.engine_host_code_allowed = plan.sidecar.version_compatible
        self._engine: trt.ICudaEngine | None = None
        undo.callback(self._unload)
        self._engine = engine = self._runtime.deserialize_cuda_engine(read_plan(bundle, plan))
        if engine is None:
            raise IncompatibleError(
                f"{self._path} cannot be loaded by {self._name}: {self._errors.last or 'it does not say why.'} "
                f"{self._again(bundle)}"
            )
        inputs, outputs = tensors_of(engine)
        wrong = disagreements(bundle, self._profile, inputs, outputs)
        self._grid = bundle.maps if MAPS in outputs else None
        if wrong:
            raise IncompatibleError(f"{self._path}: {'; '.join(wrong)}. {self._again(bundle)}")

    def _unload(self) -> None:
        self._engine = self._runtime = None

    def _allocate(self, undo: ExitStack) -> None:
        """A stream, and memory for the largest batch: no frame waits for an allocation."""
        assert self._engine is not None
        cuda, most = self._cuda, self._profile.max
        # Contexts of all batch sizes share what TensorRT computes in: only one of them runs at a time.
        self._scratch_bytes = int(self._engine.device_memory_size_v2)
        self._scratch = cuda.alloc(max(self._scratch_bytes, 256))
        undo.callback(cuda.free, self._scratch)

        def tensor(name: str, *shape: int) -> DeviceTensor:
            return allocate(cuda, undo, name, (most, *shape))

        self._input = tensor(INPUT_NAME, 1, self._size, self._size)
        self._outputs = [tensor(name, self._count) for name in OUTPUT_NAMES]
        self._maps = None if self._grid is None else tensor(MAPS, self._count, *self._grid)
        self._stream = cuda.stream()
        undo.callback(cuda.free_stream, self._stream)

    def _again(self, bundle: Bundle) -> str:
        return f"Build it again on this machine: tgkt-edge export {bundle.path} --trt, or run with `rebuild=True`."

    # Running

    def _prepare(self, size: int) -> _Ready:
        """A context for batches of this size, and a graph of its work where that can be captured."""
        if len(self._ready) >= GRAPHS:
            self._drop(next(iter(self._ready)))
        ready = _Ready(self._context(size))
        # TensorRT settles what the shapes need with a first enqueue, which must not be captured.
        self._run(ready, size)
        plain = self._outputs[0].view[:size].copy()
        # RTX alone knows beforehand, since it may compile kernels while it runs.
        capturable = getattr(ready.context, "is_stream_capturable", None)
        if capturable is not None and not capturable(int(self._stream)):
            self.note = f"{self._name} cannot capture this plan as a CUDA graph: each frame is queued again."
        else:
            self._capture(ready, size, plain)
        self._ready[size] = ready
        return ready

    def _capture(self, ready: _Ready, size: int, plain: NDArray[np.float32]) -> None:
        """Capture a context's work and keep the graph if it answers as the plain run did; else say so in ``note``."""
        try:
            graph = self._cuda.capture(self._stream, partial(self._queue, ready.context, size))
        except TgktEdgeError as error:
            self.note = f"CUDA graphs are not used, each frame is queued again: {error}"
            return
        # A capture on another stream or GPU than TensorRT's holds nothing of it, without any error: see that it works.
        # Not by what the plain run left on the GPU.
        logits = self._outputs[0]
        logits.view[:size] = np.nan
        self._cuda.to_gpu(logits.gpu, logits.pinned, logits.bytes_of(size), self._stream)
        ready.graph = graph
        try:
            self._run(ready, size)
        except CudaError:
            self._cuda.free_graph(graph)
            raise
        if np.allclose(logits.view[:size], plain, rtol=_SAME, atol=_SAME * float(np.abs(plain).max())):
            return
        ready.graph = None
        self._cuda.free_graph(graph)
        self.note = (
            "CUDA graphs are not used, each frame is queued again: one did not answer as the plan does."
        )

    def _context(self, size: int) -> trt.IExecutionContext:
        """A context whose shapes and addresses never change again: a graph that was captured of it relies on them."""
        assert self._engine is not None
        how: Any = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._rtx is not None:
            settings: Any = self._engine.create_runtime_config()
            settings.set_execution_context_allocation_strategy(how)
            # Kernels for these very shapes at once, not in the background: a graph holds what is there when captured.
            eager = self._rtx.DynamicShapesKernelSpecializationStrategy.EAGER
            settings.dynamic_shapes_kernel_specialization_strategy = eager
            how = settings
        context: trt.IExecutionContext | None = self._engine.create_execution_context(how)
        if context is None:
            raise self._failed("makes no context")
        if self._scratch_bytes:
            context.set_device_memory(self._scratch, self._scratch_bytes)
        # A plan has one profile. Which context begins with it, and which with none, differs with the version.
        if context.active_optimization_profile != 0:
            if not context.set_optimization_profile_async(0, int(self._stream)):
                raise self._failed("refuses its profile")
            self._cuda.synchronise(self._stream)
        if not context.set_input_shape(INPUT_NAME, (size, 1, self._size, self._size)):
            raise self._failed(f"refuses a batch of {size}")
        for tensor in (self._input, *self._outputs, *([self._maps] if self._maps else [])):
            if not context.set_tensor_address(tensor.name, tensor.gpu):
                raise self._failed(f"refuses the memory of {tensor.name}")
        return context

    def _run(self, ready: _Ready, size: int) -> None:
        """From the input's page-locked memory to the outputs', and wait for it."""
        if ready.graph is None:
            self._queue(ready.context, size)
        else:
            self._cuda.launch(ready.graph, self._stream)
        self._cuda.synchronise(self._stream)

    def _queue(self, context: trt.IExecutionContext, size: int) -> None:
        """Queue copy, inference and copies back."""
        given = self._input
        self._cuda.to_gpu(given.gpu, given.pinned, given.bytes_of(size), self._stream)
        if not context.execute_async_v3(int(self._stream)):
            raise self._failed("refuses to run")
        for tensor in self._outputs:
            self._cuda.from_gpu(tensor.pinned, tensor.gpu, tensor.bytes_of(size), self._stream)

    def _failed(self, what: str) -> TgktEdgeError:
        return TgktEdgeError(
            f"{self._path}: {self._name} {what}: {self._errors.last or 'it does not say why.'}"
        )

    def _drop(self, size: int) -> None:
        ready = self._ready.pop(size)
        if ready.graph is not None:
            self._cuda.free_graph(ready.graph)

    def _forget(self) -> None:
        self._cuda.settle(self._stream)
        for size in list(self._ready):
            self._drop(size)
