"""TensorRT without a GPU: what an engine uses of its API, by its rules; ONNX Runtime does the arithmetic.

A plan is a real plan's header, a line of JSON and an ONNX file. Kept are the rules that an engine can break: a context
without memory, shapes or addresses does not run; buffers are on the GPU and large enough for the batch; work is queued
on the stream, never done at once; the first run with new shapes must not be captured; a graph is worth what its context
was when it was captured.
"""

from __future__ import annotations

import abc
import enum
import json
from typing import Any

import numpy as np
from cuda.bindings import runtime as cuda

__version__ = "10.3.0"


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(enum.Enum):
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    """TensorRT-RTX's alone."""

    LAZY = 0
    EAGER = 1


class ILogger(abc.ABC):
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2

    @abc.abstractmethod
    def log(self, severity: ILogger.Severity, msg: str) -> None: ...


class Builder:
    """Never built with: its presence tells this library from type stubs."""


class Runtime:
    """``deserialised`` counts the plans that were given to any of them."""

    deserialised = 0

    def __init__(self, logger: ILogger) -> None:
        self.logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        Runtime.deserialised += 1
        about, _, graph = plan[28:].partition(b"\n")
        values = json.loads(about)
        if cuda.MACHINE.device is None:
            return self._refuse("no CUDA context")
        if (
            plan[:8] not in (b"ftrt\0\0\0\0", b"vtrt\0\0\0\0")
            or ".".join(map(str, plan[24:27])) != __version__
        ):
            return self._refuse("The engine plan file is not compatible with this version of TensorRT")
        if values.get("host_code") and not self.engine_host_code_allowed:
            return self._refuse("Cannot load engine with lean runtime")
        if values.get("damaged"):
            return self._refuse("Serialization assertion magicTagRead == kMAGIC_TAG failed")
        return ICudaEngine(self.logger, values, graph)

    def _refuse(self, text: str) -> ICudaEngine | None:
        self.logger.log(ILogger.Severity.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {text}")
        return None


class ICudaEngine:
    def __init__(self, logger: ILogger, values: dict[str, Any], graph: bytes) -> None:
        import onnxruntime

        self.logger, self.values = logger, values
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.tensors = {node.name: node for node in (*inputs, *outputs)}
        self.inputs = [node.name for node in inputs]
        self.contexts = 0
        self.num_io_tensors = len(self.tensors)
        self.device_memory_size_v2 = values.get("scratch", 4096)

    def get_tensor_name(self, index: int) -> str:
        return str(list(self.tensors)[index])

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF}[self.tensors[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(n if isinstance(n, int) else -1 for n in self.tensors[name].shape)

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, how: Any) -> IExecutionContext | None:
        config = how if isinstance(how, IRuntimeConfig) else None
        strategy = how if config is None else config.strategy
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED
        if self.values.get("no_context"):
            return None
        return IExecutionContext(self) if config is None else RtxContext(self, config)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.memory: tuple[int, int] | None = None
        self.addresses: dict[str, int] = {}
        self.batch: int | None = None
        self.settled = False
        engine.contexts += 1
        self.active_optimization_profile = 0 if engine.contexts == 1 else -1
        self.state = 0  # counts changes: a graph that was captured before the last one is worth nothing

    def set_device_memory(self, memory: int, size: int) -> None:
        assert cuda.find(cuda.MACHINE.gpu, memory, size)
        assert size >= self.engine.device_memory_size_v2
        self.memory = (memory, size)
        self.state += 1

    def set_optimization_profile_async(self, index: int, stream_handle: int) -> bool:
        assert index == 0
        cuda.MACHINE.streams[stream_handle].add(lambda: setattr(self, "active_optimization_profile", index))
        self.batch = None
        self.state += 1
        return not self.engine.values.get("no_profile") or self._fail(
            "setOptimizationProfileAsync: no profile"
        )

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if self.active_optimization_profile != 0:
            return self._fail("setInputShape: condition: mOptimizationProfile >= 0")
        low, high = self.engine.values["min"], self.engine.values["max"]
        if name not in self.engine.inputs or not low <= shape[0] <= high:
            return self._fail(f"setInputShape: Static dimension mismatch for {name}: {shape}")
        self.batch, self.settled = shape[0], False
        self.state += 1
        return True

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in self.engine.tensors:
            return self._fail(f"setTensorAddress: no tensor {name}")
        self.addresses[name] = memory
        self.state += 1
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        stream = cuda.MACHINE.streams[stream_handle]
        assert self.batch is not None, "no shape was set"
        assert self.memory is not None or not self.engine.device_memory_size_v2, "no memory to compute in"
        if stream.recorded is not None:
            if not self.settled or not self.engine.values.get("capturable", True):
                stream.corrupted = True
                return self._fail("enqueueV3: operation not permitted when stream is capturing")
            if self.engine.values.get("captures_nothing"):
                return True
        batch, state, addresses = self.batch, self.state, dict(self.addresses)
        sizes = {name: self._bytes(name) for name in self.engine.tensors}
        for name, size in sizes.items():
            assert cuda.find(cuda.MACHINE.gpu, addresses[name], size), f"{name} is not in the GPU's memory"

        def work() -> None:
            assert self.state == state, "a graph of a context that was changed since"
            given = {
                name: _view(addresses[name], self._shape(name, batch)).copy() for name in self.engine.inputs
            }
            answers = self.engine.session.run(None, given)
            for name, answer in zip(list(self.engine.tensors)[len(given) :], answers, strict=True):
                _view(addresses[name], answer.shape)[:] = answer

        stream.add(work)
        self.settled = True
        return True

    def _shape(self, name: str, batch: int) -> tuple[int, ...]:
        return (batch, *self.engine.get_tensor_shape(name)[1:])

    def _bytes(self, name: str) -> int:
        assert self.batch is not None
        return int(np.prod(self._shape(name, self.batch))) * 4

    def _fail(self, text: str) -> bool:
        self.engine.logger.log(ILogger.Severity.ERROR, f"IExecutionContext::{text}")
        return False


class IRuntimeConfig:
    """TensorRT-RTX's way to ask for a context."""

    def __init__(self) -> None:
        self.strategy = ExecutionContextAllocationStrategy.STATIC
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy


class RtxContext(IExecutionContext):
    """It can be captured if it does not compile kernels in the background, and if the plan lets it."""

    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig) -> None:
        super().__init__(engine)
        self.eager = config.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"

    def is_stream_capturable(self, stream: int) -> bool:
        assert stream in cuda.MACHINE.streams
        return self.eager and bool(self.engine.values.get("capturable", True))


def _view(address: int, shape: tuple[int, ...]) -> Any:
    import ctypes

    raw = (ctypes.c_float * int(np.prod(shape))).from_address(address)
    return np.ctypeslib.as_array(raw).reshape(shape)
