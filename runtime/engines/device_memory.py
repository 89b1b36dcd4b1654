"""Inputs and outputs of a plan: memory on the GPU, and page-locked memory here that is copied to or from it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.runtime.engines.cuda import Cuda


@dataclass(frozen=True)
class DeviceTensor:
    """An input or output: its memory on the GPU, the page-locked memory copied to or from it, a view of that."""

    name: str
    gpu: int
    pinned: int
    view: NDArray[np.float32]

    def bytes_of(self, count: int) -> int:
        """Of ``count`` frames."""
        return count * int(self.view[0].nbytes)


def allocate(cuda: Cuda, undo: ExitStack, name: str, shape: tuple[int, ...]) -> DeviceTensor:
    """Both memories of a tensor of the largest batch; ``undo`` frees them."""
    gpu = cuda.alloc(int(np.prod(shape)) * 4)
    undo.callback(cuda.free, gpu)
    pinned, view = cuda.alloc_pinned(shape)
    undo.callback(cuda.free_pinned, pinned)
    return DeviceTensor(name, gpu, pinned, view)
