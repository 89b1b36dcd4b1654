"""Signed bundles: an Ed25519 signature (RFC 8032) over the manifest's bytes, which name every file with its SHA-256.

The signatures lie in ``manifest.json.sig`` beside the manifest, one for each key that signed. A key is a PEM file as
OpenSSL writes it; lines before it may say when it expires. Keys never lie in a bundle, which would vouch for itself.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MANIFEST, SIGNATURE, Bundle
from tgkt_edge.errors import BundleError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.optional_deps import require

SCHEMA = 1
"""Version of manifest.json.sig."""

_CONTEXT = b"tgkt-edge bundle manifest, version 1\n"
"""What is signed begins with this, so that a signature of anything else that this key signed is none of a manifest."""

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
        UsageError: (exit 2) a file is there already, ``out`` lies in a bundle, or ``expires`` is no day to come.
        TgktEdgeError: (exit 1) it cannot be written.
        MissingDependency: (exit 6) cryptography is not installed.
    """
    ed25519, serialization = _ed25519(), _serialization()
    out = Path(out)
    last = None if expires is None else _day(expires, f"`expires={expires}`")
    if last is not None and last < datetime.datetime.now(datetime.timezone.utc).date():
        raise UsageError(f"`expires={expires}`: that day is over")
    public = out.with_name(f"{out.name}.pub")
    for path in (out, public):
        if path.exists():
            raise UsageError(f"{path} already exists, and a key is never replaced. Choose another `out`.")
    _refuse_inside(out)
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


def sign_bundle(bundle: Path | str, key: Path | str) -> str:
    """Sign a bundle, after checking every file of it. A signature of another key stays; one of this key is replaced.

    Args:
        bundle: folder written by ``export``. key: PEM file of an Ed25519 private key, outside of it.

    Returns:
        The key's id.

    Raises:
        BundleError: (exit 4) no bundle, a damaged one, or one that holds a private key.
        UsageError: (exit 2) no such key, one that expired, or that lies in a bundle.
        MissingDependency: (exit 6) cryptography is not installed.
    """
    private, expires = _read_private(Path(key))
    found = PublicKey(Path(key), _id_of(private.public_key()), expires, private.public_key())
    if found.expired:
        raise UsageError(f"`key={key}`: expired on {expires}. Make a new one: tgkt-edge bundle keygen")
    _refuse_inside(Path(key))
    opened = Bundle.open(Path(bundle))
    for name in opened.files:
        with opened.file(name).open("rb") as file:
            if _SECRET in file.read(_MOST):
                raise BundleError(
                    f"{opened.path / name} holds a private key. Whoever gets the bundle could sign others: remove the "
                    f"file, export again, and make a new key."
                )
    manifest = (opened.path / MANIFEST).read_bytes()
    _check_same(opened, manifest)
    signatures = {one: sig for one, sig in _read(opened.path).items() if one != found.id}
    signatures[found.id] = private.sign(_CONTEXT + manifest)
    write_text(opened.path / SIGNATURE, _text(signatures))
    return found.id


def verify_signature(bundle: Path | str, trust: Sequence[Path | str]) -> dict[str, Any]:
    """Check that a bundle is signed with one of the trusted keys, and every file of it.

    Args:
        trust: public keys, PEM files; at least one.

    Returns:
        ``{"bundle", "digest", "files", "keys": ids of the trusted keys that signed}``.

    Raises:
        BundleError: (exit 4) not signed, not with a trusted key, with one that expired, or anything was altered.
        UsageError: (exit 2) no key, or a file that is none.
        MissingDependency: (exit 6) cryptography is not installed.
    """
    if not trust:
        raise UsageError("`trust`: expected at least one public key")
    opened = Bundle.open(Path(bundle))
    ids = check_trusted(opened, read_trusted(trust))
    return {"bundle": str(bundle), "digest": opened.digest, "files": len(opened.files), "keys": ids}


def open_trusted(path: Path, trust: Sequence[Path | str] = ()) -> Bundle:
    """:meth:`Bundle.open`; with keys in ``trust``, only if one of them signed it and every file is as it was.

    Raises:
        BundleError, UsageError, MissingDependency: as :func:`verify_signature`.
    """
    keys = read_trusted(trust)
    opened = Bundle.open(path)
    if keys:
        check_trusted(opened, keys)
    return opened


def read_trusted(trust: Sequence[Path | str]) -> list[PublicKey]:
    """Public keys, PEM files. Raises UsageError (exit 2) for one that cannot be read, is private, or no Ed25519."""
    return [_read_public(Path(path)) for path in trust]


def check_trusted(bundle: Bundle, keys: Sequence[PublicKey]) -> list[str]:
    """Ids of the keys that signed ``bundle``, whose files are all checked. Raises BundleError as verify_signature."""
    path = bundle.path
    for key in keys:
        if path.resolve() in key.path.resolve().parents:
            raise UsageError(
                f"`trust={key.path}`: lies in the bundle, which would vouch for itself. Keep keys elsewhere."
            )
    try:
        manifest = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"{path / MANIFEST} cannot be read: {error.strerror or error}") from error
    _check_same(bundle, manifest)
    signatures = _read(path)
    known = ", ".join(map(str, keys))
    if not signatures:
        raise BundleError(
            f"{path} is not signed (no {SIGNATURE}); trusted is only what is signed with {known}. Sign it where its "
            f"private key is: tgkt-edge bundle sign BUNDLE --key KEY. A bundle that was changed after it was signed, "
            f"as by export or rebuild, is to be signed again."
        )
    trusted = [key for key in keys if key.id in signatures]
    if not trusted:
        ids = ", ".join(one[:12] for one in signatures)
        raise BundleError(f"{path} is signed with {ids}, none of the trusted keys: {known}.")
    for key in trusted:
        if not _is_valid(key, signatures[key.id], manifest):
            raise BundleError(
                f"{path / MANIFEST} is not what was signed with {key}: it or its signature was altered. Copy the "
                f"bundle again, or sign it again."
            )
    valid = [key for key in trusted if not key.expired]
    if not valid:
        ended = ", ".join(f"{key} expired on {key.expires}" for key in trusted)
        raise BundleError(
            f"{path} is signed with no key that is still trusted: {ended}. Sign it with a new one."
        )
    for name in bundle.files:
        bundle.file(name)
    return [key.id for key in valid]


def signed_with(path: Path) -> list[str]:
    """Ids of the keys of which a bundle folder holds signatures; nothing is verified. Raises BundleError: damaged."""
    return list(_read(path))


def _check_same(bundle: Bundle, manifest: bytes) -> None:
    """Raise BundleError unless these bytes are the manifest that was opened."""
    if hashlib.sha256(manifest).hexdigest() != bundle.opened_digest:
        raise BundleError(f"{bundle.path / MANIFEST} was changed while it was read. Try again.")


def _is_valid(key: PublicKey, signature: bytes, manifest: bytes) -> bool:
    invalid = require("cryptography.exceptions", "sign", "signing bundles").InvalidSignature
    try:
        key.key.verify(signature, _CONTEXT + manifest)
    except invalid:
        return False
    return True


def _text(signatures: dict[str, bytes]) -> str:
    """The file, in the one form in which it is read. Its own checksum tells damage to a signature that nobody here can
    check, since its key is not known."""
    entries = [
        {"key": one, "ed25519": base64.b64encode(signatures[one]).decode()} for one in sorted(signatures)
    ]
    checksum = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    return json.dumps({"schema": SCHEMA, "signatures": entries, "sha256": checksum}, indent=2) + "\n"


def _read(path: Path) -> dict[str, bytes]:
    """Signature by key id; empty: there is no file. Raises BundleError if it is not exactly as it was written."""
    file = path / SIGNATURE
    try:
        text = file.read_bytes()
        values = json.loads(text)
        found = {
            str(one["key"]): base64.b64decode(one["ed25519"], validate=True) for one in values["signatures"]
        }
        if _text(found).encode() != text:
            raise ValueError("not as it was written")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BundleError(f"{file} is damaged: {error}. Sign the bundle again.") from error
    return found


def _read_private(path: Path) -> tuple[Any, datetime.date | None]:
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
    return key, _expiry(data, path)


def _read_public(path: Path) -> PublicKey:
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


def _refuse_inside(key: Path) -> None:
    for folder in key.absolute().resolve().parents:
        if (folder / MANIFEST).is_file():
            raise UsageError(
                f"{key} lies in the bundle {folder}. Keep keys elsewhere: bundles are given away."
            )


def _id_of(public: Any) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:32]


def _ed25519() -> Any:
    return require("cryptography.hazmat.primitives.asymmetric.ed25519", "sign", "signing bundles")


def _serialization() -> Any:
    return require("cryptography.hazmat.primitives.serialization", "sign", "signing bundles")
