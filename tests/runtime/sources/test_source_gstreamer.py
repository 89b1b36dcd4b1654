"""GStreamer pipelines through the real thing: Debian's OpenCV in Debian's Python, as a process of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.cli import cli_environment
from tgkt_edge.errors import MissingDependency, SourceLostError, UsageError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.sources.gstreamer import csi_pipeline, with_sink
from tgkt_edge.sensor import PRESETS

PYTHON = Path("/usr/bin/python3")
ASK = """
import cv2, yaml
assert cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)
"""
# The runtime under another Python, numpy and OpenCV than everything else here, without typer: as on a device.
READ = """
import json, sys
import numpy as np
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.sources import open_colour
from tgkt_edge.sensor import PRESETS
uri, preset, count, saved, *again = sys.argv[1:]
frames, report = [], {}
try:
    with open_colour(uri) if preset == "colour" else open_source(uri, PRESETS[preset]) as source:
        assert source.live
        for _ in range(int(count)):
            frames.append(source.read().frame)
        report = {"format": str(source.format)}
    if again:  # another pipeline in place of the camera that comes back
        open_source(again[0], PRESETS[preset], pinned=source.format).close()
except TgktEdgeError as error:
    report = {"error": str(error), "code": error.exit_code}
np.savez(saved, *frames)
print(json.dumps(report))
"""


def debian_python() -> str | None:
    """Why GStreamer cannot be tested here; None if it can."""
    if not PYTHON.is_file():
        return "there is no /usr/bin/python3"
    asked = subprocess.run([PYTHON, "-c", ASK], capture_output=True, check=False)
    return (
        None if asked.returncode == 0 else "needs Debian's python3-opencv (with GStreamer) and python3-yaml"
    )


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[list[Any], dict[str, Any]]]:
    reason = debian_python()
    if reason:
        pytest.skip(reason)

    def call(uri: str, preset: str, count: int = 3, *again: str) -> tuple[list[Any], dict[str, Any]]:
        saved = tmp_path_factory.mktemp("gst") / "frames.npz"
        command = [str(PYTHON), "-c", READ, uri, preset, str(count), str(saved), *again]
        done = subprocess.run(
            command, env=cli_environment(), check=True, timeout=60, capture_output=True, text=True
        )
        with np.load(saved) as archive:
            return [archive[name] for name in archive.files], json.loads(done.stdout.splitlines()[-1])

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "form", "dtype"),
    [("depth", "GRAY16_LE", "<u2"), ("nir", "GRAY16_LE", "<u2"), ("nir8", "GRAY8", "u1")],
)
def test_counts_arrive_as_the_elements_before_gave_them(
    read: Callable[..., Any], tmp_path: Path, preset: str, form: str, dtype: str
) -> None:
    top = 65536 if form == "GRAY16_LE" else 256
    counts = np.random.default_rng(3).integers(0, top, (4, 48, 64)).astype(dtype)
    for number, frame in enumerate(counts):
        (tmp_path / f"{number}.raw").write_bytes(frame.tobytes())
    caps = f"video/x-raw,format={form},width=64,height=48,framerate=30/1"
    # An appsink of its own that drops nothing: a recording must not lose its frames.
    pipeline = f'gst:multifilesrc location={tmp_path}/%d.raw caps="{caps}" ! appsink'
    frames, report = read(pipeline, preset, 4)
    assert report == {"format": f"{form} 64x48"}
    assert frames[0].dtype == np.dtype(dtype)
    np.testing.assert_array_equal(frames, counts)


@pytest.mark.slow
def test_colour(read: Callable[..., Any]) -> None:
    frames, report = read("gst:videotestsrc ! video/x-raw,format=BGR,width=64,height=48", "colour")
    assert report == {"format": "BGR 64x48"}
    assert (frames[0].dtype, frames[0].shape) == (np.uint8, (48, 64, 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pipeline", "preset", "texts"),
    [
        (
            "videotestsrc ! video/x-raw,format=GRAY8",
            "depth",
            ["uint8 pixels", "format=GRAY16_LE", "`sensor`"],
        ),
        ("videotestsrc ! video/x-raw,format=BGR", "nir8", ["(240, 320, 3)", "format=GRAY8"]),
        ("videotestsrc ! video/x-raw,format=GRAY8", "colour", ["expected colour", "format=BGR"]),
        ("nosuchelement", "nir8", ["does not start", "gst-launch-1.0 -v nosuchelement"]),
        ("videotestsrc num-buffers=0", "nir8", ["delivers no frame", "ended or failed"]),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(
    read: Callable[..., Any], pipeline: str, preset: str, texts: list[str]
) -> None:
    _, report = read(f"gst:{pipeline}", preset)
    assert report["code"] == 5
    for text in texts:
        assert text in report["error"]


@pytest.mark.slow
def test_the_end_of_a_pipeline_is_loss(read: Callable[..., Any]) -> None:
    frames, report = read(
        "gst:videotestsrc num-buffers=2 ! video/x-raw,format=GRAY16_LE ! appsink", "depth", 3
    )
    assert len(frames) == 2
    assert report["code"] == 5
    assert "stopped delivering after 2 frames" in report["error"]


@pytest.mark.slow
def test_a_format_that_changes_midway_is_said(read: Callable[..., Any], tmp_path: Path) -> None:
    for number, width in enumerate((64, 64, 32, 32)):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, width), number, np.uint8))
    pipeline = f"gst:multifilesrc location={tmp_path}/%d.png caps=image/png,framerate=30/1 ! pngdec ! appsink"
    frames, report = read(pipeline, "nir8", 4)
    assert len(frames) == 2
    assert "changed its format midway, from uint8 (48, 64) to uint8 (48, 32)" in report["error"]


@pytest.mark.slow
def test_a_password_in_a_pipeline_is_not_shown(read: Callable[..., Any]) -> None:
    _, report = read(
        "gst:rtspsrc location=rtsp://me:geheim@127.0.0.1:9/x user-pw=geheim ! decodebin ! videoconvert",
        "nir8",
    )
    assert report["code"] == 5
    assert "location=rtsp://***@127.0.0.1:9/*** user-pw=***" in report["error"]
    assert "geheim" not in report["error"]


@pytest.mark.slow
def test_csi_without_a_jetson_says_so(read: Callable[..., Any]) -> None:
    _, report = read("csi://0", "nir8")
    assert report["code"] == 5
    assert "Is this a Jetson" in report["error"]
    assert "nvarguscamerasrc sensor-id=0" in report["error"]


def test_the_csi_pipeline() -> None:
    assert csi_pipeline(1, (640, 480)) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),format=NV12 ! nvvidconv ! "
        "video/x-raw,format=GRAY8,width=640,height=480 ! appsink drop=true max-buffers=4"
    )
    assert "format=BGRx ! videoconvert ! video/x-raw,format=BGR ! appsink" in csi_pipeline(
        0, None, colour=True
    )


def test_csi_refuses_sixteen_bits_and_odd_names() -> None:
    with pytest.raises(SourceLostError, match=r"8 bits, but the sensor is uint16.*v4l2:///dev/video0"):
        open_source("csi://0", PRESETS["nir"])
    with pytest.raises(UsageError, match=r"csi://front`: expected the camera's number"):
        open_source("csi://front", PRESETS["nir8"])


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("a ! b", "a ! b ! appsink drop=true max-buffers=4"),
        (" a ! b ! ", "a ! b ! appsink drop=true max-buffers=4"),
        ("a ! appsink name=x", "a ! appsink name=x"),
    ],
)
def test_a_sink_is_added_where_there_is_none(given: str, made: str) -> None:
    assert with_sink(given) == made


def test_an_empty_pipeline() -> None:
    with pytest.raises(UsageError, match="expected a pipeline"):
        open_source("gst: ", PRESETS["nir8"])


@pytest.mark.parametrize("uri", ["gst:videotestsrc", "csi://0"])
def test_an_opencv_without_gstreamer_is_named(uri: str) -> None:
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    with pytest.raises(
        MissingDependency, match=r"built without GStreamer.*--system-site-packages"
    ) as refused:
        open_source(uri, PRESETS["nir8"])
    assert refused.value.exit_code == 6
    assert cv2.__version__ in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "refused"), [(64, False), (32, True)])
def test_a_pipeline_that_comes_back_with_other_caps_is_refused_with_both(
    read: Callable[..., Any], width: int, refused: bool
) -> None:
    caps = "videotestsrc ! video/x-raw,format=GRAY16_LE,height=48,width="
    _, report = read(f"gst:{caps}64", "depth", 1, f"gst:{caps}{width}")
    assert ("error" in report) is refused
    if refused:
        assert (
            "delivered GRAY16_LE 64x48 when it was first opened, and now delivers GRAY16_LE 32x48"
            in report["error"]
        )
