"""A camera's password, wherever its address holds it, is in nothing that a run or recording writes, sends or serves."""

from __future__ import annotations

import http.client
import http.server
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.bundles import save_bundle
from tests.support.cli import cli_command, cli_environment, run_cli
from tests.support.http_camera import http_camera, jpeg, part
from tests.support.images import make_frames
from tests.support.mqtt import Broker, Subscriber
from tests.support.waiting import wait_until
from tgkt_edge.sensor import PRESETS

pytestmark = pytest.mark.slow

SECRET = "HUNTER2"
EVERYWHERE = (
    "http://admin:{0}@127.0.0.1:{1}/user=admin_password={0}_channel=1/video.mjpg?loginuse=a&loginpas={0}"
)
# Of a camera that is not there; {port}: one that answers something, but no video.
UNUSABLE = [
    "rtsp://127.0.0.1:9/user=admin_password=HUNTER2_channel=1_stream=0.sdp",
    "http://127.0.0.1:9/videostream.cgi?loginuse=admin&loginpas=HUNTER2",
    "rtsp://admin:HUN/TER2@127.0.0.1:9/HUNTER2",
    "rtsp://admin:HUNTER2/1@127.0.0.1:9/x",
    "rtsp://admin:1234/HUNTER2@127.0.0.1:9/x",
    "rtsp://admin:HUNTER2@no-such-host.invalid/HUNTER2",
    "rtsp://admin:HUNTER2@[::1]:9/HUNTER2",
    "rtsp://[HUNTER2]/x",
    "rtsp://admin:HUNTER2:9/x",
    "http://admin:HUNTER2@127.0.0.1:{port}/playlist.m3u8?token=HUNTER2",
    "http://127.0.0.1:{port}/HUNTER2",
    "rtsp://127.0.0.1:{port}/HUNTER2",
    "https://admin:HUNTER2@127.0.0.1:{port}/HUNTER2",
    "rtps://admin:HUNTER2@h/x",
    "rtsp:/h/HUNTER2",
    "admin:HUNTER2@127.0.0.1/live",
    "v4l2://admin:HUNTER2@h",
    "gst:rtspsrc location=rtsp://me:HUNTER2@127.0.0.1:9/x user-pw=HUNTER2 ! decodebin ! appsink",
    "gst:rtspsrc user-pw=HUN HUNTER2 ! appsink",
    *(
        f"{kind}://admin:HUNTER2@h"
        for kind in ("realsense", "obsensor", "depthai", "orbbec", "csi", "replay", "rtp")
    ),
]
TRY = """
import json, sys
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.sources import open_colour, open_source
from tgkt_edge.sensor import PRESETS
ways = (lambda: open_source(uri, PRESETS["nir8"]), lambda: open_colour(uri),
        lambda: open_source(uri, PRESETS["nir8"], loop=True), lambda: open_source(uri, PRESETS["depth"]))
for uri in json.loads(sys.argv[1]):
    for opener in [ways[int(digit)] for digit in sys.argv[2]]:
        try:
            opener().close()
        except TgktEdgeError as error:
            print(type(error).__name__, error)
"""


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nseg.ts?token=HUNTER2\n"
"""What a server answers that is no camera: a list of addresses, with the secret in one."""


def port_of(uri: str) -> int:
    port = urlsplit(uri).port
    assert port is not None
    return port


@pytest.fixture
def camera() -> Iterator[str]:
    """The address of a camera that works and has the secret in every place."""
    frames = [part(jpeg(frame)) for frame in make_frames(4, "uint8")]
    with http_camera(itertools.chain.from_iterable(itertools.repeat(frames))) as uri:
        yield EVERYWHERE.format(SECRET, port_of(uri))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(save_bundle(tmp_path / "bundle", PRESETS["nir8"]).path)


def tried(uris: list[str], ways: str, code: str = TRY) -> subprocess.CompletedProcess[str]:
    """What trying to open each address prints, of Python and of OpenCV, FFmpeg and GStreamer themselves."""
    return subprocess.run(
        [sys.executable, "-c", code, json.dumps(uris), ways], capture_output=True, text=True, timeout=300,
        env=cli_environment(), check=False,
    )  # fmt: skip


def test_no_message_shows_it() -> None:
    with http_camera([PLAYLIST], "application/vnd.apple.mpegurl") as server:
        uris = [uri.format(port=port_of(server)) for uri in UNUSABLE]
        patient = [uri for uri in uris if uri.startswith(("http://", "depthai"))]  # ten seconds each
        quick = [uri for uri in uris if uri not in patient]
        parts = [([uri], ways) for uri in patient for ways in ("02", "13")]
        parts += [(quick[place::2], ways) for place in range(2) for ways in ("01", "23")]
        with ThreadPoolExecutor(len(parts)) as pool:  # nearly all is waiting for answers that do not come
            found = [*pool.map(lambda part: tried(*part), parts)]
    for done in found:
        assert done.returncode == 0, done.stderr
    printed = [line for done in found for line in done.stdout.splitlines()]
    assert len(printed) == 4 * len(uris)
    assert not [line for line in printed if SECRET in line]
    assert not [line for done in found for line in done.stderr.splitlines() if SECRET in line]
    text = "\n".join(printed)
    assert "nothing answers at 127.0.0.1, port 9" in text
    assert "rtsp://***`: an '@' behind the host. In a password write / ? # @ as %2F %3F %23 %40" in text


def test_nothing_is_printed_of_it_where_ffmpeg_is_not_heard() -> None:
    """As with musl, whose C library lets nobody listen."""
    deaf = "import platform\nplatform.libc_ver = lambda *_: ('', '')\n"
    with http_camera([PLAYLIST], "application/vnd.apple.mpegurl") as server:
        uri = f"http://admin:{SECRET}@127.0.0.1:{port_of(server)}/playlist.m3u8?token={SECRET}"
        done = tried([uri], "03", deaf + TRY)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert "SourceLostError" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_no_output_of_a_run_holds_it(bundle: Path, camera: str, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as log:
        process = subprocess.Popen(
        cli_command(
            "--debug", "run", bundle, "--camera", camera, "--sink", f"http://127.0.0.1:{port}", "--sink",
            f"jsonl:{tmp_path}/answers.jsonl", "--sink", "jsonl:-",
        ),
        stdout=out, stderr=log, env=cli_environment(),
    )  # fmt: skip
    served = {}
    try:
        wait_until(
            lambda: (tmp_path / "answers.jsonl").exists() and _size(tmp_path / "answers.jsonl"), "a record"
        )
        for path in ("/", "/api/info", "/api/latest", "/api/timeline", "/metrics", "/healthz"):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
                connection.request("GET", path)
                served[path] = connection.getresponse().read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert [path for path, text in served.items() if SECRET in text] == []
    shown = f"http://***@127.0.0.1:{camera.partition('@')[2].partition(':')[2].partition('/')[0]}/***/***?***"
    assert json.loads(served["/api/info"])["source"] == shown
    assert json.loads(served["/api/latest"])["latest"]["source"] == shown
    assert shown in served["/metrics"]
    _holds_nothing(tmp_path)
    assert json.loads((tmp_path / "stdout").read_text().splitlines()[-1])["source"] == shown


def test_no_message_to_a_broker_holds_it(bundle: Path, camera: str, tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, Subscriber(broker.port) as reader:
        done = run_cli(
            "run",
            bundle,
            "--camera",
            camera,
            "--max-frames",
            5,
            "--sink",
            f"mqtt://127.0.0.1:{broker.port}/t",
        )
        assert done.code == 0, done.stderr
        wait_until(lambda: len(reader.frames()) == 5, "five records")
        assert {topic for topic, _, _ in reader.got} >= {"t", "t/info", "t/events"}
        assert SECRET not in json.dumps(list(reader.got))


def test_no_file_of_a_recording_holds_it(camera: str, tmp_path: Path) -> None:
    for form in ("png", "ffv1"):
        done = run_cli(
            "record",
            "--camera",
            camera,
            "--sensor",
            "nir8",
            "-o",
            tmp_path / form,
            "--max-frames",
            3,
            "--format",
            form,
        )
        assert done.code == 0, done.stderr
        assert SECRET not in done.stderr
    _holds_nothing(tmp_path)


def _size(path: Path) -> int:
    return path.stat().st_size


def _holds_nothing(folder: Path) -> None:
    files = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    assert len(files) > 3
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []


ADDRESS = "rtsp://admin:HUNTER2@h/HUNTER2"


@pytest.mark.parametrize(
    "words",
    [
        ["run", "b", "--camera", "a.png", ADDRESS],
        ["run", ADDRESS, "--camera", "a.png"],
        ["run", "b", "--camera", ADDRESS, "--camera", ADDRESS],
        ["run", "b", "--camera", "0", "--token", SECRET * 2, "--token", SECRET * 2],
        ["run", "b", "--camera", "0", "--max-frames", ADDRESS],
        ["run", "b", "--camera", "0", "--sink", ADDRESS],
        ["--debug", "run", "{bundle}", "--camera", "a.png", "--sink", "mqtt://me:HUNTER2"],
        ["--debug", "run", "{bundle}", "--camera", "rtsp://me:HUNTER2:9/x", "--sensor", "nir8"],
        ["--debug", "run", "{bundle}", "--camera", "a.png", "--sink", "http://me:HUNTER2"],
        ["record", "--camera", ADDRESS, "-o", "x", ADDRESS],
        ["inspect", ADDRESS],
        ["verify", ADDRESS],
        [ADDRESS],
    ],
)
def test_no_refusal_of_misplaced_words_shows_it(bundle: Path, words: list[str]) -> None:
    done = run_cli(*(word.format(bundle=bundle) for word in words))
    assert done.code in (2, 4, 5)
    assert done.stderr
    assert SECRET not in done.stderr
