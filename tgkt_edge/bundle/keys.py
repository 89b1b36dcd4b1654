"""Keys that sign bundles: Ed25519, PEM files as OpenSSL writes them; lines before the key may say when it expires.

Keys never lie in a bundle, which would vouch for itself.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MANIFEST
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.optional_deps import require

_EXPIRES = "expires: "
_MOST = 1 << 16  # bytes of a key file
_SECRET = b"PRIVATE KEY-----"


@dataclass(frozen=True)
class PublicKey:
    """A key whose signatures are trusted.

    Attributes:
        path: its file. id: first 32 hexadecimal digits of the SHA-256 of its 32 bytes.
        expires: the last day on which it is trusted; None: no end. key: ``cryptography``'s object.
    """

    path: Path
    id: str
    expires: datetime.date | None
    key: Any

    @property
    def expired(self) -> bool:
        """Whether its last day is over, by this machine's clock (UTC)."""
        return self.expires is not None and datetime.datetime.now(datetime.timezone.utc).date() > self.expires

    def __str__(self) -> str:
        return f"{self.path} ({self.id[:12]})"


def generate_key(out: Path | str, *, expires: str | None = None) -> str:
    """Write a new private key to ``out`` (only this user may read it) and its public key to ``out`` + ``.pub``.

    Args:
        expires: last day on which bundles signed with it are taken, ``2027-12-31``; None: no end.

    Returns:
        The key's id.

    Raises:
        UsageError: (exit 2) a file is there already, ``out`` lies in a bundle, or ``expires`` is in the past.
        TgktEdgeError: (exit 1) it cannot be written.
        MissingDependency: (exit 6) cryptography is not installed.
    """
    ed25519, serialization = _ed25519(), _serialization()
    out = Path(out)
    last = None if expires is None else _day(expires, f"`expires={expires}`")
    if last is not None and last < datetime.datetime.now(datetime.timezone.utc).date():
        raise UsageError(f"`expires={expires}`: that day is in the past")
    public = out.with_name(f"{out.name}.pub")
    for path in (out, public):
        if path.exists():
            raise UsageError(f"{path} already exists, and a key is never replaced. Choose another `out`.")
    refuse_inside(out)
    key = ed25519.Ed25519PrivateKey.generate()
    found = PublicKey(public, _id_of(key.public_key()), last, key.public_key())
    head = f"tgkt-edge key {found.id}\n" + (f"{_EXPIRES}{last}\n" if last else "")
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(head.encode() + secret)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise TgktEdgeError(f"cannot write {out}: {error.strerror or error}") from error
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_text(public, head + pem.decode())
    return found.id


def read_private(path: Path) -> tuple[Any, PublicKey]:
    """A private key, a PEM file, and what belongs to it. Raises UsageError (exit 2) for one that cannot be read, has a
    passphrase, is public, or no Ed25519."""
    kind = _ed25519().Ed25519PrivateKey
    data = _key_file(path, "key")
    if _SECRET not in data:
        raise UsageError(f"`key={path}`: no private key (a .pub file is for `trust`)")
    if b"ENCRYPTED" in data:
        raise UsageError(f"`key={path}`: has a passphrase. Decrypt it first: openssl pkey -in KEY -out PLAIN")
    try:
        key = _serialization().load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise UsageError(f"`key={path}`: no PEM file of a private key: {error}") from error
    if not isinstance(key, kind):
        raise UsageError(f"`key={path}`: a key of another kind; expected Ed25519: tgkt-edge bundle keygen")
    return key, PublicKey(path, _id_of(key.public_key()), _expiry(data, path), key.public_key())


def read_public(path: Path) -> PublicKey:
    """A public key, a PEM file. Raises UsageError (exit 2) for one that cannot be read, is private, or no Ed25519."""
    kind = _ed25519().Ed25519PublicKey
    data = _key_file(path, "trust")
    if _SECRET in data:
        raise UsageError(f"`trust={path}`: a private key. Keep it off devices; they need its .pub file")
    try:
        key = _serialization().load_pem_public_key(data)
    except ValueError as error:
        raise UsageError(f"`trust={path}`: no PEM file of a public key: {error}") from error
    if not isinstance(key, kind):
        raise UsageError(f"`trust={path}`: a key of another kind; expected Ed25519: tgkt-edge bundle keygen")
    return PublicKey(path, _id_of(key), _expiry(data, path), key)


def holds_private_key(path: Path) -> bool:
    """Whether the first 64 KiB of a file hold a private key, in any PEM form. Raises OSError."""
    with path.open("rb") as file:
        return _SECRET in file.read(_MOST)


def _key_file(path: Path, argument: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as error:
        raise UsageError(f"`{argument}={path}`: cannot be read: {error.strerror or error}") from error


def _expiry(data: bytes, path: Path) -> datetime.date | None:
    """The last day, from the lines before the key. Raises UsageError for a line that names none."""
    for line in data.partition(b"-----BEGIN")[0].decode("utf-8", "replace").splitlines():
        if line.startswith(_EXPIRES):
            return _day(line[len(_EXPIRES) :].strip(), f"{path}: '{line}'")
    return None


def _day(text: str, what: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{what}: expected a day as 2027-12-31") from None


def refuse_inside(key: Path) -> None:
    """Raise UsageError (exit 2) for the path of a key that lies in a bundle."""
    for folder in key.absolute().resolve().parents:
        if (folder / MANIFEST).is_file():
            raise UsageError(
                f"{key} lies in the bundle {folder}. Keep keys elsewhere: bundles are passed on."
            )


def _id_of(public: Any) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]


def _ed25519() -> Any:
    return require("cryptography.hazmat.primitives.asymmetric.ed25519", "sign", "signing bundles")


def _serialization() -> Any:
    return require("cryptography.hazmat.primitives.serialization", "sign", "signing bundles")
