"""CUDA's runtime without a GPU: names, signatures and rules of cuda-bindings; GPU memory lies in this machine's.

Kept are the rules that an engine can break: nothing queued on a stream is done before it is synchronised; memory of the
GPU and of this machine are told apart, and copies stay within what was allocated; while a stream captures, work is
recorded and not done, and allocations and waits are refused and spoil the capture; what is freed is gone, once.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[], object]


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorInvalidResourceHandle = 400
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeGlobal = 0
    cudaStreamCaptureModeThreadLocal = 1


cudaStreamNonBlocking = 1
cudaHostAllocDefault = 0

OK = cudaError_t.cudaSuccess
BAD = cudaError_t.cudaErrorInvalidValue
_TEXTS = {
    cudaError_t.cudaErrorMemoryAllocation: b"out of memory",
    cudaError_t.cudaErrorInsufficientDriver: b"CUDA driver version is insufficient for CUDA runtime version",
    cudaError_t.cudaErrorNoDevice: b"no CUDA-capable device is detected",
    cudaError_t.cudaErrorIllegalAddress: b"an illegal memory access was encountered",
    cudaError_t.cudaErrorStreamCaptureUnsupported: b"operation not permitted when stream is capturing",
}


@dataclass(eq=False)
class Stream:
    """``recorded`` is None unless it captures; ``corrupted``: the capture is no longer valid."""

    handle: int
    queue: list[Work] = field(default_factory=list)
    recorded: list[Work] | None = None
    corrupted: bool = False

    def __int__(self) -> int:
        return self.handle

    def add(self, work: Work) -> None:
        (self.queue if self.recorded is None else self.recorded).append(work)


@dataclass(eq=False)
class Graph:
    work: list[Work]


class Machine:
    """All that a test looks at: what was called, what is allocated, and what is to fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.gpu: dict[int, Any] = {}
        self.pinned: dict[int, Any] = {}
        self.streams: dict[int, Stream] = {}
        self.graphs: list[Graph] = []
        self.fails: dict[str, cudaError_t] = {}
        """Function -> what it answers from now on."""
        self.device: int | None = None

    @property
    def alive(self) -> int:
        """Things allocated and not given back."""
        return len(self.gpu) + len(self.pinned) + len(self.streams) + len(self.graphs)

    def count(self, name: str) -> int:
        return self.calls.count(name)


MACHINE = Machine()


def reset() -> Machine:
    """As after a reboot."""
    MACHINE.__init__()  # type: ignore[misc]
    return MACHINE


def find(memory: dict[int, Any], address: int, count: int) -> bool:
    """Whether ``count`` bytes at ``address`` lie within one allocation."""
    return any(start <= address and address + count <= start + len(raw) for start, raw in memory.items())


def _called(name: str, forbidden_in_capture: bool = False) -> cudaError_t:
    MACHINE.calls.append(name)
    if name in MACHINE.fails:
        return MACHINE.fails[name]
    capturing = [stream for stream in MACHINE.streams.values() if stream.recorded is not None]
    if forbidden_in_capture and capturing:
        capturing[0].corrupted = True
        return cudaError_t.cudaErrorStreamCaptureUnsupported
    return OK


def _allocate(name: str, memory: dict[int, Any], count: int) -> tuple[cudaError_t, int | None]:
    error = _called(name, forbidden_in_capture=True)
    if error == OK and count > 1 << 40:
        error = cudaError_t.cudaErrorMemoryAllocation
    if error != OK:
        return error, None
    raw = (ctypes.c_uint8 * count)()
    ctypes.memset(raw, 0xFF, count)  # what nobody wrote reads as NaN
    memory[ctypes.addressof(raw)] = raw
    return OK, ctypes.addressof(raw)


def _free(name: str, things: dict[int, Any], key: int) -> tuple[cudaError_t]:
    error = _called(name, forbidden_in_capture=True)
    if error == OK:
        error = OK if things.pop(key, None) is not None else BAD
    return (error,)


def cudaSetDevice(device: int) -> tuple[cudaError_t]:
    error = _called("cudaSetDevice")
    MACHINE.device = device if error == OK else None
    return (error,)


def cudaMalloc(size: int) -> tuple[cudaError_t, int | None]:
    return _allocate("cudaMalloc", MACHINE.gpu, size)


def cudaHostAlloc(size: int, flags: int) -> tuple[cudaError_t, int | None]:
    return _allocate("cudaHostAlloc", MACHINE.pinned, size)


def cudaFree(address: int) -> tuple[cudaError_t]:
    return _free("cudaFree", MACHINE.gpu, address)


def cudaFreeHost(address: int) -> tuple[cudaError_t]:
    return _free("cudaFreeHost", MACHINE.pinned, address)


def cudaStreamCreateWithFlags(flags: int) -> tuple[cudaError_t, Stream | None]:
    error = _called("cudaStreamCreateWithFlags", forbidden_in_capture=True)
    if error != OK or flags != cudaStreamNonBlocking:
        return error or BAD, None
    stream = Stream(0x5000 + len(MACHINE.calls))
    MACHINE.streams[int(stream)] = stream
    return OK, stream


def cudaStreamDestroy(stream: Stream) -> tuple[cudaError_t]:
    return _free("cudaStreamDestroy", MACHINE.streams, int(stream))


def cudaMemcpyAsync(
    to: int, origin: int, count: int, kind: cudaMemcpyKind, stream: Stream
) -> tuple[cudaError_t]:
    error = _called("cudaMemcpyAsync")
    if error != OK:
        return (error,)
    ends = (MACHINE.gpu, MACHINE.pinned)
    into, out = ends if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else ends[::-1]
    if int(stream) not in MACHINE.streams:
        return (cudaError_t.cudaErrorInvalidResourceHandle,)
    if not find(into, to, count) or not find(out, origin, count):
        return (BAD,)
    stream.add(lambda: ctypes.memmove(to, origin, count))
    return (OK,)


def cudaStreamSynchronize(stream: Stream) -> tuple[cudaError_t]:
    error = _called("cudaStreamSynchronize", forbidden_in_capture=True)
    if error != OK:
        return (error,)
    queue, stream.queue = stream.queue, []
    for work in queue:
        work()
    return (OK,)


def cudaStreamBeginCapture(stream: Stream, mode: cudaStreamCaptureMode) -> tuple[cudaError_t]:
    error = _called("cudaStreamBeginCapture")
    if error == OK:
        stream.recorded, stream.corrupted = [], False
    return (error,)


def cudaStreamEndCapture(stream: Stream) -> tuple[cudaError_t, Graph | None]:
    error = _called("cudaStreamEndCapture")
    recorded, stream.recorded = stream.recorded, None
    if error != OK or recorded is None:
        return error or BAD, None
    if stream.corrupted:
        return cudaError_t.cudaErrorStreamCaptureInvalidated, None
    return OK, _graph(recorded)


def _graph(work: list[Work]) -> Graph:
    graph = Graph(work)
    MACHINE.graphs.append(graph)
    return graph


def cudaGraphInstantiate(graph: Graph, flags: int) -> tuple[cudaError_t, Graph | None]:
    error = _called("cudaGraphInstantiate")
    return (OK, _graph(list(graph.work))) if error == OK else (error, None)


def cudaGraphLaunch(graph: Graph, stream: Stream) -> tuple[cudaError_t]:
    error = _called("cudaGraphLaunch")
    if error == OK and graph not in MACHINE.graphs:
        error = cudaError_t.cudaErrorInvalidResourceHandle
    if error == OK:
        stream.queue += graph.work
    return (error,)


def _destroy(name: str, graph: Graph) -> tuple[cudaError_t]:
    error = _called(name)
    if graph not in MACHINE.graphs:
        return (BAD,)
    MACHINE.graphs.remove(graph)
    return (error,)


def cudaGraphDestroy(graph: Graph) -> tuple[cudaError_t]:
    return _destroy("cudaGraphDestroy", graph)


def cudaGraphExecDestroy(graph: Graph) -> tuple[cudaError_t]:
    return _destroy("cudaGraphExecDestroy", graph)


def cudaGetErrorName(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return OK, error.name.encode()


def cudaGetErrorString(error: cudaError_t) -> tuple[cudaError_t, bytes]:
    return OK, _TEXTS.get(error, b"an error")


def cudaGetLastError() -> tuple[cudaError_t]:
    return (OK,)


def cudaRuntimeGetVersion() -> tuple[cudaError_t, int]:
    return OK, 12090
