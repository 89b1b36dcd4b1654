"""The table while it is written: whole lines in ``OUT.partial``, and in ``OUT.job.json`` what they were made of.

A process that is killed leaves at most one cut line, which the next one removes; it goes on at the frame after. Once
all rows are there the file gets its name, or becomes Parquet.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tgkt_edge.data.cache.lock import is_at
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.atomic import write_json
from tgkt_edge.runtime.predict.rows import Row

SCHEMA = 1
"""Version of ``OUT.job.json``."""

SYNC_SECONDS = 5.0
"""What a power cut may cost at most."""


class Format(Protocol):
    """How rows become lines."""

    @property
    def header(self) -> bytes:
        """The file's first line, or nothing."""

    def line(self, row: Row) -> bytes:
        """A row's line."""

    def begins(self, line: bytes, number: int) -> bool:
        """Whether ``line`` is a whole one of frame ``number``."""

    def is_bad(self, line: bytes) -> bool:
        """Whether a line is of a frame that could not be used."""


class Journal:
    """Appends rows; a context manager that closes.

    Args:
        out: the table's path. form: how rows are written meanwhile.
        job: what the table is made of: what must be equal for a table to be continued.
        overwrite: replace a table that is there, or a file that is none; one of this very job that is not finished
            goes on.

    Attributes:
        rows: whole rows that are there. bad: those among them of frames that could not be used.
        complete: an earlier call wrote the whole table.
        size: (width, height) that the first frame pinned, so far as one did.

    Raises:
        UsageError: (exit 2) ``out`` is another table, of another job, or another process is writing it.
        TgktEdgeError: (exit 1) the disk refuses.
    """

    def __init__(self, out: Path, form: Format, job: Mapping[str, Any], *, overwrite: bool) -> None:
        self.out, self._form, self._job = out, form, dict(job)
        self.partial = out.with_name(f"{out.name}.partial")
        self.state = out.with_name(f"{out.name}.job.json")
        self.rows = self.bad = self._bytes = 0
        self.size: tuple[int, int] | None = None
        self._fd = -1
        self._synced = time.monotonic()
        before = self._before(overwrite)
        self.complete = before.get("finished") is True and not self.partial.exists() and out.exists()
        if self.complete:
            self.rows, self.bad = int(before["rows"]), int(before["bad"])
            return
        if before.get("finished") is not True or self.partial.exists():
            size = before.get("size")
            self.size = (int(size[0]), int(size[1])) if size else None
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._open_locked()
            if overwrite and not before:
                self._forget()
            self._write_state(finished=False)
            self._take_up()
        except OSError as error:
            self.close()
            raise TgktEdgeError(f"cannot write {self.partial}: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise

    def pin(self, size: tuple[int, int]) -> None:
        """Remember the size that all frames have: a later process refuses another, as this one does."""
        if self.size is None:
            self.size = size
            self._write_state(finished=False)

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows: all of their lines, or an error and the file as it was.

        Raises:
            TgktEdgeError: (exit 1) the disk refuses; the rows before are whole.
        """
        data = b"".join(map(self._form.line, rows))
        try:
            done = 0
            while done < len(data):
                done += os.write(self._fd, data[done:])
            if time.monotonic() - self._synced > SYNC_SECONDS:
                os.fsync(self._fd)
                self._synced = time.monotonic()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._bytes)
                os.lseek(self._fd, self._bytes, os.SEEK_SET)
            raise self.refused(error) from error
        self._bytes += len(data)
        self.rows += len(rows)
        self.bad += sum(row.probabilities is None for row in rows)

    def finish(self) -> None:
        """All rows are there: put them on the disk, and say so beside."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise self.refused(error) from error
        self._write_state(finished=True)

    def refused(self, error: OSError) -> TgktEdgeError:
        """What a disk that refuses leaves behind, and how to go on."""
        return TgktEdgeError(
            f"cannot write {self.out}: {error.strerror or error}. {self.rows} rows are whole in {self.partial.name}. "
            f"Make room, then the same command continues at frame {self.rows}."
        )

    def close(self) -> None:
        """Close the file. Twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *rest: object) -> None:
        self.close()

    def _before(self, overwrite: bool) -> dict[str, Any]:
        """What ``OUT.job.json`` says of an earlier call with this job; empty: there was none, or it is replaced."""
        before: dict[str, Any] | None = None
        try:
            before = json.loads(self.state.read_text(encoding="utf-8"))
            if not isinstance(before, dict) or before.get("schema") != SCHEMA:
                raise ValueError("another version")
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.state} cannot be read ({error}), so {self.out} cannot be continued. Remove both, or choose "
                f"another `out`."
            ) from error
        if overwrite:
            same = before is not None and all(before.get(key) == value for key, value in self._job.items())
            return before if before is not None and same and before.get("finished") is False else {}
        if before is None:
            for path in (self.out, self.partial):
                if path.exists() and (path == self.out or path.stat().st_size):
                    raise UsageError(
                        f"{path} already exists, and no {self.state.name} beside it says what it was made of. Choose "
                        f"another `out`, or give `overwrite=True` to replace it."
                    )
            return {}
        other = [key for key, value in self._job.items() if before.get(key) != value]
        if other and self._is_empty():  # such as after a wrong sensor: nothing is lost
            return {}
        if other:
            raise UsageError(
                f"{self.out}: begun with another {', '.join(map(_difference(before, self._job), other))}: rows of the "
                f"two do not belong in one table. Choose another `out`, or give `overwrite=True` to replace it."
            )
        return before

    def _is_empty(self) -> bool:
        """Whether an earlier call was refused before its first row."""
        if self.out.exists():
            return False
        try:
            with self.partial.open("rb") as file:
                first, more = file.readline(), file.read(1)
        except FileNotFoundError:
            return True
        return not more and (not first or bool(self._form.header))

    def _forget(self) -> None:
        """Begin again: an old table stays until the new one is complete, and is not taken for it meanwhile."""
        self.state.unlink(missing_ok=True)
        os.ftruncate(self._fd, 0)

    def _write_state(self, *, finished: bool) -> None:
        done = {"rows": self.rows, "bad": self.bad} if finished else {}
        size = None if self.size is None else list(self.size)
        write_json(self.state, {"schema": SCHEMA, **self._job, "size": size, "finished": finished, **done})

    def _open_locked(self) -> None:
        """Open the lines so far, or none, for this process alone: nothing of them is touched before."""
        while True:
            self._fd = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"{self.out}: another process is writing it") from None
            if is_at(self._fd, self.partial):
                return
            self.close()  # it was given its name meanwhile, and is a whole table now

    def _take_up(self) -> None:
        """Count the whole rows and cut off what is behind them."""
        end = 0
        with open(os.dup(self._fd), "rb") as file:
            if self._form.header and file.readline() == self._form.header:
                end = len(self._form.header)
            if end or not self._form.header:
                for line in file:
                    if not self._form.begins(line, self.rows):
                        break
                    self.rows += 1
                    self.bad += self._form.is_bad(line)
                    end += len(line)
        os.ftruncate(self._fd, end)
        os.lseek(self._fd, end, os.SEEK_SET)
        if not end and self._form.header:
            end = os.write(self._fd, self._form.header)
        self._bytes = end


_DIGESTS = {"bundle": "bundle", "files": "list of files (names, sizes or times)"}
"""What is compared by a digest, which tells a person nothing."""


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> Any:
    def text(key: str) -> str:
        old, new = before.get(key), now[key]
        if key in _DIGESTS:
            return _DIGESTS[key]
        if isinstance(new, str | int) and isinstance(old, str | int) and len(f"{old}{new}") < 200:
            return f"{key} ({old}, now {new})"
        return key

    return text
