"""Who may see the page: the right ``Host``, the right token; and the headers that keep a browser in bounds."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_PAUSE = 0.5  # seconds that a wrong token waits for its answer
_FORM = 4096  # bytes of the login form at most
_YEAR = 365 * 86400
_OF_CAMERA = re.compile(r"camera/[A-Za-z0-9_-]+/")  # the page of one of several cameras, from the first one


class Guard:
    """ASGI middleware around everything the server answers.

    - ``Host`` must be an IP address, ``localhost``, this machine's name or one of ``hosts``: a foreign name that was
      made to point here (DNS rebinding) is refused with 421.
    - With a token, every route wants it: ``Authorization: Bearer``, ``?token=``, or the cookie that the login form and
      ``/?token=`` set. All are compared in constant time. The cookie holds a hash, not the token.

    Behind a reverse proxy that serves the page below a path, nothing here names a path from the root: redirect, form
    and cookie (which has no ``Path``, so that the browser takes the folder of the login) are relative. The form of one
    of several cameras' pages logs in at the first page, for all of them, and leads back.

    Args:
        token: what viewers must present; None: nothing.
        hosts: further names that ``Host`` may have.
        cookie: the cookie's name; cookies are shared by all ports of a host, so it should name the port.
        secure: the server uses TLS.
        login: HTML of the login form, with its Content-Security-Policy.
    """

    def __init__(
        self,
        app: App,
        token: str | None,
        hosts: Iterable[str],
        cookie: str,
        secure: bool,
        login: tuple[str, str],
    ) -> None:
        self._app, self._cookie, self._secure, self._login = app, cookie, secure, login
        self._token = None if token is None else _digest(token)
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served here")

        async def guarded(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                event = {**event, "headers": [*event.get("headers", ()), *_HEADERS]}
            await send(event)

        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        if not self._known(headers.get("host", "")):
            await _answer(guarded, 421, _unknown(headers.get("host", "")))
        elif self._token is None or self._may(scope, headers):
            await self._let_in(scope, receive, guarded, self._is_secure(headers))
        elif scope["method"] == "POST" and scope["path"] == "/login":
            await self._try_login(scope, receive, guarded, self._is_secure(headers))
        else:
            await self._refuse(scope, headers, guarded)

    def _known(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return name.lower().removesuffix(".") in self._hosts
        return True

    def _may(self, scope: Scope, headers: dict[str, str]) -> bool:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        for pair in headers.get("cookie", "").split(";"):  # by hand: a foreign cookie must not spoil ours
            key, _, value = pair.strip().partition("=")
            if key == self._cookie and hmac.compare_digest(value.encode(), self._cookie_value().encode()):
                return True
        return self._in_query(scope)

    def _in_query(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        return any(self._is_token(token) for token in given)

    def _is_token(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(_digest(given), self._token)

    def _cookie_value(self) -> str:
        """Follows from the token alone, so that viewers stay logged in over a restart; does not reveal it."""
        assert self._token is not None
        return hmac.new(self._token, b"tgkt-edge live page", hashlib.sha256).hexdigest()

    def _is_secure(self, headers: dict[str, str]) -> bool:
        """Whether the viewer uses TLS, to us or to a proxy in front. The header is trusted: a false one only
        keeps a browser from sending the cookie."""
        forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
        return self._secure or forwarded == "https"

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, secure: bool) -> None:
        path = scope["path"]
        if self._token is not None and (path == "/login" or (path.endswith("/") and self._in_query(scope))):
            await self._welcome(
                send, secure, _next(scope)
            )  # a token in the address would stay in the history
            return
        await self._app(scope, receive, send)

    async def _welcome(self, send: Send, secure: bool, page: str) -> None:
        flags = f"HttpOnly; SameSite=Strict; Max-Age={_YEAR}" + ("; Secure" if secure else "")
        cookie = f"{self._cookie}={self._cookie_value()}; {flags}"
        await _answer(send, 303, "", [(b"location", f"./{page}".encode()), (b"set-cookie", cookie.encode())])

    async def _try_login(self, scope: Scope, receive: Receive, send: Send, secure: bool) -> None:
        body = b""
        while len(body) <= _FORM:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        given = parse_qs(body[: _FORM + 1].decode("utf-8", "replace")).get("token", [""])
        if len(body) <= _FORM and self._is_token(given[0].strip()):
            await self._welcome(send, secure, _next(scope))
            return
        await asyncio.sleep(_PAUSE)
        await self._form(send, "", _next(scope), wrong=True)

    async def _refuse(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        if "authorization" in headers or b"token=" in scope["query_string"]:
            await asyncio.sleep(_PAUSE)
        page = scope["path"].removeprefix("/")
        if scope["method"] in ("GET", "HEAD"):
            if _OF_CAMERA.fullmatch(page):
                await self._form(send, "../../", page, wrong=False)
                return
            if page in ("", "login"):  # the second: what a browser's address says after a wrong token
                await self._form(send, "", _next(scope), wrong=False)
                return
        text = "A token is needed: Authorization: Bearer TOKEN, or log in at the page."
        await _answer(send, 401, text, [(b"www-authenticate", b"Bearer")])

    async def _form(self, send: Send, first: str, page: str, *, wrong: bool) -> None:
        """The form: ``first`` leads from its own address to the first page; ``page`` is shown after it."""
        text, policy = self._login
        text = text.replace("{{hidden}}", "" if wrong else "hidden")
        text = text.replace("{{action}}", f"{first}login" + (f"?next={page}" if page else ""))
        headers = [(b"content-security-policy", policy.encode())]
        await _answer(send, 401, text, headers, b"text/html; charset=utf-8")


def _next(scope: Scope) -> str:
    """The camera's page that a login leads back to, as ``?next=`` names it; empty: the first page."""
    given = parse_qs(scope["query_string"].decode("latin-1")).get("next", [""])[0]
    return given if _OF_CAMERA.fullmatch(given) else ""


_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cache-control", b"no-store"),
]


def _unknown(host: str) -> str:
    """What to do about a ``Host`` that is refused."""
    name = re.sub(r":\d+$", "", host)
    shown = f"'{name}'" if re.fullmatch(r"[\w.-]{1,100}", name, re.ASCII) else "This name"
    return (
        f"{shown} is not known here. If it should be, add ?host=NAME to the sink's address, or let the proxy in front "
        f"send its own Host."
    )


def _digest(text: str) -> bytes:
    """Equal lengths for the comparison, whatever was given."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


async def _answer(
    send: Send,
    status: int,
    text: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    kind: bytes = b"text/plain; charset=utf-8",
) -> None:
    body = text.encode()
    length = str(len(body)).encode()
    start = [(b"content-type", kind), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
