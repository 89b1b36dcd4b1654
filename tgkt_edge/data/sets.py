"""Decoded sets of images: sensor frames, labelled RGB, and pairs; in memory, or mapped from a file of the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.levels import Levels

A = TypeVar("A", bound=NDArray[Any])


@dataclass(frozen=True)
class Frames:
    """Sensor frames of the task: ``codes`` (N, R, R) uint16 (see preprocess), and ``labels`` (N,) int64 or None.

    ``invalid`` (N,) float32 is each raw frame's share of pixels without a measurement, ``levels`` (N, LENGTH) what
    :mod:`tgkt_edge.data.levels` says of its values; None: not known.
    """

    codes: NDArray[np.uint16]
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    invalid: NDArray[np.float32] | None = None
    levels: Levels | None = None

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Images:
    """Labelled RGB images: ``rgb`` (N, R, R, 3) uint8, ``labels`` (N,) int64 indices into ``classes``."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rgb)


@dataclass(frozen=True)
class Pairs:
    """Paired frames of other scenes: ``rgb`` (M, R, R, 3) uint8 and ``codes`` (M, R, R) uint16, row by row.

    ``levels`` (M, LENGTH) as of :class:`Frames`.
    """

    rgb: NDArray[np.uint8]
    codes: NDArray[np.uint16]
    names: tuple[str, ...]
    levels: Levels | None = None

    def __len__(self) -> int:
        return len(self.rgb)


class Rows:
    """Some rows of a mapped array, read when they are asked for; in all that reads whole rows it acts as an array.

    Args:
        base: (N, ...) mapped from a file. index: (n,) which of its rows these are.
    """

    def __init__(self, base: NDArray[Any], index: NDArray[np.int64]) -> None:
        self.base, self.index = base, index
        self.dtype = base.dtype
        self.shape = (len(index), *base.shape[1:])
        self.ndim = base.ndim

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, which: Any) -> NDArray[Any]:
        return np.asarray(self.base[self.index[which]])

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (np.asarray(self.base[row]) for row in self.index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype)


def take_rows(images: A, index: NDArray[np.int64]) -> A:
    """Rows ``index`` of (N, ...) images: a copy of what is in memory; of what is mapped nothing is read."""
    if isinstance(images, Rows):
        return cast(A, Rows(images.base, images.index[index]))
    if isinstance(images, np.memmap):
        return cast(A, Rows(images, index))
    return cast(A, images[index])


def is_mapped(images: NDArray[Any]) -> bool:
    """Whether the pixels lie in a file and not in memory."""
    return isinstance(images, np.memmap | Rows)


def blocks(images: NDArray[Any], rows: int = 1024) -> Iterator[NDArray[Any]]:
    """(n, ...) pieces in order, which bound the memory that an operation on all images takes."""
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def spread(count: int, at_most: int) -> list[int]:
    """Indices of at most ``at_most`` of ``count`` things, first and last among them, evenly spread and ascending."""
    chosen = np.linspace(0, count - 1, min(count, at_most)).round().astype(int)
    return [int(i) for i in np.unique(chosen)]


def class_numbers(labels: Sequence[str], index: dict[str, int], kept: Sequence[int]) -> NDArray[np.int64]:
    """(n,) numbers of the classes of the ``kept`` labels."""
    return np.array([index[labels[i]] for i in kept], dtype=np.int64)
