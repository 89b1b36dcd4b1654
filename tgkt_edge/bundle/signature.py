"""Signed bundles: an Ed25519 signature (RFC 8032) over the manifest's bytes, which name every file with its SHA-256.

The signatures lie in ``manifest.json.sig`` beside the manifest, one for each key that signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MANIFEST, SIGNATURE, Bundle
from tgkt_edge.bundle.keys import PublicKey, holds_private_key, read_private, read_public, refuse_inside
from tgkt_edge.errors import BundleError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.optional_deps import require

SCHEMA = 1
"""Version of manifest.json.sig."""

_CONTEXT = b"tgkt-edge bundle manifest, version 1\n"
"""What is signed begins with this, so that a signature of anything else that this key signed is none of a manifest."""


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
    private, found = read_private(Path(key))
    if found.expired:
        raise UsageError(f"`key={key}`: expired on {found.expires}. Make a new one: tgkt-edge bundle keygen")
    refuse_inside(Path(key))
    opened = Bundle.open(Path(bundle))
    _refuse_private_keys(opened)
    manifest = (opened.path / MANIFEST).read_bytes()
    _check_same(opened, manifest)
    signatures = {one: sig for one, sig in _read(opened.path).items() if one != found.id}
    signatures[found.id] = private.sign(_CONTEXT + manifest)
    write_text(opened.path / SIGNATURE, _text(signatures))
    return found.id


def _refuse_private_keys(bundle: Bundle) -> None:
    """Whatever lies in the folder goes onto devices with it, whether the manifest names it or not."""
    for path in sorted(bundle.path.rglob("*")):
        try:
            found = path.is_file() and holds_private_key(path)
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
        if found:
            made_of = path.relative_to(bundle.path).as_posix() in bundle.files
            raise BundleError(
                f"{path} holds a private key. Anyone who gets the bundle could sign others: "
                f"{'remove the file, export again' if made_of else 'move the file out of it'}, and if the bundle was "
                f"given to anyone, make a new key."
            )


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


def refuse_untrusted(path: Path, trust: Sequence[Path | str]) -> None:
    """Where there are keys in ``trust``, raise unless ``path`` is a bundle that one of them signed.

    Raises:
        UsageError: (exit 2) it is no bundle, as a run folder, which nobody signs. Else as :func:`open_trusted`.
    """
    if not trust:
        return
    if path.is_dir() and not (path / MANIFEST).is_file():
        keys = ", ".join(map(str, _listed(trust)))
        raise UsageError(
            f"`trust={keys}`: {path} is no bundle, and only bundles are signed. Leave `trust` out, or give the bundle "
            f"that was exported from it."
        )
    open_trusted(path, trust)


def read_trusted(trust: Sequence[Path | str] | Path | str) -> list[PublicKey]:
    """Public keys, PEM files; a single path is one.

    Raises:
        UsageError: (exit 2) one cannot be read, is private, or is no Ed25519 key.
    """
    return [read_public(Path(path)) for path in _listed(trust)]


def _listed(trust: Sequence[Path | str] | Path | str) -> Sequence[Path | str]:
    return [trust] if isinstance(trust, Path | str) else trust


def check_trusted(bundle: Bundle, keys: Sequence[PublicKey]) -> list[str]:
    """Ids of the keys that signed ``bundle``, whose files are all checked. Raises BundleError as verify_signature."""
    path = bundle.path
    for key in keys:
        if path.resolve() in key.path.resolve().parents:
            raise UsageError(
                f"`trust={key.path}`: lies in the bundle, and a bundle must not prove itself. Keep keys elsewhere."
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
            f"{path} is not signed (no {SIGNATURE}); only bundles signed with {known} are trusted. Sign it where its "
            f"private key is: tgkt-edge bundle sign BUNDLE --key KEY. A bundle that was changed after it was signed, "
            f"as by export or rebuild, must be signed again."
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
