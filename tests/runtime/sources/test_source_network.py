"""Network cameras against real servers: MJPEG over HTTP, and GStreamer's RTSP server as a process of its own."""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.http_camera import MULTIPART, http_camera, jpeg, part
from tgkt_edge.errors import MissingDependency, SourceLostError, TgktEdgeError, UsageError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.sources import open_colour
from tgkt_edge.runtime.sources.network import open_network, receiver_options
from tgkt_edge.runtime.sources.obsensor import open_obsensor
from tgkt_edge.runtime.sources.stream_format import PinnedOpener
from tgkt_edge.sensor import PRESETS

NIR8 = PRESETS["nir8"]
RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))  # (48, 64): the whole range of counts


def camera(pictures: list[NDArray[Any]], kind: str = MULTIPART) -> AbstractContextManager[str]:
    """An HTTP camera that sends each picture once and ends."""
    return http_camera([part(jpeg(picture, 98)) for picture in pictures], kind)


def test_monochrome_pictures_over_http_keep_their_counts() -> None:
    with camera([RAMP] * 8) as uri, open_source(uri, NIR8) as source:
        assert source.live
        found = [source.read() for _ in range(4)]
    assert [captured.number for captured in found if captured] == [0, 1, 2, 3]
    for captured in found:
        assert captured is not None
        assert captured.frame is not None
        assert captured.frame.dtype == np.uint8
        assert captured.frame.shape == (48, 64)
        # JPEG costs a few counts; a squeeze to 16..235 would cost sixteen at the ends.
        assert np.abs(captured.frame.astype(int) - RAMP).max() <= 5


def test_colour_is_no_frame_but_open_colour_takes_it() -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 2] = 200
    with camera([red] * 8) as uri:
        with pytest.raises(SourceLostError, match=r"picture is in colour.*night mode"):
            open_source(uri, NIR8)
        with open_colour(uri) as source:
            captured = source.read()
    assert captured is not None
    assert captured.frame is not None
    assert np.abs(captured.frame.astype(int) - red).max() <= 6


def test_a_camera_that_turns_to_colour_gives_bad_frames_not_wrong_ones() -> None:
    grey = np.repeat(RAMP[..., None], 3, axis=2)
    red = np.zeros_like(grey)
    red[..., 2] = 200
    with camera([grey, grey, red, grey, grey, grey]) as uri, open_source(uri, NIR8) as source:
        found = [source.read() for _ in range(4)]
    assert [captured.frame is not None for captured in found if captured] == [True, True, False, True]
    assert found[2] is not None
    assert "night mode" in str(found[2].error)


def test_the_end_of_a_stream_is_loss() -> None:
    with (
        camera([RAMP] * 3) as uri,
        open_source(uri, NIR8) as source,
        pytest.raises(SourceLostError, match=r"stopped delivering after [1-3] frames.*ended the stream"),
    ):
        for _ in range(9):
            source.read()


def test_another_size_is_refused_with_what_to_do() -> None:
    with (
        camera([RAMP] * 3) as uri,
        pytest.raises(SourceLostError, match=r"64x48.*Set the camera to the size"),
    ):
        open_source(uri, NIR8.with_size(640, 480))


def test_who_does_not_answer_is_named_and_no_password_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(
        SourceLostError, match=rf"rtsp://\*\*\*@127.*nothing answers at 127\.0\.0\.1, port {port}"
    ):
        open_source(f"rtsp://me:geheim@127.0.0.1:{port}/x", NIR8)
    with (
        camera([], "text/html") as uri,
        pytest.raises(SourceLostError, match=r"answers on port .* not with a video"),
    ):
        open_source(uri, NIR8)


@pytest.mark.slow
def test_a_silent_camera_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        with pytest.raises(SourceLostError, match="not with a video"):
            open_network(uri, NIR8, open_ms=500, read_ms=500)


def test_sixteen_bits_and_odd_uris_are_refused() -> None:
    with pytest.raises(SourceLostError, match="has 8 bits, but the sensor is uint16"):
        open_source("rtsp://host/x", PRESETS["depth"])
    for uri in ("http:///x", "rtsp://host:port/x"):
        with pytest.raises(UsageError, match="expected a host"):
            open_source(uri, NIR8)
    with pytest.raises(UsageError, match="`loop=True`"):
        open_source("http://host/x", NIR8, loop=True)


SERVE = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
if not all(Gst.ElementFactory.find(name) for name in ("multifilesrc", "jpegenc", "rtpjpegpay")):
    sys.exit("lacks gstreamer1.0-plugins-good")
server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
server.set_address("127.0.0.1")
server.set_service("0")
factory.set_launch(
    "( multifilesrc loop=true location=" + sys.argv[1] + " caps=video/x-raw,format=GRAY8,width=64,height=48,"
    "framerate=30/1,colorimetry=1:4:0:0 ! videoconvert ! video/x-raw,format=I420,colorimetry=1:4:0:0 "
    "! jpegenc quality=98 ! rtpjpegpay name=pay0 )"
)
server.get_mount_points().add_factory("/nir", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""


@pytest.fixture
def rtsp(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """GStreamer's RTSP server, which sends RAMP indefinitely."""
    if not Path("/usr/bin/python3").is_file():
        pytest.skip("there is no /usr/bin/python3")
    command = ["/usr/bin/python3", "-c", SERVE, str(tmp_path / "ramp.raw")]
    (tmp_path / "ramp.raw").write_bytes(RAMP.tobytes())
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            ready = select.select([server.stdout], [], [], 60)[0]
            port = server.stdout.readline().strip() if ready else ""
            if not port:
                pytest.skip(
                    "needs Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and gstreamer1.0-plugins-good"
                )
            yield f"rtsp://127.0.0.1:{port}/nir", server
        finally:
            server.kill()


@pytest.mark.slow
def test_rtsp_and_a_server_that_dies(rtsp: tuple[str, subprocess.Popen[str]]) -> None:
    uri, server = rtsp
    with open_source(uri, NIR8.with_size(64, 48)) as source:
        found = [source.read() for _ in range(5)]
        for captured in found:
            assert captured is not None
            assert captured.frame is not None
            assert captured.frame.shape == (48, 64)
            assert np.abs(captured.frame.astype(int) - RAMP).max() <= 8
        server.kill()
        with pytest.raises(SourceLostError, match=r"stopped delivering after \d+ frames"):
            for _ in range(100_000):  # what was sent before is read first
                source.read()
    with pytest.raises(SourceLostError, match="nothing answers"):
        open_source(uri, NIR8)


def test_orbbec_cameras_give_millimetres_of_depth_only() -> None:
    with pytest.raises(SourceLostError, match="reads only depth from Orbbec cameras"):
        open_source("obsensor://0", NIR8)
    with pytest.raises(UsageError, match="expected the camera's number"):
        open_source("obsensor://front", PRESETS["depth"])
    expected: type[TgktEdgeError] = MissingDependency
    if cv2.videoio_registry.hasBackend(getattr(cv2, "CAP_OBSENSOR", -1)):
        expected = SourceLostError  # no camera is plugged in where tests run
    with pytest.raises(expected, match="Orbbec camera"):
        open_obsensor("0", PRESETS["depth"])


@pytest.mark.slow
def test_a_camera_that_comes_back_in_another_size_is_refused_with_both() -> None:
    with camera([RAMP] * 4) as uri:
        opener = PinnedOpener(lambda pinned: open_source(uri, NIR8, pinned=pinned))
        opener().close()
        assert str(opener.format) == "BGR 64x48"
        opener().close()  # the same again
    with camera([RAMP[:, :32]] * 4) as other:
        moved = PinnedOpener(lambda pinned: open_source(other, NIR8, pinned=pinned))
        moved.format = opener.format
        with pytest.raises(SourceLostError, match=r"delivered BGR 64x48 when.*now delivers BGR 32x48"):
            moved()


@pytest.mark.parametrize("own", [None, "rtsp_transport;udp|stimeout;9"])
def test_of_two_streams_that_are_opened_at_once_each_has_its_receiver_s_options(
    own: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    monkeypatch.delenv(name, raising=False)
    if own is not None:
        monkeypatch.setenv(name, own)
    first, second = receiver_options(), receiver_options()
    first.__enter__()
    meant = os.environ[name]
    assert "reorder_queue_size;16" in meant
    assert ("rtsp_transport;udp" in meant, "stimeout;9" in meant) == (own is not None, own is not None)
    second.__enter__()
    first.__exit__(None, None, None)  # as a camera that refuses at once
    assert os.environ[name] == meant
    second.__exit__(None, None, None)
    assert os.environ.get(name) == own
