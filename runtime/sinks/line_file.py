"""Lines in files that never grow beyond their size, are never half, and outlast a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from abc import abstractmethod
from collections import deque
from pathlib import Path

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.rotation import rotate
from tgkt_edge.runtime.sinks.uri_options import Options

OPTIONS = ("max_mb", "keep", "buffer")
_TAIL = 1 << 20  # bytes at the end of a file in which its last line must begin


class LineFileSink(Sink):
    """Appends lines to a file and starts a new one when it is full.

    A line goes to the system in one call, and a line of which only a part found room is taken back, so the file holds
    whole lines at any moment. Lines that cannot be written (a full disk) are kept in memory and written in order once
    there is room. Nothing is forced to the disk before the file is closed or rotated: a power cut may cost the seconds
    that the system had not written, and at most one cut-off line, which the next run removes.

    Args:
        max_bytes: a line that would make the file longer goes to a new one; a single longer line is still written.
        keep: how many full files stay beside it, as ``stem.1.suffix`` (newest) to ``stem.keep.suffix``.
        buffer: lines kept in memory while the file cannot be written; the oldest are dropped first.

    Attributes:
        header: what every file begins with; empty: nothing.
        dropped: lines that were lost because the buffer was full.
    """

    kind = ""
    header = b""

    @abstractmethod
    def line_of(self, message: Message) -> bytes:
        """A message as one line with its end; empty: this kind of file leaves it out. Raises OSError: not possible."""

    @abstractmethod
    def mend(self, fd: int) -> int:
        """Size of an older file in whole lines, after a last line without its end was completed or removed.

        Raises:
            UsageError: it holds something else than this kind of lines; it is left as it is.
        """

    def __init__(
        self, path: Path, *, max_bytes: int = 100_000_000, keep: int = 10, buffer: int = 10_000
    ) -> None:
        self.name, self.dropped = f"{self.kind}:{path}", 0
        self._path, self._max_bytes, self._keep = path, max_bytes, keep
        self._waiting: deque[bytes] = deque()
        self._buffer = buffer
        self._fd: int | None = None
        self._size = 0  # bytes of whole lines in the file
        self._device = False  # nothing to rotate

    def open(self, info: RunInfo) -> None:
        """Open the file for appending and mend a last line that was cut off.

        Raises:
            UsageError: (exit 2) it cannot be written, another run writes it, or it holds something else.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._attach()
        except OSError as error:
            busy = error.errno in (errno.EWOULDBLOCK, errno.EAGAIN)
            reason = "another run is writing it; give each its own file" if busy else error.strerror
            raise UsageError(f"`sinks={self.name}`: cannot write there: {reason}") from error

    def write(self, message: Message) -> None:
        """Append one line, and before it those that still wait.

        Raises:
            OSError: there is no room, or the file cannot be written; the line waits in memory and needs no second call.
        """
        line = self.line_of(message)
        if not line:
            return
        self._waiting.append(line)
        try:
            self._flush()
        except (OSError, UsageError) as error:
            lost = len(self._waiting) - self._buffer
            for _ in range(lost):
                self._waiting.popleft()
                self.dropped += 1
            state = f"{len(self._waiting)} lines wait in memory, {self.dropped} were dropped"
            reason = getattr(error, "strerror", None) or error
            raise OSError(getattr(error, "errno", errno.EIO), f"{self._path}: {reason}; {state}") from error

    def close(self) -> None:
        """Write what waits if there is room now, and put the file on the disk."""
        if self._fd is None and not self._waiting:
            return
        try:
            self._flush()
        except (OSError, UsageError):
            self.dropped += len(self._waiting)
        self._waiting.clear()
        self._detach()

    def _flush(self) -> None:
        if self._fd is not None and self._moved():
            self._detach()
        if self._fd is None:
            self._attach()
        while self._waiting:
            line = self._waiting[0]
            if (
                self._size > len(self.header)
                and self._size + len(line) > self._max_bytes
                and not self._device
            ):
                self._detach()
                rotate(self._path, self._keep)
                self._attach()
            if not self._size and self.header and not self._device:
                self._append(self.header)
            self._append(line)
            self._waiting.popleft()

    def _append(self, line: bytes) -> None:
        assert self._fd is not None
        done = 0
        try:
            while done < len(line):
                done += os.write(self._fd, line[done:])
        except OSError:
            if done:  # a part of the line found room
                os.ftruncate(self._fd, self._size)
            raise
        self._size += done

    def _moved(self) -> bool:
        """Whether the path no longer leads to the open file: another program rotated or removed it."""
        assert self._fd is not None
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _attach(self) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            _lock(fd)
            found = os.fstat(fd)
            self._device = not stat.S_ISREG(found.st_mode)
            # A power cut left the file's length without its first bytes.
            zeros = not self._device and found.st_size > 0 and os.pread(fd, 1, 0) == b"\0"
            self._size = 0 if zeros or self._device else self.mend(fd)
        except BaseException:
            os.close(fd)
            raise
        if zeros:  # whatever else it holds stays as it is, beside the new one
            os.close(fd)
            rotate(self._path, max(1, self._keep))
            self._attach()
        else:
            self._fd = fd

    def _detach(self) -> None:
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        try:
            os.fsync(fd)
        except OSError:
            pass  # a disk that cannot keep its promise now: the lines are with the system, nothing else can be done
        finally:
            os.close(fd)


def split_cut_line(fd: int) -> tuple[int, bytes]:
    """Size of a file's whole lines, and what follows the end of the last one."""
    size = os.fstat(fd).st_size
    begin = max(0, size - _TAIL)
    tail = os.pread(fd, size - begin, begin)
    cut = tail[tail.rfind(b"\n") + 1 :]
    return size - len(cut), cut


def file_options(options: Options) -> dict[str, int]:
    """The arguments of :class:`LineFileSink` that a URI's options give."""
    return {
        "max_bytes": int(options.number("max_mb", 100, 0.001, 1e6) * 1e6),
        "keep": options.whole("keep", 10, 0, 10_000),
        "buffer": options.whole("buffer", 10_000, 0, 10_000_000),
    }


def _lock(fd: int) -> None:
    """Take the file for this process. Raises BlockingIOError if another has it; file systems without locks are fine."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return
