"""Keys of signed bundles: several, expired ones, damaged ones, and where they must not lie."""

from __future__ import annotations

import datetime
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

import tgkt_edge
from tests.support.signing import pub, refused
from tgkt_edge.bundle.bundle import MANIFEST, SIGNATURE, Bundle
from tgkt_edge.bundle.signature import open_trusted, signed_with
from tgkt_edge.errors import BundleError, UsageError

pytest.importorskip("cryptography")


def test_keys_rotate(bundle: Bundle, keys: tuple[Path, Path]) -> None:
    """Signed with both, devices that know either take it; then the old one is left out."""
    old, new = keys
    first = tgkt_edge.sign_bundle(bundle.path, old)
    text = refused(bundle.path, pub(new))
    assert first[:12] in text
    assert f"none of the trusted keys: {pub(new)}" in text
    second = tgkt_edge.sign_bundle(bundle.path, new)
    assert set(signed_with(bundle.path)) == {first, second}
    for trust in ((old,), (new,), (old, new)):
        open_trusted(bundle.path, [pub(key) for key in trust])
    assert tgkt_edge.verify_signature(bundle.path, [pub(old), pub(new)])["keys"] == [first, second]
    before = (bundle.path / SIGNATURE).read_bytes()
    tgkt_edge.sign_bundle(bundle.path, new)
    assert (bundle.path / SIGNATURE).read_bytes() == before


def test_an_expired_key_is_named(
    tmp_path: Path, bundle: Bundle, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    today = datetime.datetime.now(datetime.timezone.utc).date()
    key = tmp_path / "short"
    tgkt_edge.generate_key(key, expires=str(today))
    tgkt_edge.sign_bundle(bundle.path, key)
    open_trusted(bundle.path, (pub(key),))
    yesterday = today - datetime.timedelta(days=1)
    for file in (key, pub(key)):
        file.write_text(file.read_text().replace(f"expires: {today}", f"expires: {yesterday}"))
    assert f"expired on {yesterday}" in refused(bundle.path, pub(key))
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    open_trusted(bundle.path, (pub(key), pub(keys[0])))  # one that is trusted is enough
    with pytest.raises(UsageError, match=f"expired on {yesterday}"):
        tgkt_edge.sign_bundle(bundle.path, key)
    with pytest.raises(UsageError, match="that day is in the past"):
        tgkt_edge.generate_key(tmp_path / "late", expires=str(yesterday))
    with pytest.raises(UsageError, match="expected a day as 2027-12-31"):
        tgkt_edge.generate_key(tmp_path / "late", expires="next year")


def test_keys_are_those_of_openssl(tmp_path: Path, bundle: Bundle, keys: tuple[Path, Path]) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    assert stat.S_IMODE(keys[0].stat().st_mode) == 0o600
    shown = subprocess.run(
        [openssl, "pkey", "-in", keys[0], "-noout", "-text"], capture_output=True, check=True
    )
    assert b"ED25519" in shown.stdout.upper()
    theirs = tmp_path / "theirs"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", theirs], check=True)
    subprocess.run([openssl, "pkey", "-in", theirs, "-pubout", "-out", pub(theirs)], check=True)
    tgkt_edge.sign_bundle(bundle.path, theirs)
    open_trusted(bundle.path, (pub(theirs),))


def test_keys_that_are_refused(tmp_path: Path, bundle: Bundle, keys: tuple[Path, Path]) -> None:
    def unsigned(key: Path) -> str:
        with pytest.raises(UsageError) as caught:
            tgkt_edge.sign_bundle(bundle.path, key)
        return str(caught.value)

    assert "cannot be read: No such file" in unsigned(tmp_path / "none")
    assert "no private key" in unsigned(pub(keys[0]))
    assert "a private key. Keep it off devices" in refused(bundle.path, keys[0])
    assert "no PEM file of a public key" in refused(bundle.path, bundle.path / MANIFEST)
    assert "cannot be read" in refused(bundle.path, tmp_path / "none.pub")
    openssl = shutil.which("openssl")
    if openssl is not None:
        rsa = tmp_path / "rsa"
        subprocess.run([openssl, "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
        subprocess.run([openssl, "pkey", "-in", rsa, "-pubout", "-out", pub(rsa)], check=True)
        assert "a key of another kind" in unsigned(rsa)
        assert "a key of another kind" in refused(bundle.path, pub(rsa))
    for again in (keys[0], keys[0].with_suffix("")):
        with pytest.raises(UsageError, match="already exists, and a key is never replaced"):
            tgkt_edge.generate_key(again)
    with pytest.raises(UsageError, match="at least one public key"):
        tgkt_edge.verify_signature(bundle.path, [])


def test_one_key_may_be_given_as_it_is(bundle: Bundle, keys: tuple[Path, Path]) -> None:
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    for trust in (pub(keys[0]), str(pub(keys[0]))):
        assert len(tgkt_edge.verify_signature(bundle.path, trust)["keys"]) == 1  # type: ignore[arg-type]


def test_a_key_never_lies_in_a_bundle(tmp_path: Path, bundle: Bundle, keys: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="lies in the bundle"):
        tgkt_edge.generate_key(bundle.path / "engines" / "key")
    assert not list(bundle.path.rglob("key*"))
    inside = bundle.path / "one"
    shutil.copy(keys[0], inside)
    with pytest.raises(UsageError, match="lies in the bundle"):
        tgkt_edge.sign_bundle(bundle.path, inside)
    with pytest.raises(BundleError, match=r"one holds a private key.* move the file out of it"):
        tgkt_edge.sign_bundle(
            bundle.path, keys[1]
        )  # the manifest does not name it, but it goes where the folder goes
    bundle.write()  # names it
    with pytest.raises(BundleError, match=r"one holds a private key.* remove the file, export again"):
        tgkt_edge.sign_bundle(bundle.path, keys[1])
    inside.unlink()
    bundle.write()
    tgkt_edge.sign_bundle(bundle.path, keys[0])
    shutil.copy(pub(keys[0]), bundle.path / "one.pub")
    assert "a bundle must not prove itself" in refused(bundle.path, bundle.path / "one.pub")
