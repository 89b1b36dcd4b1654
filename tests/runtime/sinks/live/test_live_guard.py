"""Whom the live page's server lets in, where it listens, and what it tells a browser to refuse."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.bundles import save_bundle
from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tests.support.live import Live
from tgkt_edge.errors import MissingDependency, UsageError
from tgkt_edge.runtime.sinks import open_sink


@pytest.mark.parametrize(
    "path", ["/", "/api/latest", "/api/frame", "/api/events", "/healthz", "/metrics", "/nothing"]
)
def test_without_the_token_every_route_is_refused(locked: Live, path: str) -> None:
    locked.write(Live.decision(0))
    code, _, body = locked.ask(path)
    assert code == 401
    assert b"bedroom" not in body
    assert (b"<form" in body) == (path == "/")


@pytest.mark.slow
def test_the_token_is_taken_as_bearer_in_the_query_and_by_the_form(locked: Live) -> None:
    locked.write(Live.decision(0))
    assert (
        locked.ask_json("/api/latest", Authorization=f"Bearer {Live.TOKEN}")["latest"]["label"] == "bedroom"
    )
    assert locked.ask(f"/metrics?token={Live.TOKEN}")[0] == 200
    assert locked.ask("/api/latest", Authorization="Bearer wrong")[0] == 401
    assert locked.ask("/api/latest?token=")[0] == 401
    assert locked.ask("/api/latest?token=%ff%00")[0] == 401
    assert locked.ask("/api/latest", Cookie="tgkt_edge=x; a=b; ;;=")[0] == 401

    form = {"Content_Type": "application/x-www-form-urlencoded"}
    code, headers, body = locked.ask("/login", "POST", urlencode({"token": "wrong wrong wrong"}), **form)
    assert code == 401
    assert "set-cookie" not in headers
    assert b'role="alert" >That is not the token' in body
    assert locked.ask("/login", "POST", "token=" + "x" * 100_000, **form)[0] == 401
    code, headers, _ = locked.ask("/login", "POST", urlencode({"token": Live.TOKEN}), **form)
    assert (code, headers["location"]) == (303, "./")
    for word in ("HttpOnly", "SameSite=Strict"):
        assert word in headers["set-cookie"]
    assert Live.TOKEN not in headers["set-cookie"]
    cookie = headers["set-cookie"].partition(";")[0]
    assert locked.ask_json("/api/latest", Cookie=f"other=1; {cookie}")["latest"]["frame"] == 0
    code, headers, _ = locked.ask(f"/?token={Live.TOKEN}")  # the address bar does not keep it
    assert (code, headers["location"]) == (303, "./")
    assert headers["set-cookie"].startswith(cookie)


def test_a_foreign_name_that_points_here_is_refused(live: Live) -> None:
    assert live.ask("/api/latest", Host="evil.example")[0] == 421
    for host in ("localhost", f"127.0.0.1:{live.port}", "[::1]:80", "10.1.2.3", socket.gethostname()):
        assert live.ask("/api/latest", Host=host)[0] == 200
    with closing(Live("http://127.0.0.1:0?host=camera.example,b.example")) as named:
        assert named.ask("/api/latest", Host="camera.example:8080")[0] == 200


def test_headers_keep_a_browser_in_bounds(locked: Live, live: Live) -> None:
    for one, path in ((locked, "/"), (live, "/"), (live, "/api/latest"), (live, "/nothing")):
        headers = one.ask(path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
    for one in (locked, live):
        _, headers, body = one.ask("/")
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"https://" not in body


def test_a_port_in_use_and_addresses_without_a_token_exit_2(live: Live) -> None:
    with pytest.raises(UsageError, match=r"port \d+ is in use by another program. Choose another, or 0"):
        Live(live.url)
    for host in ("0.0.0.0", "[::]"):
        with pytest.raises(UsageError, match=r"others can reach this address, so it needs `token`"):
            Live(f"http://{host}:0")
    with pytest.raises(UsageError, match="this machine has no such address"):
        Live("http://192.0.2.1:0", token=Live.TOKEN)
    with pytest.raises(UsageError, match="no such address"):
        Live("http://no-such-host.invalid:0")
    with closing(Live("http://0.0.0.0:0", token=Live.TOKEN)) as public:
        assert public.ask("/metrics", Authorization=f"Bearer {Live.TOKEN}")[0] == 200


@pytest.mark.parametrize(
    ("uri", "token", "words"),
    [
        ("http://127.0.0.1", None, "expected http://HOST:PORT"),
        ("http://:80", None, "expected http://HOST:PORT"),
        ("http://127.0.0.1:99999", None, "expected http://HOST:PORT"),
        ("http://127.0.0.1:80/path", None, "expected http://HOST:PORT"),
        ("http://u:hunter2@127.0.0.1:80", None, r"\*\*\*@127.0.0.1:80`: expected http://HOST:PORT"),
        ("http://127.0.0.1:80?stael=3", None, "Did you mean 'stale'"),
        ("http://127.0.0.1:80?stale=-1", None, "stale=-1"),
        ("http://127.0.0.1:80", "hunter2", "`token`: 7 characters: expected at least 12"),
        ("https://127.0.0.1:80", None, r"https needs a certificate: \?cert=FILE&key=FILE"),
        ("https://127.0.0.1:80?cert=/no/file", None, "cert=/no/file cannot be read: No such file"),
    ],
)
def test_bad_uris_exit_2_and_show_no_secret(uri: str, token: str | None, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        open_sink(uri, token=token)
    assert "hunter2" not in str(caught.value)


@pytest.mark.slow
def test_https_with_an_own_certificate(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    try:
        subprocess.run([*command, "-keyout", key, "-out", cert, *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with closing(Live(f"https://127.0.0.1:0?cert={cert}&key={key}", token=Live.TOKEN)) as live:
        assert live.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection("localhost", live.port, timeout=30, context=context)
        with closing(connection):
            connection.request("GET", f"/?token={Live.TOKEN}")
            answer = connection.getresponse()
            assert answer.status == 303
            assert "; Secure" in str(answer.getheader("set-cookie"))


@pytest.mark.parametrize("module", ["uvicorn", "starlette", "prometheus_client"])
def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependency, match=r"pip install .*\[sinks\]'"):
        open_sink("http://127.0.0.1:0")


@pytest.mark.slow
def test_the_address_of_the_page_is_printed_as_it_is(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle").path
    frames = save_frames(tmp_path / "frames", make_frames(3))
    done = run_cli("run", bundle, "--camera", frames, "--sink", "http://127.0.0.1:0")
    assert done.code == 0, done.stderr
    (page,) = [line for line in done.stderr.splitlines() if line.startswith("page: ")]
    assert re.fullmatch(r"page: http://127\.0\.0\.1:[1-9]\d{3,4}", page)
    done = run_cli(
        "run", bundle, "--camera", frames, "--sink", "http://0.0.0.0:0", "--token", "correct-horse-battery"
    )
    assert f"page: http://{socket.gethostname()}:" in done.stderr
