"""Where and in which precision training computes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.system.malloc import keep_freed_memory
from tgkt_edge.train.nn.compiling import compile_in_place
from tgkt_edge.train.nn.micro_batches import slow_norms
from tgkt_edge.train.nn.out_of_memory import is_out_of_memory
from tgkt_edge.train.nn.ranks import ALONE, Ranks, local_device
from tgkt_edge.train.nn.shared_norm import share_norms

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """Device and precision of a run, and who computes it. ``autocast()`` is a context manager for forward passes."""

    device: torch.device
    precision: str
    ranks: Ranks = ALONE  # which train together
    compiles: bool = False  # whether networks that learn are compiled

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """bf16 where chosen, float32 otherwise. Parameters and the optimizer's state are float32 in both."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def place(self, module: M) -> M:
        """Move a network here, weights laid out channels last. Returns the same module."""
        return module.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]

    def learner(self, module: M, parts: int = 1) -> M:
        """:meth:`place`, for a network that is to learn: batch norms see all ranks, and it is compiled where asked for.

        Args:
            parts: in which each batch is computed.
        """
        module = share_norms(self.place(module), self.ranks)
        if parts > 1:
            slow_norms(module, parts)
        if self.compiles:
            compile_in_place(module)
        return module

    def peak_memory(self) -> int | None:
        """Most bytes taken since :meth:`reset_memory`: of GPU memory, or on a CPU of the process's resident memory.

        None where neither is known (a CPU and no Linux).
        """
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def reset_memory(self) -> None:
        """Start counting :meth:`peak_memory` again."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        with contextlib.suppress(OSError):  # proc(5), clear_refs: 5 resets VmHWM
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def open_compute(config: AdaptConfig) -> Compute:
    """Resolve ``--device`` and ``--precision``. From then on float32 is float32 in this process: no TF32.

    On a GPU cuDNN tries which of its algorithms is fastest, and they round differently: one seed gives nearly, not
    exactly, one result there.

    Raises:
        UsageError: a device that torch does not know or cannot see.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("torch sees no CUDA device")
        device = local_device(device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"`device={config.device}`: {error}. Expected auto, cpu, cuda or cuda:N.") from error
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "fp32"
    # By default, convolutions of GPUs from Ampere on keep 10 of float32's 23 bits. Every torch has these names; one
    # that has newer ones refuses a mixture of the two.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    elif device.type == "cpu":
        keep_freed_memory()
    return Compute(device, precision)


@contextlib.contextmanager
def oom_as_error(device: torch.device) -> Iterator[None]:
    """Turn what torch and numpy raise where memory is too small, of a GPU or of the machine, into TgktEdgeError with
    what helps."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # a GPU's OutOfMemoryError is a RuntimeError
        if not is_out_of_memory(error):
            raise
        other = ", or give `device=cpu`" if device.type == "cuda" else ""
        text = (
            str(error).strip().rpartition("DefaultCPUAllocator: ")[2]
        )  # what is before it names files of torch
        raise TgktEdgeError(
            f"`device={device}`: its memory is too small: {text.partition('. ')[0][:300]}. Give adapt "
            f"`accumulate=4`, a smaller `batch` or `image_size`, end what else runs there{other}."
        ) from error


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes bf16 in hardware; elsewhere it is emulated, slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
