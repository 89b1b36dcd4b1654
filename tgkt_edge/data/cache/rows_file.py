"""One file of decoded rows: a header, one section a field, and a mark for each row with its checksum.

A row counts as there once its mark is, which is written last, and as whole if its CRC-32 says so. So a file that a kill
or a power cut left half written goes on where it stopped, and a damaged row is decoded again.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.recipes import Recipe, Values
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.system.cpu import usable_cpus
from tgkt_edge.system.memory import in_bytes

HEADER = 4096
"""Bytes before the first section; sections begin at multiples of it."""

FORMAT = 1
"""Of the file; another one is written again."""

_WRITTEN = 1 << 32  # in a mark, above the 32 bits of the checksum
_BLOCK = 8 << 20  # bytes that are verified at once by one thread


@dataclass(frozen=True)
class Layout:
    """Where everything lies in a file of ``rows`` rows.

    Attributes:
        sections: by field: offset, shape of a row, dtype. marks: offset of the marks. size: of the file.
    """

    rows: int
    sections: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]]
    marks: int
    size: int

    @classmethod
    def of(cls, recipe: Recipe, rows: int) -> Layout:
        """The layout that ``recipe`` asks for."""
        sections, offset = {}, HEADER
        for name, (shape, dtype) in recipe.fields.items():
            kind = np.dtype(dtype)
            sections[name] = (offset, shape, kind)
            offset = _up(offset + rows * _row_bytes(shape, kind))
        return cls(rows, sections, offset, _up(offset + 8 * rows))


class RowsFile:
    """An open file of rows.

    Args:
        path: for messages. descriptor: open for reading, and for writing where rows are missing; closed with this.
        layout: of the file.

    Attributes:
        missing: numbers of the rows that are not there, or damaged.
    """

    def __init__(self, path: Path, descriptor: int, layout: Layout) -> None:
        self.path, self.descriptor, self.layout = path, descriptor, layout
        self.missing: list[int] = list(range(layout.rows))

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)  # and with it the lock
            self.descriptor = -1

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Each field's (N, ...) rows, mapped and read-only; they stay readable when the file is deleted."""
        found: dict[str, NDArray[Any]] = {}
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            for name, (offset, shape, dtype) in self.layout.sections.items():
                found[name] = np.memmap(file, dtype, "r", offset, (self.layout.rows, *shape))
        return found

    def write(self, row: int, values: Values) -> None:
        """Put one row in place, its mark last. May be called from several threads and processes for different rows.

        Raises:
            OSError: the disk refused.
        """
        checksum = 0
        for name, (offset, shape, dtype) in self.layout.sections.items():
            data = np.asarray(values[name], dtype)
            if data.shape != shape:
                raise ValueError(f"{name}: found {data.shape}, expected {shape}")
            raw = data.tobytes()
            checksum = zlib.crc32(raw, checksum)
            _write_at(self.descriptor, raw, offset + row * len(raw))
        mark = np.array([checksum | _WRITTEN], "<u8").tobytes()
        _write_at(self.descriptor, mark, self.layout.marks + 8 * row)

    def verify(self, watch: Callable[[int], object] = lambda _: None) -> None:
        """Read everything and note which rows are ``missing``. ``watch``: called with the rows of each block.

        Raises:
            TgktEdgeError: the disk refused.
        """
        layout = self.layout
        try:
            marks = np.frombuffer(_read_at(self.descriptor, 8 * layout.rows, layout.marks), "<u8")
            largest = max(_row_bytes(shape, dtype) for _, shape, dtype in layout.sections.values())
            step = max(1, _BLOCK // largest)

            def damaged(start: int) -> tuple[int, list[int]]:
                stop = min(start + step, layout.rows)
                if not (marks[start:stop] >= _WRITTEN).any():
                    return stop - start, list(range(start, stop))
                return stop - start, self._damaged(marks, start, stop)

            self.missing = []
            with ThreadPoolExecutor(max_workers=min(8, usable_cpus())) as pool:
                for count, rows in pool.map(damaged, range(0, layout.rows, step)):
                    self.missing += rows
                    watch(count)
        except OSError as error:
            raise TgktEdgeError(f"cannot read {self.path}: {error.strerror or error}. {ADVICE}") from error

    def _damaged(self, marks: NDArray[np.uint64], start: int, stop: int) -> list[int]:
        found = [0] * (stop - start)
        for offset, shape, dtype in self.layout.sections.values():
            size = _row_bytes(shape, dtype)
            block = memoryview(_read_at(self.descriptor, (stop - start) * size, offset + start * size))
            for row in range(stop - start):
                found[row] = zlib.crc32(block[row * size : (row + 1) * size], found[row])
        return [row for row, crc in enumerate(found, start) if int(marks[row]) != crc | _WRITTEN]


ADVICE = "Delete it, or give another `cache`."


@contextmanager
def room_refused(path: Path, size: int) -> Iterator[None]:
    """Turn a disk's refusal to take ``size`` bytes at ``path`` into TgktEdgeError, which says what there is."""
    try:
        yield
    except OSError as error:
        free = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            about = os.statvfs(path.parent)
            free = f"; {in_bytes(about.f_bavail * about.f_frsize)} are free there"
        raise TgktEdgeError(
            f"cannot write {path}: {error.strerror or error}: {in_bytes(size)} are needed{free}. Make room, or give "
            f"a `cache` on another disk."
        ) from error


def header_of(recipe: Recipe, key: str, rows: int) -> bytes:
    """The first HEADER bytes of a file: what it holds, for people, and for the program to compare."""
    about: Mapping[str, Any] = {
        "tgkt-edge": "decoded images; may be deleted",
        "format": FORMAT,
        "rows": rows,
        "key": key,
        "recipe": recipe.to_dict(),
    }
    text = json.dumps(about, sort_keys=True).encode()
    if len(text) >= HEADER:
        raise ValueError(f"a header of {len(text)} bytes, expected fewer than {HEADER}")
    return text.ljust(HEADER - 1, b" ") + b"\n"


def create(descriptor: int, layout: Layout, header: bytes) -> None:
    """Take the whole file's room on the disk at once, then write the header. Raises OSError."""
    os.posix_fallocate(descriptor, 0, layout.size)
    _write_at(descriptor, header, 0)


def is_of(descriptor: int, layout: Layout, header: bytes) -> bool:
    """Whether the file is of this size and header."""
    return os.fstat(descriptor).st_size == layout.size and os.pread(descriptor, HEADER, 0) == header


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view, offset = view[written:], offset + written


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    parts = []
    while size:
        part = os.pread(descriptor, min(size, 1 << 30), offset)
        if not part:
            raise OSError(errno.EIO, "it ends too early")
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _row_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return int(dtype.itemsize * np.prod(shape, dtype=np.int64))


def _up(offset: int) -> int:
    return -(-offset // HEADER) * HEADER
