"""The live page behind nginx, below a path, with TLS: in a real browser, by the block that the documentation shows."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import REPOSITORY
from tests.support.live import Live, Tab

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
Proxy = Callable[..., str]


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _certificate(folder: Path) -> str:
    """nginx's lines for TLS with a certificate of ``localhost`` that nobody signed."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return f"ssl_certificate {cert}; ssl_certificate_key {key};"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Starts an nginx; ``ports`` of live pages by their path. Returns its address."""
    if not Path(NGINX).exists():
        pytest.skip("nginx is not installed")
    block = (REPOSITORY / "runtime/deploy/nginx-location.conf").read_text()
    with ExitStack() as stack:

        def start(ports: dict[str, int], *, tls: bool, lines: str = "") -> str:
            folder, port = tmp_path / f"nginx-{tls}", _free_port()
            folder.mkdir()
            pattern = r"(?m)^( *proxy_pass http://127\.0\.0\.1:)8080/"
            blocks = [
                re.sub(pattern, rf"{lines}\g<1>{one}/", block.replace("/edge/", path))
                for path, one in ports.items()
            ]
            places = " ".join(
                f"{kind}_temp_path {folder}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            config = folder / "nginx.conf"
            config.write_text(
                f"daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
                f"{'user root;' if os.geteuid() == 0 else ''}\n"
                f"events {{}} http {{ access_log off; {places} server {{\n"
                f"listen 127.0.0.1:{port}{' ssl' if tls else ''}; {_certificate(folder) if tls else ''}\n"
                + "\n".join(blocks) + "}}\n"
            )  # fmt: skip
            process = stack.enter_context(
                subprocess.Popen([NGINX, "-c", str(config)], stderr=subprocess.PIPE)
            )
            stack.callback(process.terminate)
            end = time.monotonic() + 20
            while not _answers(port):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.05)
            return f"http{'s' if tls else ''}://localhost:{port}"

        yield start


def _log_in(tab: Tab, token: str) -> None:
    tab.page.fill("#token", token)
    tab.page.click("button")


@pytest.mark.slow
@pytest.mark.parametrize("tls", [True, False])
def test_log_in_and_watch_below_a_path(proxy: Proxy, locked: Live, browser: Any, tls: bool) -> None:
    address = proxy({"/edge/": locked.port}, tls=tls)
    locked.write(Live.ramp(0))
    with closing(Tab(browser, f"{address}/edge/", ignore_https_errors=True)) as tab:
        _log_in(tab, "wrong wrong wrong")
        tab.page.wait_for_selector(".wrong:not([hidden])")
        assert tab.page.url == f"{address}/edge/login"
        _log_in(tab, Live.TOKEN)
        tab.page.wait_for_selector("#label")
        assert tab.page.url == f"{address}/edge/"
        tab.wait("document.getElementById('label').textContent === 'bedroom'")
        tab.wait("document.getElementById('empty').hidden")  # the picture came, too
        locked.write(Live.ramp(1, "kitchen"))
        tab.wait("document.getElementById('label').textContent === 'kitchen'")  # by the stream
        for link in tab.page.locator(".links a").all():
            answer = tab.context.request.get(f"{address}/edge/{link.get_attribute('href')}")
            assert answer.status == 200
        (cookie,) = tab.context.cookies()
        assert (cookie["path"], cookie["secure"], cookie["httpOnly"]) == ("/edge", tls, True)
        assert all(url.startswith((f"{address}/edge/", "data:")) for url in tab.asked), tab.asked
    with closing(Tab(browser, f"{address}/edge/?token={Live.TOKEN}", ignore_https_errors=True)) as tab:
        tab.page.wait_for_selector("#label")
        assert tab.page.url == f"{address}/edge/"  # the address bar does not keep the token


@pytest.mark.slow
def test_a_camera_s_page_below_a_path_asks_for_the_token_and_comes_back(proxy: Proxy, browser: Any) -> None:
    with closing(Live(token=Live.TOKEN, cameras=("door", "hall"))) as locked:
        locked.write(Live.decision(0, camera="door"))
        page = f"{proxy({'/edge/': locked.port}, tls=False)}/edge/camera/door/"
        with closing(Tab(browser, page)) as tab:
            _log_in(tab, "wrong wrong wrong")
            tab.page.wait_for_selector(".wrong:not([hidden])")
            _log_in(tab, Live.TOKEN)
            tab.wait("document.getElementById('label').textContent === 'bedroom'")
            assert tab.page.url == page
            tab.page.locator("#wall").click()  # all cameras, without another login
            tab.page.wait_for_selector("text=hall")
            assert tab.page.locator("#token").count() == 0


@pytest.mark.slow
def test_two_devices_below_one_host_do_not_log_each_other_out(proxy: Proxy, browser: Any) -> None:
    tokens = {"/hall/": "correct-horse-hall", "/yard/": "correct-horse-yard"}
    with ExitStack() as stack:
        live = {path: stack.enter_context(closing(Live(token=token))) for path, token in tokens.items()}
        address = proxy({path: one.port for path, one in live.items()}, tls=False)
        tab = stack.enter_context(closing(Tab(browser, f"{address}/hall/")))
        for path, token in tokens.items():
            tab.page.goto(f"{address}{path}")
            _log_in(tab, token)
            tab.page.wait_for_selector("#label")
        for path in tokens:
            assert tab.context.request.get(f"{address}{path}api/latest").status == 200


@pytest.mark.slow
def test_a_proxy_that_passes_the_viewers_host_on_needs_its_name(proxy: Proxy) -> None:
    with closing(Live("http://127.0.0.1:0?host=camera.example")) as live:
        address = proxy({"/edge/": live.port}, tls=False, lines="proxy_set_header Host $http_host;")
        port = int(address.rpartition(":")[2])
        answers = {}
        for name in ("camera.example", "other.example:443", "a_b"):
            live.port = port
            answers[name] = live.ask("/edge/api/info", Host=name)
    assert [code for code, _, _ in answers.values()] == [200, 421, 421]
    assert answers["other.example:443"][2].startswith(
        b"'other.example' is not known here. If it should be, add ?host="
    )


def test_a_name_is_repeated_only_where_it_is_one(live: Live) -> None:
    for host in ("<script>", "a b", "x" * 200):
        code, _, body = live.ask("/", Host=host)
        assert code == 421
        assert body.startswith(b"This name is not known here.")


@pytest.mark.parametrize(
    ("word", "secure"),
    [("https", True), ("HTTPS, http", True), ("http", False), ("http, https", False), ("", False)],
)
def test_the_cookie_is_secure_where_a_proxy_says_that_viewers_speak_tls(
    locked: Live, word: str, secure: bool
) -> None:
    headers = locked.ask(f"/?token={Live.TOKEN}", X_Forwarded_Proto=word)[1]
    assert ("; Secure" in headers["set-cookie"]) == secure
    assert "Path" not in headers["set-cookie"]
    assert headers["location"] == "./"
