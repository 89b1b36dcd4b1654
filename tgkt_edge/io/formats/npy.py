"""NumPy's .npy and .npz: one array, or one page of a stack. Nothing is unpickled."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from functools import lru_cache
from typing import IO, Any

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import MAX_PIXELS, Picture, check_page, check_size

MAGIC = b"\x93NUMPY"

_LENGTHS = {(1, 0): 2, (2, 0): 4}
"""By version, how many bytes say how long the header is."""

_MOST_HEADER = 1 << 16
"""Bytes; NumPy itself refuses more than 10,000 characters."""

_HEADER_ERRORS = (
    ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError, tokenize.TokenError
)  # fmt: skip


def decode_npy(file: IO[bytes], page: int | None = None) -> Picture:
    """An array of numbers, (H, W), or of a stack (N, H, W) the one that ``page`` names.

    Raises:
        DataError: truncated, damaged; a stack without ``page``; channels, texts, objects or records.
    """
    shape, transposed, dtype = _header(file)
    if dtype.kind not in "uif":
        raise DataError(
            f"is a NumPy array of {dtype}, which is not read; expected whole or floating-point numbers"
        )
    count, height, width = _pages(shape)
    page = check_page(page, count)
    check_size(width, height)
    start, size = file.tell(), height * width * dtype.itemsize
    if transposed and count > 1:
        raise DataError(
            "is a stack in Fortran's order, which is not read. Write it with numpy.ascontiguousarray."
        )
    try:
        file.seek(start + page * size)
        data = file.read(size)
    except (OverflowError, ValueError) as error:
        raise DataError(f"is damaged: its shape is {shape}") from error
    if len(data) < size:
        raise DataError(f"is truncated ({len(data)} of {size} bytes of its numbers)")
    pixels = np.frombuffer(data, dtype).reshape((width, height) if transposed else (height, width))
    pixels = pixels.T if transposed else pixels
    return Picture(np.ascontiguousarray(pixels, dtype.newbyteorder("=")), frame_only="a NumPy array")


def decode_npz(data: bytes, array: str | None = None, page: int | None = None) -> Picture:
    """The array of an archive, or of several the one named ``array``.

    Raises:
        DataError: see :func:`decode_npy`; it holds no array of that name, or several and none is named.
    """
    return decode_npy(_array_of(data, array, _MOST)[0], page)


def count_npy_pages(file: IO[bytes]) -> int:
    """How many frames a .npy holds: of a truncated one those that are whole, and the one within which it ends.

    Raises:
        DataError: it is none that is read.
    """
    shape, _, dtype = _header(file)
    start = file.tell()
    return _whole_pages(shape, dtype, file.seek(0, io.SEEK_END) - start)


def count_npz_pages(data: bytes, array: str | None = None) -> int:
    """As :func:`count_npy_pages`, of the array in an archive."""
    file, size = _array_of(data, array, 1 << 16)
    shape, _, dtype = _header(file)
    return _whole_pages(shape, dtype, min(size, _MOST) - file.tell())


_MOST = 8 * MAX_PIXELS + (1 << 16)


def _whole_pages(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> int:
    """Pages that ``size`` bytes of numbers may hold, and one more: a damaged header would claim any number."""
    count, height, width = _pages(shape)
    return min(count, size // max(1, height * width * dtype.itemsize) + 1)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and dtype; ``file`` stands at the numbers then."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _LENGTHS:
            raise DataError(f"is a NumPy file of version {version[0]}.{version[1]}, which is not read")
        length = file.read(_LENGTHS[version])
        text = file.read(min(int.from_bytes(length, "little"), _MOST_HEADER))
        shape, transposed, dtype = _parsed(version, length + text)
    except _HEADER_ERRORS as error:
        raise DataError("is damaged: its NumPy header cannot be read") from error
    if any(not 0 <= length < 1 << 40 for length in shape) or math.prod(shape) > 1 << 44:
        raise DataError(f"is damaged: its shape is {shape}")
    return shape, bool(transposed), dtype


@lru_cache(maxsize=64)
def _parsed(version: tuple[int, int], header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What a header says, with its length before it: the frames of one camera have the same, and to parse it takes as
    long as to read a small frame. Raises one of _HEADER_ERRORS."""
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(io.BytesIO(header))


def _pages(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Number of frames, height, width."""
    if len(shape) == 4 and shape[-1] == 1:
        shape = shape[:3]
    if len(shape) == 3 and shape[-1] == 1:
        shape = shape[:2]
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) == 3 and shape[-1] not in (2, 3, 4):
        return shape[0], shape[1], shape[2]
    raise DataError(
        f"is a NumPy array of shape {shape}; expected (height, width) or a stack (frames, height, width). Save the "
        f"sensor's channel alone: numpy.save('OUT.npy', array[..., 0])"
    )


def _array_of(data: bytes, array: str | None, at_most: int) -> tuple[IO[bytes], int]:
    """The one array of an archive, or that named: the first ``at_most`` bytes of its file, and how many it has."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
        if not names:
            raise DataError("is a ZIP archive without NumPy arrays, which is not read. Unpack it.")
        if array is None and len(names) > 1:
            raise DataError(
                f"holds the arrays {', '.join(names)}. Name one: FILE?array={names[0]}, or of all files in a folder "
                f"DIR?array={names[0]}"
            )
        if array is not None and array not in names:
            raise DataError(f"holds no array '{array}'. It holds {', '.join(names)}.")
        about = archive.getinfo(f"{array or names[0]}.npy")
        with archive.open(about) as file:
            return io.BytesIO(file.read(at_most)), about.file_size
    except _ZIP_ERRORS as error:
        raise DataError(f"is damaged: it is not a complete archive of arrays ({error})") from error


_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, OverflowError,
    KeyError,
)  # fmt: skip
