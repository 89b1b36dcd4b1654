"""ROS 2's recordings: SQLite files (.db3), and MCAP, which other programs write, too."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.message import MAX_BYTES, Bag, Message, Topic, ros_type
from tgkt_edge.optional_deps import require

SQLITE = b"SQLite format 3\0"
MCAP = b"\x89MCAP0\r\n"


class Rosbag2Sqlite(Bag):
    """A .db3 file; see :class:`Bag`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def topics(self) -> dict[str, Topic]:
        """See :meth:`Bag.topics`."""
        try:
            with self._open() as database:
                rows = database.execute(
                    "select topics.name, topics.type, topics.serialization_format, count(messages.id) from topics "
                    "left join messages on messages.topic_id = topics.id group by topics.id"
                ).fetchall()
        except sqlite3.Error as error:
            raise DataError(
                f"{self._path}: is no recording of ROS 2: {error}. Expected the tables topics and messages."
            ) from error
        if not rows:
            raise DataError(f"{self._path}: holds no topic: the recording ended before its first message")
        return {
            str(name): Topic(str(name), ros_type(str(kind)), str(form), int(n))
            for name, kind, form, n in rows
        }

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """See :meth:`Bag.messages`."""
        self.problem = ""
        topics = self.topics()
        try:
            with self._open() as database:
                marks = ",".join("?" * len(names))
                for name, time, data in database.execute(
                    f"select topics.name, messages.timestamp, messages.data from messages join topics on "
                    f"messages.topic_id = topics.id where topics.name in ({marks}) order by messages.timestamp",
                    [*names],
                ):
                    if not isinstance(time, int) or not isinstance(data, bytes):
                        raise sqlite3.DataError(f"a message of {name} has no time or no bytes")
                    yield Message(topics[name], time, data)
        except sqlite3.Error as error:
            self.problem = f"{self._path}: is cut off or damaged ({error}); what is whole is read"

    def _open(self) -> Any:
        """What was not yet moved from the log beside the file (-wal, after a power cut) is read with it, which SQLite
        does by a file of its own in the folder; a recording without one may lie where nothing can be written."""
        log = self._path.with_name(f"{self._path.name}-wal")
        how = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
        return _closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?{how}", uri=True))


class _closing:  # noqa: N801
    """A connection that is closed behind its block; sqlite3's own only commits."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


class McapFile(Bag):
    """A .mcap file of ROS messages; see :class:`Bag`. Read from its beginning to its end: it needs no index."""

    def __init__(self, path: Path) -> None:
        require("mcap", "ros", f"Reading {path.name}")
        self._path = path

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
            raise DataError(f"{self._path}: holds no topic: it was cut off before its first message")
        return found

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """See :meth:`Bag.messages`."""
        return self._walk({}, frozenset(names))

    def _walk(self, found: dict[str, Topic], names: frozenset[str]) -> Iterator[Message]:
        from mcap.records import Channel, DataEnd, Schema
        from mcap.records import Message as Record
        from mcap.stream_reader import StreamReader

        self.problem = ""
        schemas: dict[int, Any] = {}
        channels: dict[int, Topic] = {}
        ended = False
        try:
            with self._path.open("rb") as file:
                for record in StreamReader(file, record_size_limit=MAX_BYTES, validate_crcs=True).records:
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
                        if topic.name in names:
                            yield Message(topic, record.log_time, record.data)
        except _broken() as error:
            self.problem = f"{self._path}: is cut off or damaged ({_words(error)}); what is whole is read"
        if not ended and not self.problem:
            self.problem = f"{self._path}: is cut off; what is whole is read"


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
    return Topic(
        channel.topic, ros_type(schema.name if schema is not None else ""), channel.message_encoding, count
    )
