"""Connections of viewers, kept within bounds: their number, and how long one may take to ask for something.

Uvicorn alone keeps a connection indefinitely that never sends a request, or not a whole one: browsers open some in
advance, and a machine that vanished leaves its own behind. What is needed to know better comes from two standard
interfaces: asyncio's protocol, which sees bytes, and ASGI, which sees requests. Nothing of uvicorn's own is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tgkt_edge.optional_deps import require

MOST = 512
"""Connections at a time, two a browser; from there on requests are answered 503."""

TOO_MANY = MOST + 128
"""Connections that are not even taken any more. A process may usually hold 1024 files open, and a run without any left
could open neither its camera nor its log again."""

PATIENCE = 10.0
"""Seconds for a whole request, from the connection's beginning or the request's first byte."""

Messages = MutableMapping[str, Any]
App = Callable[
    [Messages, Callable[[], Awaitable[Messages]], Callable[[Messages], Awaitable[None]]], Awaitable[None]
]
Address = tuple[str, int]


class Connection:
    """How long a viewer has been asking; after PATIENCE seconds the connection is cut."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._answering = self._more = False
        self._deadline: asyncio.TimerHandle | None = None

    def asking(self) -> None:
        """A connection has begun, or a part of a request has come."""
        self._more = self._answering
        if not self._answering and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(PATIENCE, self._transport.abort)

    def answering(self, answering: bool) -> None:
        """The request is whole and is being answered, which takes as long as it takes; or the answer is over."""
        self._answering = answering
        self.forget()
        if not answering and self._more:  # what came meanwhile begins another request
            self.asking()

    async def cut(self) -> None:
        """End the connection now; returns when the server knows."""
        self._transport.abort()
        await asyncio.sleep(0)

    def forget(self) -> None:
        """Wait for nothing any more."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Connections:
    """All connections of a server, by the viewer's address: what the protocol and the application both know."""

    def __init__(self) -> None:
        self._open: dict[Address, Connection] = {}

    def protocol(self) -> type[asyncio.Protocol]:
        """Uvicorn's HTTP/1.1 protocol with these bounds.

        Raises:
            MissingDependency: (exit 6, extra ``sinks``).
        """
        base: Any = require("uvicorn.protocols.http.h11_impl", "sinks", "`sinks=http://`").H11Protocol
        connections = self._open

        class Bounded(base):  # type: ignore[misc]
            _address: Address | None = None
            _connection: Connection | None = None

            def connection_made(self, transport: asyncio.Transport) -> None:
                super().connection_made(transport)
                peer = transport.get_extra_info("peername")
                if not peer or len(connections) >= TOO_MANY:
                    transport.abort()
                    return
                self._address = (str(peer[0]), int(peer[1]))
                self._connection = connections[self._address] = Connection(transport)
                self._connection.asking()

            def data_received(self, data: bytes) -> None:
                if self._connection is not None:
                    self._connection.asking()
                super().data_received(data)

            def connection_lost(self, error: Exception | None) -> None:
                if self._address is not None and self._connection is not None:
                    self._connection.forget()
                    if connections.get(self._address) is self._connection:
                        del connections[self._address]
                super().connection_lost(error)

        return Bounded

    def watching(self, app: App) -> App:
        """Wrap ``app`` so that each connection is notified when its request is complete and when it is answered."""

        broken: type[Exception] = require("h11", "sinks", "`sinks=http://`").LocalProtocolError

        async def watched(
            scope: Messages,
            receive: Callable[[], Awaitable[Messages]],
            send: Callable[[Messages], Awaitable[None]],
        ) -> None:
            connection = self._open.get(tuple(scope.get("client") or ()))
            if connection is None:  # lost before its request was looked at
                await app(scope, receive, send)
                return

            whole = not {name for name, _ in scope["headers"]} & {b"content-length", b"transfer-encoding"}

            async def received() -> Messages:
                nonlocal whole
                message = await receive()
                if not message.get("more_body"):
                    whole = True
                    connection.answering(True)
                return message

            if whole:
                connection.answering(True)
            try:
                await app(scope, received, send)
            except broken:  # what follows the request is none, so that nothing can be answered any more
                await connection.cut()
            finally:
                connection.answering(False)
                if not whole:  # answered without its body, which is still to come
                    connection.asking()

        return watched
