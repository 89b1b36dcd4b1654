"""CUDA's runtime API through NVIDIA's cuda-bindings (12 and 13): memory, a stream, graphs; its errors as exceptions."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import IncompatibleError, MissingDependency, TgktEdgeError
from tgkt_edge.optional_deps import install_command


def _install() -> str:
    older, newer = install_command("cuda12"), install_command("cuda13")
    return f"{older} for CUDA 12 (JetPack 6), or {newer} for CUDA 13 (JetPack 7)"


_NO_DRIVER, _NO_DEVICE, _MEMORY = 35, 100, 2  # cudaErrorInsufficientDriver, -NoDevice, -MemoryAllocation


class CudaError(TgktEdgeError):
    """A call of CUDA failed; the message has CUDA's words and, where there is something to do, what."""


class Cuda:
    """The first GPU. Every method acts at once except for those that take a stream, which only queue work on it.

    Addresses are numbers. A stream is synchronised before the memory that it uses is touched or freed.

    Raises:
        MissingDependency: (exit 6) cuda-bindings is not installed, or does not load.
        IncompatibleError: (exit 4) no driver, one older than the CUDA of cuda-bindings, or no GPU.
        CudaError: (exit 1) from every method: CUDA refused.
    """

    def __init__(self) -> None:
        self._rt = _load()
        # Before TensorRT loads a plan: both then work on the same GPU, and errors of it get our messages.
        self._call("cudaSetDevice", 0)

    def alloc(self, count: int) -> int:
        """``count`` bytes of GPU memory, aligned to 256."""
        return int(self._call("cudaMalloc", count))

    def alloc_pinned(self, shape: tuple[int, ...]) -> tuple[int, NDArray[np.float32]]:
        """Page-locked memory of this machine, which the GPU reads and writes by itself: its address, and a view of it.

        The view must not be touched after :meth:`free_pinned`.
        """
        count = int(np.prod(shape)) * 4
        address = int(self._call("cudaHostAlloc", count, self._rt.cudaHostAllocDefault))
        floats = (ctypes.c_float * (count // 4)).from_address(address)
        return address, np.ctypeslib.as_array(floats).reshape(shape)

    def stream(self) -> Any:
        """A stream that does not wait for the default one. ``int()`` of it is the handle that TensorRT takes."""
        return self._call("cudaStreamCreateWithFlags", self._rt.cudaStreamNonBlocking)

    def to_gpu(self, gpu: int, pinned: int, count: int, stream: Any) -> None:
        """Queue a copy of ``count`` bytes to GPU memory."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", gpu, pinned, count, kind, stream)

    def from_gpu(self, pinned: int, gpu: int, count: int, stream: Any) -> None:
        """Queue a copy of ``count`` bytes from GPU memory."""
        kind = self._rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", pinned, gpu, count, kind, stream)

    def synchronise(self, stream: Any) -> None:
        """Wait until all that was queued on the stream is done. Raises what failed meanwhile."""
        self._call("cudaStreamSynchronize", stream)

    def capture(self, stream: Any, work: Callable[[], None]) -> Any:
        """A graph of what ``work`` queues on the stream. Nothing of it is done before :meth:`launch`.

        Raises:
            CudaError: something in ``work`` cannot be captured. What ``work`` raises goes through.
        """
        # Thread-local: what another thread does with CUDA meanwhile does not end the capture.
        mode = self._rt.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            error, graph = self._rt.cudaStreamEndCapture(stream)  # or the stream stays in capture mode
            if int(error) == 0:
                self._rt.cudaGraphDestroy(graph)
            self._rt.cudaGetLastError()  # forget what the capture failed of
            raise
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            return self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._rt.cudaGraphDestroy(graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Queue all that a graph holds."""
        self._call("cudaGraphLaunch", graph, stream)

    # What frees never raises: after a failure of the GPU every call fails alike, and the first failure is the one that
    # counts.

    def free(self, address: int) -> None:
        """Give GPU memory back."""
        self._rt.cudaFree(address)

    def free_pinned(self, address: int) -> None:
        """Give page-locked memory back."""
        self._rt.cudaFreeHost(address)

    def settle(self, stream: Any) -> None:
        """Wait until nothing is queued on the stream any more, be it for a failure."""
        self._rt.cudaStreamSynchronize(stream)

    def free_stream(self, stream: Any) -> None:
        """Destroy a stream."""
        self._rt.cudaStreamDestroy(stream)

    def free_graph(self, graph: Any) -> None:
        """Destroy a graph."""
        self._rt.cudaGraphExecDestroy(graph)

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call a function of CUDA, which returns (error,) or (error, value); return the value."""
        error, *values = getattr(self._rt, name)(*arguments)
        if int(error) != 0:
            raise self._error(name, error)
        return values[0] if values else None

    def _error(self, call: str, error: Any) -> TgktEdgeError:
        """CUDA's error in words."""
        _, raw_name = self._rt.cudaGetErrorName(error)
        _, raw_text = self._rt.cudaGetErrorString(error)
        self._rt.cudaGetLastError()  # reported here, so not again by the next call
        answer = f"CUDA says '{_text(raw_text)}' ({_text(raw_name)}, {int(error)}) to {call}"
        if int(error) == _NO_DRIVER:
            _, version = self._rt.cudaRuntimeGetVersion()
            expected = f"{version // 1000}.{version % 1000 // 10}"
            return IncompatibleError(
                f"{answer}: there is no NVIDIA driver here, or it is older than the CUDA {expected} of cuda-bindings. "
                f"Install the cuda-bindings that fits the driver: {_install()}."
            )
        if int(error) == _NO_DEVICE:
            return IncompatibleError(f"{answer}: there is no NVIDIA GPU here that can be used.")
        if int(error) == _MEMORY:
            return CudaError(
                f"{answer}: GPU memory is used up. Close other programs that use it, or build the plan for fewer "
                f"frames at once: tgkt-edge export BUNDLE --trt --max-batch 1."
            )
        return CudaError(f"{answer}.")


def _text(raw: Any) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def _load() -> Any:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError as error:
        if error.name not in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
            raise
        raise MissingDependency(
            f"Running a TensorRT plan needs NVIDIA's Python package 'cuda-bindings', which is not installed here. "
            f"Install it with: {_install()}."
        ) from error
    except ImportError as error:  # its shared library does not load
        raise MissingDependency(
            f"NVIDIA's Python package 'cuda-bindings' is installed but cannot be loaded: {error}. Install the one that "
            f"fits this machine: {_install()}."
        ) from error
