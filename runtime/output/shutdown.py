"""Ctrl-C, SIGTERM and SIGHUP as a request to finish, so that a run ends between two frames and reports."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Literal

Reason = Literal["interrupted", "terminated"]


class StopRequest:
    """While entered, SIGINT, SIGTERM and SIGHUP set ``reason`` instead of ending the process.

    SIGHUP, of a terminal that is closed, counts as SIGTERM; where it is ignored (``nohup``) it stays so. With
    ``on_hangup`` that is called instead.
    A second Ctrl-C raises KeyboardInterrupt as usual, should finishing take too long. Outside the main thread,
    where Python delivers no signals, entering changes nothing.
    """

    def __init__(self, on_hangup: Callable[[], None] | None = None) -> None:
        self.reason: Reason | None = None
        self._on_hangup = on_hangup
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether there is a reason."""
        return self.reason is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                ignored = signal.getsignal(number) == signal.SIG_IGN
                if number == signal.SIGHUP and ignored and self._on_hangup is None:
                    continue
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and self._on_hangup is not None:
            self._on_hangup()
            return
        self.reason = "interrupted" if number == signal.SIGINT else "terminated"
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
