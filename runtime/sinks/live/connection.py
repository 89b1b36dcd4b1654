"""Connections of viewers, kept within bounds: their number, and how long one may take to ask for something."""

from __future__ import annotations

import asyncio
from typing import Any

from tgkt_edge.optional_deps import require

MOST = 512
"""Connections at a time, two a browser; from there on requests are answered 503."""

TOO_MANY = MOST + 128
"""Connections that are not even taken any more. A process may usually hold 1024 files open, and a run without any left
could open neither its camera nor its log again."""

PATIENCE = 10.0
"""Seconds for a whole request, from the connection's beginning or the request's first byte."""


def bounded_protocol() -> type[asyncio.Protocol]:
    """Uvicorn's HTTP/1.1 protocol, which closes connections that ask for nothing and those over TOO_MANY.

    Uvicorn alone keeps a connection indefinitely that never sends a request, or not a whole one: browsers open some in
    advance, and a machine that vanished leaves its own behind.

    Raises:
        MissingDependency: (exit 6, extra ``sinks``).
    """
    base: Any = require("uvicorn.protocols.http.h11_impl", "sinks", "--sink http://").H11Protocol

    class Bounded(base):  # type: ignore[misc]
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if len(self.connections) > TOO_MANY:
                transport.abort()
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, error: Exception | None) -> None:
            self._forget()
            super().connection_lost(error)

        def _asking(self) -> bool:
            """Whether the viewer's turn is not over: nothing asked yet, or a request without its end."""
            cycle = self.cycle
            return cycle is None or cycle.response_complete or cycle.more_body

        def _watch(self) -> None:
            if not self._asking():
                self._forget()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(PATIENCE, self._too_late)

        def _forget(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _too_late(self) -> None:
            self._deadline = None
            if self._asking():
                self.transport.abort()

    return Bounded
