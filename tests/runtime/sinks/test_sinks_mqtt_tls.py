"""Decisions to a real Mosquitto over TLS: whom each side believes, and what is said when it does not."""

from __future__ import annotations

import gc
import shutil
import subprocess
import warnings
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.support.cli import run_cli, split_start
from tests.support.images import make_frames, save_frames
from tests.support.mqtt import Broker, Subscriber
from tests.support.sinks import decision, inside, opened, write
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError

pytestmark = pytest.mark.slow


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate of it for ``localhost``, one for a client, and another authority."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other"):
        openssl(
            folder,
            "req",
            "-x509",
            *key,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
            "-subj",
            f"/CN={name}",
        )
    for name, names in (("server", "DNS:localhost"), ("client", "DNS:cam")):
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        signed = [
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            f"{name}.ext",
        ]
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
    return folder


@pytest.fixture
def others_garbage() -> None:
    """Sockets that earlier tests left to the garbage collector are not this test's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("others_garbage")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # a socket left unclosed
def test_tls_with_an_own_authority_and_a_client_certificate(tmp_path: Path, certificates: Path) -> None:
    c = certificates
    lines = [
        f"cafile {c}/ca.crt",
        f"certfile {c}/server.crt",
        f"keyfile {c}/server.key",
        "allow_anonymous true",
    ]
    plain, strict = tmp_path / "plain", tmp_path / "strict"
    plain.mkdir()
    strict.mkdir()
    with Broker(plain, *lines) as broker, Subscriber(broker.port, ca=c / "ca.crt") as reader:
        with closing(opened(f"mqtts://localhost:{broker.port}/t?ca={c}/ca.crt")) as sink:
            sink.write(decision(5))
            wait_until(lambda: reader.frames() == [5], "the decision")
        for uri, reason in (
            (f"mqtts://localhost:{broker.port}/t?ca={c}/other.crt", "certificate is not accepted: "),
            (f"mqtts://localhost:{broker.port}/t", "Give its authority with ?ca=FILE"),
            (f"mqtts://127.0.0.1:{broker.port}/t?ca={c}/ca.crt", "not accepted: IP address mismatch"),
        ):
            with closing(opened(uri)) as sink:
                wait_until(partial(getattr, sink, "trouble"), "the refusal")
                assert reason in write(sink, decision(6))
        gc.collect()
        assert reader.frames() == [5]
    with Broker(strict, *lines, "require_certificate true") as broker:
        uri = f"mqtts://localhost:{broker.port}/t?ca={c}/ca.crt"
        with closing(opened(f"{uri}&cert={c}/client.crt&key={c}/client.key")) as sink:
            wait_until(lambda: inside(sink)._online, "the connection")
        with closing(opened(uri)) as sink:
            wait_until(lambda: inside(sink).trouble, "the refusal")
            assert "Does it want a certificate" in write(sink, decision(7))
            assert not inside(sink)._online


def test_a_run_of_which_nothing_is_delivered_says_why_and_exits_1(
    tmp_path: Path, certificates: Path, depth_bundle: Bundle
) -> None:
    c, log = certificates, tmp_path / "log.jsonl"
    lines = [
        f"cafile {c}/ca.crt",
        f"certfile {c}/server.crt",
        f"keyfile {c}/server.key",
        "allow_anonymous true",
    ]
    frames = save_frames(tmp_path / "f", make_frames(3))
    with Broker(tmp_path, *lines) as broker, Subscriber(broker.port, ca=c / "ca.crt") as reader:
        name = f"mqtts://localhost:{broker.port}/t"
        start = ("run", depth_bundle.path, "--camera", frames, "--sink", f"jsonl:{log}", "--sink")
        refused = run_cli(*start, f"{name}?ca={c}/other.crt")
        assert refused.code == 1
        assert refused.stderr.splitlines()[-1].startswith(
            f"error: {name}: not one message was delivered: the broker's certificate is not accepted: "
        )
        assert len(split_start(log.read_text())[1]) == 3  # the other sink has them all
        # Three frames take less time than connecting: they are waited for.
        accepted = run_cli(*start, f"{name}?ca={c}/ca.crt")
        assert accepted.code == 0, accepted.stderr
        wait_until(lambda: reader.frames() == [0, 1, 2], "all decisions")


@pytest.mark.parametrize(
    ("cert", "key", "words"),
    [
        ("none.crt", "client.key", "cert=.*/none.crt cannot be read: No such file"),
        ("client.crt", "none.key", "key=.*/none.key cannot be read: No such file"),
        ("client.key", "client.key", "cert=.*/client.key holds no certificate"),
        ("client.crt", "client.crt", "key=.*/client.crt holds no private key"),
        ("client.crt", "other.key", "key=.*/other.key is not the key of cert=.*/client.crt"),
        (
            "client.crt",
            "locked.key",
            "key=.*/locked.key is locked with a password",
        ),  # an error, not a question
        ("client.crt", "cut.key", "cert=.*/client.crt key=.*/cut.key cannot be used: "),
    ],
)
@pytest.mark.parametrize("uri", ["mqtts://host/t?", "https://127.0.0.1:0?"])
def test_a_bad_certificate_or_key_is_named(
    certificates: Path, uri: str, cert: str, key: str, words: str
) -> None:
    if not (certificates / "locked.key").exists():
        locked = ["pkey", "-in", "client.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"]
        openssl(certificates, *locked)
    whole = (certificates / "client.key").read_text()
    (certificates / "cut.key").write_text(whole.replace(whole.splitlines()[1], "AAAA"))
    with pytest.raises(
        UsageError, match=rf"{words}.*\. Expected PEM files of a certificate and its unlocked key"
    ) as caught:
        opened(f"{uri}cert={certificates}/{cert}&key={certificates}/{key}")
    assert caught.value.exit_code == 2
