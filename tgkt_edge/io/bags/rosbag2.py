"""ROS 2's recordings in SQLite files (.db3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.message import Bag, Message, Topic, ros_type

SQLITE = b"SQLite format 3\0"


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
            if "malformed" in str(error):
                raise DataError(
                    f"{self._path}: is cut off or damaged ({error}). What is intact can be recovered: sqlite3 "
                    f"{self._path.name} .recover | sqlite3 saved.db3"
                ) from error
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
            self.problem = f"{self._path}: is cut off or damaged ({error}); its intact part is read"

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
