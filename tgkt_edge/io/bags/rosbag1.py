"""ROS 1's bags, version 2.0, read record by record: also those that were cut off before their index was written.

The format: https://wiki.ros.org/Bags/Format/2.0.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.message import MAX_BYTES, Bag, Message, Topic, ros_type
from tgkt_edge.optional_deps import require

MAGIC = b"#ROSBAG V2.0\n"

_MESSAGE, _BAG_HEADER, _CHUNK, _CONNECTION = 2, 3, 5, 7
_Fields = dict[bytes, bytes]


class _CutOff(Exception):
    """The file ends, or goes on with something else, within a record."""


class Rosbag1(Bag):
    """A .bag file; see :class:`Bag`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def topics(self) -> dict[str, Topic]:
        """From the index at the end, or, of a bag that was cut off, from all of it."""
        found: dict[int, Topic] = {}
        with self._path.open("rb") as file:
            file.seek(len(MAGIC))
            try:
                fields, _ = _record(file) or ({}, b"")
                if index := _index(fields):
                    file.seek(index)
                    _connections(file, found)
            except (_CutOff, struct.error, OSError, ValueError, OverflowError):
                found = {}
        if not found:
            for _ in self._walk(found, frozenset()):
                pass
        if not found:
            raise DataError(f"{self._path}: holds no topic: it ends before its first chunk of messages does")
        return {topic.name: topic for topic in found.values()}

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """See :meth:`Bag.messages`."""
        return self._walk({}, frozenset(names))

    def _walk(self, connections: dict[int, Topic], names: frozenset[str]) -> Iterator[Message]:
        self.problem, index = "", 0
        with self._path.open("rb") as file:
            file.seek(len(MAGIC))
            try:
                while (record := _record(file)) is not None:
                    fields, data = record
                    kind = _kind(fields)
                    if kind == _BAG_HEADER:
                        index = _index(fields)
                    elif kind == _CONNECTION:
                        _connect(fields, data, connections)
                    elif kind == _MESSAGE:
                        yield from _message(fields, memoryview(data), connections, names)
                    elif kind == _CHUNK:
                        yield from _chunk(fields, data, connections, names)
                if not 0 < index < file.tell():
                    self.problem = f"{self._path}: is cut off before its index; its intact part is read"
            except (_CutOff, struct.error, ValueError) as error:
                at = file.tell()
                self.problem = (
                    f"{self._path}: is cut off or damaged before byte {at} ({error}); its intact part is read"
                )


def _record(file: IO[bytes]) -> tuple[_Fields, bytes] | None:
    """The next record's fields and data; None at the end."""
    length = file.read(4)
    if not length:
        return None
    fields = _fields(_sized(file, length, 1 << 20))
    return fields, _sized(file, file.read(4), MAX_BYTES)


def _sized(file: IO[bytes], length: bytes, at_most: int) -> bytes:
    if len(length) < 4:
        raise _CutOff("the file ends")
    size = struct.unpack("<I", length)[0]
    if size > at_most:
        raise _CutOff(f"a record of {size} bytes")
    data = file.read(size)
    if len(data) < size:
        raise _CutOff("the file ends")
    return data


def _fields(header: bytes | memoryview) -> _Fields:
    found: _Fields = {}
    at = 0
    while at + 4 <= len(header):
        size = struct.unpack_from("<I", header, at)[0]
        name, equals, value = bytes(header[at + 4 : at + 4 + size]).partition(b"=")
        if not equals or at + 4 + size > len(header):
            raise _CutOff("a record's header is none")
        found[name] = value
        at += 4 + size
    return found


def _index(fields: _Fields) -> int:
    """The byte at which a bag's index begins; 0: none was written, for the recording was not ended."""
    return int(struct.unpack("<Q", fields.get(b"index_pos", bytes(8)))[0])


def _kind(fields: _Fields) -> int:
    operation = fields.get(b"op", b"")
    if len(operation) != 1:
        raise _CutOff("a record of no kind")
    return operation[0]


def _connect(fields: _Fields, data: bytes | memoryview, connections: dict[int, Topic]) -> None:
    number = struct.unpack("<I", fields.get(b"conn", b""))[0]
    about = _fields(data)
    name = about.get(b"topic", fields.get(b"topic", b"")).decode("utf-8", "replace")
    connections[number] = Topic(name, ros_type(about.get(b"type", b"").decode("utf-8", "replace")), "ros1")


def _message(
    fields: _Fields, data: memoryview, connections: dict[int, Topic], names: frozenset[str]
) -> Iterator[Message]:
    topic = connections.get(struct.unpack("<I", fields.get(b"conn", b""))[0])
    if topic is not None and topic.name in names:
        seconds, nanoseconds = struct.unpack("<II", fields.get(b"time", b""))
        yield Message(topic, seconds * 1_000_000_000 + nanoseconds, data)


def _connections(file: IO[bytes], found: dict[int, Topic]) -> None:
    """Those of the index, where the file stands."""
    while (record := _record(file)) is not None:
        fields, data = record
        if _kind(fields) != _CONNECTION:
            return
        _connect(fields, data, found)


def _chunk(
    fields: _Fields, data: bytes, connections: dict[int, Topic], names: frozenset[str]
) -> Iterator[Message]:
    """Messages and connections of one chunk, which is in memory as a whole."""
    plain = memoryview(_unpacked(fields, data))
    at = 0
    while at + 8 <= len(plain):
        header = struct.unpack_from("<I", plain, at)[0]
        inner = _fields(plain[at + 4 : at + 4 + header])
        at += 4 + header
        if at + 4 > len(plain):
            raise _CutOff("a chunk ends within a record")
        size = struct.unpack_from("<I", plain, at)[0]
        body = plain[at + 4 : at + 4 + size]
        if len(body) < size:
            raise _CutOff("a chunk ends within a record")
        at += 4 + size
        kind = _kind(inner)
        if kind == _CONNECTION:
            _connect(inner, body, connections)
        elif kind == _MESSAGE:
            yield from _message(inner, body, connections, names)


def _unpacked(fields: _Fields, data: bytes) -> bytes:
    """A chunk's records: as many bytes as its header says, and no more are unpacked."""
    packing = fields.get(b"compression", b"none")
    if packing == b"none":
        return data
    decompressor: Any
    if packing == b"bz2":
        decompressor = bz2.BZ2Decompressor()
    elif packing == b"lz4":
        decompressor = require("lz4.frame", "ros", "Unpacking this bag").LZ4FrameDecompressor()
    else:
        raise _CutOff(f"chunks are packed with {packing.decode('latin-1')}")
    size = struct.unpack("<I", fields.get(b"size", b""))[0]
    if size > MAX_BYTES:
        raise _CutOff(f"a chunk of {size} bytes")
    try:
        plain: bytes = decompressor.decompress(data, size + 1)
    except (OSError, RuntimeError, EOFError) as error:
        raise _CutOff(f"a chunk cannot be unpacked: {error}") from error
    if len(plain) != size:
        raise _CutOff(f"a chunk holds another number of bytes than the {size} that its header says")
    return plain
