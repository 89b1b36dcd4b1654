"""Tells the service manager that frames are being answered: systemd's notification protocol, sd_notify(3).

A service of ``Type=notify`` is started when READY=1 arrives, and restarted when WATCHDOG=1 stays away longer than its
``WatchdogSec``. Both follow answered frames, not a timer: a process whose camera hangs inside a driver call still has
running threads, and only a restart helps it.

The protocol is one datagram a message to the socket that ``$NOTIFY_SOCKET`` names. Without that variable nothing is
sent, so the same code runs in a terminal.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from types import TracebackType

_STATUS_EVERY = 5.0  # seconds between texts for `systemctl status`


class Notifier:
    """A context manager that says READY=1 with the first answered frame and STOPPING=1 on leaving.

    Nothing here raises or waits. READY=1 and WATCHDOG=1 that the service manager does not take at once are sent again
    with the next frame.

    Args:
        environment: holds NOTIFY_SOCKET (a path, or @name in the abstract namespace), WATCHDOG_USEC (microseconds)
            and WATCHDOG_PID as systemd sets them. None: this process's.
        clock: monotonic seconds.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        given = os.environ if environment is None else environment
        self._clock = clock
        self._socket: socket.socket | None = None
        self._ready = False
        self._next_beat = self._next_status = float("-inf")
        self._beat = _watchdog_seconds(given) / 3  # one that comes late or is lost does no harm
        address = given.get("NOTIFY_SOCKET", "")
        if address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._address = "\0" + address[1:] if address[0] == "@" else address

    def __enter__(self) -> Notifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send("STOPPING=1", "STATUS=stopping")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def answered(self, status: Callable[[], str]) -> None:
        """A frame was answered: READY=1 the first time, WATCHDOG=1 as often as the manager needs it.

        ``status`` gives the line for `systemctl status`; it is called only when one is due.
        """
        if self._socket is None:
            return
        now, lines = self._clock(), []
        if not self._ready:
            lines.append("READY=1")
        self._tell(now, lines, status)

    def trying(self, status: Callable[[], str]) -> None:
        """A lost camera is being opened again: WATCHDOG=1, since a restart would do no more, and never READY=1."""
        if self._socket is None:
            return
        self._tell(self._clock(), [], status)

    def waiting(self, status: Callable[[], str]) -> None:
        """No frame came: a status when one is due, and no WATCHDOG=1."""
        if self._socket is not None and (now := self._clock()) >= self._next_status:
            self._send(*self._status(now, status))

    def _tell(self, now: float, lines: list[str], status: Callable[[], str]) -> None:
        """Send ``lines``, the beat and the status that are due; what was not taken stays due."""
        if beat := bool(self._beat) and now >= self._next_beat:
            lines.append("WATCHDOG=1")
        if (lines or now >= self._next_status) and self._send(*lines, *self._status(now, status)):
            self._ready = self._ready or "READY=1" in lines
            if beat:
                self._next_beat = now + self._beat

    def _status(self, now: float, status: Callable[[], str]) -> list[str]:
        if now < self._next_status:
            return []
        self._next_status = now + _STATUS_EVERY
        return ["STATUS=" + " ".join(status().split())]  # a newline would begin another assignment

    def _send(self, *lines: str) -> bool:
        if self._socket is not None and lines:
            with contextlib.suppress(OSError):  # the manager is gone, or its queue is full
                self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
                return True
        return False


def _watchdog_seconds(given: Mapping[str, str]) -> float:
    """Seconds after which the manager misses WATCHDOG=1; 0: it does not watch this process."""
    meant = given.get("WATCHDOG_PID", "")
    if meant and meant != str(os.getpid()):
        return 0.0
    try:
        return max(0, int(given.get("WATCHDOG_USEC", "0"))) * 1e-6
    except ValueError:
        return 0.0
