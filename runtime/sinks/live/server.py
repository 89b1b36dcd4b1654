"""``http://HOST:PORT``: a live page, JSON, health and Prometheus metrics, from a thread of the run."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tgkt_edge.errors import UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.events import UpdateEvent
from tgkt_edge.runtime.records import camera_of
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.broker import load_certificate, reason_of
from tgkt_edge.runtime.sinks.live.app import Reload, make_app
from tgkt_edge.runtime.sinks.live.connection import MOST, Connections
from tgkt_edge.runtime.sinks.live.guard import Guard
from tgkt_edge.runtime.sinks.live.metrics import Metrics
from tgkt_edge.runtime.sinks.live.page import login_page
from tgkt_edge.runtime.sinks.live.state import LiveState
from tgkt_edge.runtime.sinks.uri_options import Options

OPTIONS = ("host", "stale")
TLS_OPTIONS = ("cert", "key")

_TOKEN = 12  # characters of a token at least
_UNHEARD = 20_000  # milliseconds after which a viewer whose machine no longer answers is given up


def open_live(uri: str, token: str | None, update: Callable[[bool], None] | None = None) -> Sink:
    """The sink of an ``http`` or ``https`` URI.

    Options: ``host=NAME`` a name that viewers may use beside addresses and this machine's own (several: commas);
    ``stale=30`` seconds of silence after which ``/healthz`` says 503; for https ``cert=FILE`` and ``key=FILE`` (PEM).

    Args:
        update: what ``POST /api/reload`` calls; None: the run does not watch its bundle.

    Raises:
        UsageError: (exit 2) not a host and port; an address that others reach and no token, or a short one.
        MissingDependency: (exit 6, extra ``sinks``).
    """
    shown, secure = redacted(uri).partition("?")[0], uri.lower().startswith("https:")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port is None or parts.path.strip("/") or parts.username or parts.fragment:
        raise UsageError(f"`sinks={shown}`: expected http://HOST:PORT, e.g. http://127.0.0.1:8080")
    options = Options(shown, parts.query, (*OPTIONS, *(TLS_OPTIONS if secure else ())))
    if token is not None and len(token) < _TOKEN:
        raise UsageError(
            f"`token`: {len(token)} characters: expected at least {_TOKEN} that nobody can guess, "
            f"e.g. from: openssl rand -hex 16"
        )
    for module in ("uvicorn", "starlette", "prometheus_client"):
        require(module, "sinks", f"`sinks={parts.scheme}://`")
    return LiveSink(
        host,
        port,
        token=token,
        names=tuple((options.text("host") or "").split(",")),
        stale=options.number("stale", 30, 0.1, 1e9),
        tls=_tls(shown, options) if secure else None,
        update=update,
    )


def _tls(shown: str, options: Options) -> tuple[str, str]:
    cert = options.text("cert")
    if cert is None:
        raise UsageError(f"`sinks={shown}`: https needs a certificate: ?cert=FILE&key=FILE (PEM)")
    key = options.text("key")
    load_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), shown, cert, key)
    return cert, key or cert


class LiveSink(Sink):
    """Keeps what the newest messages say and lets a small server, in a thread of its own, tell it to viewers.

    ``write`` takes microseconds and never waits for a viewer, so no message need be dropped and the counters are exact.

    Args:
        token: what viewers must present; None only where ``host`` is this machine alone.
        names: names that ``Host`` may have, beside addresses and this machine's own.
        stale: see :class:`LiveState`.
        tls: PEM files of the certificate and its key; None for plain HTTP.
        update: see :func:`open_live`.

    Attributes:
        url: address of the page, once open; the true port if 0 was asked for.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        token: str | None = None,
        names: tuple[str, ...] = (),
        stale: float = 30.0,
        tls: tuple[str, str] | None = None,
        update: Callable[[bool], None] | None = None,
    ) -> None:
        self._update = update
        self._host, self._port, self._token = host, port, token
        self._names, self._stale, self._tls = names, stale, tls
        self._states: dict[str, LiveState] = {}  # by camera
        self._info: RunInfo | None = None
        self._metrics: Metrics | None = None
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self.url = self.name = self._address(port)

    def _address(self, port: int) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http{'s' if self._tls else ''}://{host}:{port}"

    def open(self, info: RunInfo) -> None:
        """Listen and serve.

        Raises:
            UsageError: (exit 2) the port is in use or not allowed, the address is not this machine's, or others can
                reach it and there is no token.
        """
        uvicorn = require("uvicorn", "sinks", "`sinks=http://`")
        bound = self._listen()
        self.url = self.name = self._address(bound.getsockname()[1])
        self.page = self.url.replace("0.0.0.0", socket.gethostname()).replace("[::]", socket.gethostname())
        self._socket = bound
        self._states = {
            camera.name: LiveState(info.of_camera(camera), self._stale, camera.name)
            for camera in info.cameras
        } or {"": LiveState(info, self._stale)}
        self._info, self._metrics = info, Metrics(info)
        reload = Reload(self._update, self._token is not None)
        guard = Guard(
            make_app(self._states, info, self._metrics, lambda: self._server.should_exit, reload),
            self._token,
            [self._host, *filter(None, self._names)],
            cookie=f"tgkt_edge_{bound.getsockname()[1]}",
            secure=self._tls is not None,
            login=login_page(),
        )
        connections = Connections()
        config = uvicorn.Config(
            connections.watching(guard),
            http=connections.protocol(),
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,  # its lines would hold ?token=
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=1,
            ssl_certfile=self._tls[0] if self._tls else None,
            ssl_keyfile=self._tls[1] if self._tls else None,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [bound]}, name="live-page", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + 10
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        if not self._server.started:
            self.close()
            raise UsageError(f"`sinks={self.name}`: the server did not start")

    @property
    def wants_maps(self) -> bool:
        """Whether a viewer looks at evidence."""
        return any(state.wants_maps for state in self._states.values())

    def write(self, message: Message) -> None:
        """Remember one message for viewers."""
        assert self._metrics is not None
        assert self._info is not None
        if isinstance(message.record, UpdateEvent):
            for each in self._states.values():
                each.put(message)
            self._info = self._info.after(message.record)
            self._metrics.describe(self._info)
            return
        state = self._states.get(camera_of(message.record))
        self._metrics.count(message, 0 if state is None else state.put(message))

    def close(self) -> None:
        """End the streams and the server."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(1.5)
            self._server.force_exit = True
            self._thread.join(0.3)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _listen(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except (OSError, UnicodeError) as error:
            raise UsageError(f"`sinks={self.name}`: no such address: {reason_of(error)}") from error
        family, _, _, _, address = found[0]
        if self._token is None and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
            raise UsageError(
                f"`sinks={self.name}`: others can reach this address, so it needs `token` (treat it as a password). "
                f"Or use http://127.0.0.1:{self._port}, which only this machine reaches."
            )
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit both
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD)
                bound.setsockopt(
                    socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
                )  # also while there is nothing to send
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _UNHEARD // 1000)
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _UNHEARD // 2000)
            bound.bind(address)
            bound.listen(128)
        except OSError as error:
            bound.close()
            raise UsageError(f"`sinks={self.name}`: {_advice(error, self._port)}") from error
        return bound


def _advice(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program. Choose another, or 0 for any that is free."
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed to this user. Choose one from 1024 on."
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address. Choose one of its own, or 0.0.0.0 for all of them."
    return f"cannot listen there: {reason_of(error)}"
