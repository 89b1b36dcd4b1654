"""The URI of an MQTT broker, and TLS as it asks for."""

from __future__ import annotations

import hashlib
import socket
import ssl
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tgkt_edge.errors import UsageError
from tgkt_edge.io.addresses import MISPLACED_AT, ambiguous, redacted
from tgkt_edge.runtime.sinks.uri_options import Options

OPTIONS = ("ca", "cert", "key", "qos", "client_id", "buffer", "password_file")


@dataclass(frozen=True)
class Broker:
    """Where and how to connect. ``password`` is left out of the repr. Paths are those of PEM files.

    ``client_id``: None: :func:`device_client_id`.
    """

    host: str
    port: int
    topic: str
    tls: bool
    user: str | None
    password: str | None
    ca: str | None
    cert: str | None
    key: str | None
    qos: int
    client_id: str | None
    buffer: int

    def __repr__(self) -> str:
        return f"Broker({self.name})"

    @property
    def name(self) -> str:
        """The URI without user, password and options."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt{'s' if self.tls else ''}://{host}:{self.port}/{self.topic}"


def parse_broker(uri: str) -> Broker:
    """``mqtt[s]://[user[:password]@]host[:port]/topic?options``; user, password and topic percent-encoded.

    Raises:
        UsageError: a part is missing or wrong.
    """
    shown, tls = redacted(uri).partition("?")[0], uri.lower().startswith("mqtts:")
    if ambiguous(uri):
        raise UsageError(f"`sinks={shown}`: {MISPLACED_AT}.")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:  # UnicodeError is one. Its words may hold a part of a password
        raise UsageError(f"`sinks={shown}`: not a host and port: expected mqtt://host:1883/topic") from None
    options = Options(shown, parts.query, OPTIONS)
    topic = unquote(parts.path).strip("/")
    if not host or not topic or parts.fragment or port == 0:
        raise UsageError(f"`sinks={shown}`: expected mqtt://host/topic (a '#' or '?' in it percent-encoded)")
    if any(character in topic for character in "+#\0") or len(topic.encode()) > 65_000:
        raise UsageError(f"`sinks={shown}`: a topic to write to holds no '+', '#' or zero byte")
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password is not None else None
    file = options.text("password_file")
    if file is not None:
        if password is not None:
            raise UsageError(f"`sinks={shown}`: a password and password_file: give one of them")
        password = _read_password(shown, file)
    if password is not None and user is None:
        raise UsageError(f"`sinks={shown}`: a password needs a user: mqtt://user@host/topic")
    files = {key: options.text(key) for key in ("ca", "cert", "key")}
    if not tls and any(files.values()):
        given = next(key for key, value in files.items() if value)
        raise UsageError(f"`sinks={shown}`: '{given}' needs an encrypted connection: mqtts://")
    if files["key"] and not files["cert"]:
        raise UsageError(f"`sinks={shown}`: 'key' is the key of a certificate: give 'cert', too")
    return Broker(
        host=host,
        port=port or (8883 if tls else 1883),
        topic=topic,
        tls=tls,
        user=user,
        password=password,
        qos=options.whole("qos", 1, 0, 2),
        client_id=options.text("client_id"),
        buffer=options.whole("buffer", 10_000, 1, 10_000_000),
        **files,
    )


def device_client_id(topic: str, source: str) -> str:
    """A client ID that this machine, topic and source always have, and no other.

    After a power cut the broker takes the device for connected until its keep-alive has passed. A device that comes
    back with the same ID ends that old session at once; with another one, the old session's last will would put
    ``offline`` over the new ``online``. Cloned disks share machine ID and host name, but not the network card.
    """
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = ""
    identity = "\n".join((machine, socket.gethostname(), f"{uuid.getnode():x}", topic, source))
    return f"tgkt-edge-{socket.gethostname()[:40]}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def _read_password(shown: str, file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"`sinks={shown}`: password_file {file} cannot be read: {reason_of(error)}"
        ) from error


class _TidySocket(ssl.SSLSocket):
    """Closes itself when its handshake fails: the client library leaves such a socket to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, or raise as SSLSocket does and be closed."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def tls_context(broker: Broker) -> ssl.SSLContext:
    """TLS as the broker's options say: its certificate and host name are always checked.

    Raises:
        UsageError: (exit 2) a file is missing or unreadable, holds no certificate, or key and certificate differ.
    """
    try:
        context = ssl.create_default_context(cafile=broker.ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"`sinks={broker.name}`: ca={broker.ca} cannot be used: {reason_of(error)}. Expected a PEM file with the "
            f"certificate of the authority that signed the broker's."
        ) from error
    context.sslsocket_class = _TidySocket
    if broker.cert is not None:
        load_certificate(context, broker.name, broker.cert, broker.key)
    return context


def load_certificate(context: ssl.SSLContext, sink: str, cert: str, key: str | None) -> None:
    """Give ``context`` a certificate and its key, PEM files; no key: it lies in the certificate's file.

    Raises:
        UsageError: (exit 2) which file cannot be used, and why.
    """
    key = key or cert
    try:
        # An empty password: a locked key is an error here, not a question on the terminal.
        context.load_cert_chain(cert, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"`sinks={sink}`: {_trouble_with(cert, key, error)}. "
            f"Expected PEM files of a certificate and its unlocked key: ?cert=FILE&key=FILE."
        ) from error


def _trouble_with(cert: str, key: str, error: OSError) -> str:
    for option, file, kind in (("cert", cert, "CERTIFICATE"), ("key", key, "PRIVATE KEY")):
        try:
            text = Path(file).read_text(encoding="ascii", errors="replace")
        except OSError as unread:
            return f"{option}={file} cannot be read: {reason_of(unread)}"
        if f"{kind}-----" not in text:
            return f"{option}={file} holds no {kind.lower()}"
        if option == "key" and "ENCRYPTED" in text:
            return f"key={file} is locked with a password"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"key={key} is not the key of cert={cert}"
    return f"cert={cert} key={key} cannot be used: {reason_of(error)}"


def reason_of(error: BaseException | None) -> str:
    """Why a connection or a file failed, for people."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error)
