"""MCAP files, of ROS 2 and of other programs."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags import depthai, foxglove
from tgkt_edge.io.bags.message import MAX_BYTES, Bag, Message, Topic, ros_type
from tgkt_edge.optional_deps import require

MCAP = b"\x89MCAP0\r\n"


class McapFile(Bag):
    """A .mcap file of ROS's, Foxglove's or depthai's messages; see :class:`Bag`. Read from its beginning to its end: it
    needs no index."""

    def __init__(self, path: Path) -> None:
        require("mcap", "ros", f"Reading {path.name}")
        self._path = path
        self._shift: float | None = None

    def of_depthai(self) -> bool:
        """Whether depthai wrote it: its clock counts from the start of the computer, and its topic is called the same
        in all files."""
        return any(topic.schema in depthai.TYPES for topic in self.topics().values())

    def shift(self) -> float | None:
        """Seconds from depthai's clock to Unix time, by its first message; None: it has none that says its time."""
        names = [name for name, topic in self.topics().items() if topic.schema in depthai.TYPES]
        next(self._walk({}, frozenset(names)), None)
        return self._shift

    def set_shift(self, seconds: float) -> None:
        """Take another :meth:`shift`: that of files which were recorded at the same time."""
        self._shift = seconds

    def topics(self) -> dict[str, Topic]:
        """From the summary at the end, or, of a file that was cut off, from all of it."""
        from mcap.reader import SeekingReader

        found: dict[str, Topic] = {}
        try:
            with self._path.open("rb") as file:
                summary = SeekingReader(file, record_size_limit=MAX_BYTES).get_summary()
            if summary is not None and summary.channels:
                counts = summary.statistics.channel_message_counts if summary.statistics is not None else {}
                for number, channel in summary.channels.items():
                    schema = summary.schemas.get(channel.schema_id)
                    found[channel.topic] = _topic(channel, schema, counts.get(number))
        except _broken():
            found = {}
        if not found:
            for _ in self._walk(found, frozenset()):
                pass
        if not found:
            raise DataError(f"{self._path}: holds no topic: it ends before its first chunk of messages does")
        return found

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """See :meth:`Bag.messages`."""
        return self._walk({}, frozenset(names))

    def _walk(self, found: dict[str, Topic], names: frozenset[str]) -> Iterator[Message]:
        from mcap.records import Channel, DataEnd, Schema
        from mcap.records import Message as Record

        self.problem = ""
        schemas: dict[int, Any] = {}
        channels: dict[int, Topic] = {}
        ended = False
        try:
            with self._path.open("rb") as file:
                for record in _records(file):
                    if isinstance(record, Schema):
                        schemas[record.id] = record
                    elif isinstance(record, Channel):
                        topic = _topic(record, schemas.get(record.schema_id), None)
                        channels[record.id] = topic
                        found.setdefault(topic.name, topic)
                    elif isinstance(record, DataEnd):
                        ended = True
                        break
                    elif isinstance(record, Record):
                        topic = channels[record.channel_id]
                        if topic.schema in depthai.TYPES:
                            topic = channels[record.channel_id] = self._timed(topic, record)
                        if topic.name in names:
                            yield Message(topic, record.log_time, record.data)
        except _broken() as error:
            self.problem = f"{self._path}: is cut off or damaged ({_words(error)}); its intact part is read"
        if not ended and not self.problem:
            self.problem = f"{self._path}: is cut off; its intact part is read"

    def _timed(self, topic: Topic, record: Any) -> Topic:
        """The topic with the :meth:`shift`, once a message says its time."""
        if self._shift is None:
            self._shift = depthai.clock_shift(record.log_time, topic.schema, record.data)
        return topic if self._shift is None else replace(topic, shift=self._shift)


def _records(file: IO[bytes]) -> Iterator[Any]:
    """All records of a file, those in chunks, too. Of a chunk no more is unpacked than its header says."""
    from mcap.records import Chunk
    from mcap.stream_reader import StreamReader, breakup_chunk

    reader = StreamReader(file, record_size_limit=MAX_BYTES, validate_crcs=True, emit_chunks=True)
    for record in reader.records:
        if isinstance(record, Chunk):
            plain = replace(record, compression="", data=_unpacked(record))
            yield from breakup_chunk(plain, validate_crc=True)
        else:
            yield record


def _unpacked(chunk: Any) -> bytes:
    """A chunk's records. Raises ValueError if they are more, or fewer, bytes than it says."""
    size = chunk.uncompressed_size
    if size > MAX_BYTES:
        raise ValueError(f"a chunk of {size} bytes")
    if not chunk.compression:
        return bytes(chunk.data)
    if chunk.compression == "lz4":
        unpacker = require("lz4.frame", "ros", "Unpacking this recording").LZ4FrameDecompressor()
        plain = bytes(unpacker.decompress(chunk.data, size + 1))
    elif chunk.compression == "zstd":
        zstandard = require("zstandard", "ros", "Unpacking this recording")
        with zstandard.ZstdDecompressor().stream_reader(chunk.data) as stream:
            plain = bytes(stream.read(size + 1))
    else:
        raise ValueError(f"chunks are packed with {chunk.compression}")
    if len(plain) != size:
        raise ValueError(f"a chunk holds another number of bytes than the {size} that its header says")
    return plain


_BROKEN = (
    EOFError,
    KeyError,
    OSError,
    struct.error,
    ValueError,
    UnicodeDecodeError,
    RuntimeError,
    MemoryError,
)


def _broken() -> tuple[type[Exception], ...]:
    """What mcap and the libraries that unpack its chunks raise for damaged files."""
    from mcap.exceptions import McapError
    from zstandard import ZstdError

    return (*_BROKEN, McapError, ZstdError)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _topic(channel: Any, schema: Any, count: int | None) -> Topic:
    name = schema.name if schema is not None else ""
    encoding = channel.message_encoding
    if encoding in foxglove.ENCODINGS and name in foxglove.TYPES:
        return Topic(channel.topic, foxglove.TYPES[name], encoding, count, schema=name)
    if encoding == "protobuf" and name in depthai.TYPES:
        return Topic(channel.topic, depthai.TYPES[name], encoding, count, schema=name)
    return Topic(channel.topic, ros_type(name), encoding, count)
