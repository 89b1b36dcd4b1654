"""ScanNet's ``.sens`` files: every depth frame and color picture of a scan, with both cameras.

The format is that of ScanNet's SensReader, version 4.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.io.bags.message import MAX_BYTES, Bag, Message, Topic
from tgkt_edge.io.bags.pictures import Stamped
from tgkt_edge.io.formats.picture import check_size
from tgkt_edge.io.formats.sniff import decode
from tgkt_edge.sensor import Intrinsics
from tgkt_edge.sensor.extrinsics import IDENTITY

_VERSION = 4
_START = struct.Struct("<IQ")  # version, length of the sensor's name
_SIZES = struct.Struct(
    "<iiIIIIfQ"
)  # packing of color and depth; width, height of both; counts a metre; frames
_FRAME = struct.Struct("<64xQQQQ")  # the camera's place; times of color and depth; bytes of both
_MATRICES = 4 * 64  # intrinsics and extrinsics of color and depth
_LONGEST_NAME = 255
_COLORS, _DEPTHS = {0: "raw", 1: "png", 2: "jpeg"}, {0: "raw", 1: "zlib"}


@dataclass(frozen=True)
class _Head:
    cameras: NDArray[np.float32]  # (4, 4, 4)
    color_packing: int
    depth_packing: int
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    counts_a_metre: float
    frames: int
    start: int  # byte of the first frame


def is_sens(head: bytes) -> bool:
    """Whether a file that begins with ``head`` (at least 16 bytes) is of this format."""
    if len(head) < 16:
        return False
    version, length = _START.unpack_from(head)
    name = head[_START.size : _START.size + min(length, 4)]
    return (
        version == _VERSION and 0 < length <= _LONGEST_NAME and name.isascii() and name.decode().isprintable()
    )


class Sens(Bag):
    """A .sens file; see :class:`Bag`. Its topics are ``depth`` and ``color``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head_: _Head | None = None

    def topics(self) -> dict[str, Topic]:
        """See :meth:`Bag.topics`."""
        frames = self._head().frames
        return {
            "depth": Topic("depth", "ScanNet's depth", "sens", frames, self._depth),
            "color": Topic("color", "ScanNet's color", "sens", frames, self._color),
        }

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """See :meth:`Bag.messages`."""
        self.problem = ""
        head, topics = self._head(), self.topics()
        with self._path.open("rb") as file:
            file.seek(head.start)
            for number in range(head.frames):
                data = file.read(_FRAME.size)
                if len(data) < _FRAME.size:
                    self.problem = self._cut_off(number)
                    return
                taken_color, taken_depth, *sizes = _FRAME.unpack(data)
                for name, taken, size in zip(
                    ("color", "depth"), (taken_color, taken_depth), sizes, strict=True
                ):
                    if size > MAX_BYTES:
                        self.problem = f"{self._path}: is damaged: frame {number} has {size} bytes of {name}"
                        return
                    if name not in names:
                        file.seek(size, 1)
                        continue
                    body = file.read(size)
                    if len(body) < size:
                        self.problem = self._cut_off(number)
                        return
                    yield Message(topics[name], taken * 1000, body)

    def rig(self) -> Rig | None:
        """Both cameras; see :meth:`Bag.rig`."""
        head = self._head()
        color, color_place, depth, depth_place = (np.asarray(one, float) for one in head.cameras)
        # ScanNet's own are registered, and say so by two unit matrices. Which way others would go is written nowhere.
        registered = np.allclose(color_place, np.eye(4), atol=1e-6) and np.allclose(
            depth_place, np.eye(4), atol=1e-6
        )
        return Rig(
            _intrinsics(depth), _intrinsics(color), IDENTITY if registered else None, head.depth_size, head.color_size,
            "The file names other places than one for its cameras, and no way to read them",
        )  # fmt: skip

    def unit_m(self) -> float | None:
        """See :meth:`Bag.unit_m`."""
        shift = self._head().counts_a_metre
        return float(f"{1 / shift:.6g}") if np.isfinite(shift) and shift > 1 else None

    def _cut_off(self, number: int) -> str:
        return f"{self._path}: is cut off in frame {number} of {self._head().frames}; its intact part is read"

    def _head(self) -> _Head:
        if self._head_ is None:
            try:
                with self._path.open("rb") as file:
                    self._head_ = _read_head(file)
            except OSError as error:
                raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error
            except struct.error as error:
                raise DataError(f"{self._path}: is cut off before its first frame") from error
        return self._head_

    def _depth(self, message: Message) -> Stamped:
        head = self._head()
        width, height = head.depth_size
        check_size(width, height)
        needed = 2 * width * height
        if head.depth_packing not in _DEPTHS:
            raise DataError(
                f"its depth is packed in way {head.depth_packing}, which is not read; expected 0 (raw) or 1 (zlib)"
            )
        data = bytes(message.data)
        if head.depth_packing == 1:
            try:
                data = zlib.decompressobj().decompress(data, needed + 1)
            except zlib.error as error:
                raise DataError(f"is damaged: its depth cannot be unpacked: {error}") from error
        if len(data) != needed:
            raise DataError(f"is damaged: {len(data)} bytes of depth, expected {needed} for {width}x{height}")
        pixels = np.frombuffer(data, "<u2").reshape(height, width).astype(np.uint16)
        return Stamped(pixels, "16UC1", 0.0, message.received / 1e9)

    def _color(self, message: Message) -> Stamped:
        head = self._head()
        width, height = head.color_size
        check_size(width, height)
        if head.color_packing not in _COLORS:
            raise DataError(
                f"its color is packed in way {head.color_packing}, which is not read; expected 0 (raw), 1 (PNG) or 2"
            )
        data = bytes(message.data)
        if head.color_packing:
            picture = decode(data)
            pixels, file = picture.pixels, data if picture.orientation == 1 else b""
            if pixels.ndim != 3 or pixels.dtype != np.uint8:
                raise DataError(f"is damaged: its color is {pixels.dtype} {pixels.shape}")
            found = np.ascontiguousarray(pixels[..., :3])
        else:
            if len(data) != 3 * width * height:
                raise DataError(f"is damaged: {len(data)} bytes of color, expected {3 * width * height}")
            found = np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(height, width, 3)[..., ::-1])
            file = b""
        return Stamped(found, "bgr8", 0.0, message.received / 1e9, file)


def _read_head(file: IO[bytes]) -> _Head:
    _, length = _START.unpack(file.read(_START.size))
    file.read(min(length, _LONGEST_NAME))
    matrices = file.read(_MATRICES)
    if len(matrices) < _MATRICES:
        raise struct.error
    packing = _SIZES.unpack(file.read(_SIZES.size))
    return _Head(
        np.frombuffer(matrices, "<f4").reshape(4, 4, 4), packing[0], packing[1], packing[2:4], packing[4:6],
        packing[6], packing[7], file.tell(),
    )  # fmt: skip


def _intrinsics(matrix: NDArray[np.float64]) -> Intrinsics | None:
    try:
        return Intrinsics(float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2]))
    except ConfigError:
        return None
