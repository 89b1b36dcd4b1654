"""A V4L2 camera, answered by an LD_PRELOAD shim in place of the kernel."""

from __future__ import annotations

import ctypes
import errno
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.cli import cli_environment
from tests.support.v4l2 import HEIGHT, WIDTH, painted
from tgkt_edge.runtime.sources import v4l2_abi as abi
from tgkt_edge.runtime.sources.v4l2_device import Layout
from tgkt_edge.runtime.sources.v4l2_formats import raw_pixels
from tgkt_edge.sensor import PRESETS
from tgkt_edge.system.device_access import users_of


@pytest.mark.slow
def test_the_structures_are_the_kernels(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to ask the kernel's header")
    requests = [
        "QUERYCAP",
        "ENUM_FMT",
        "G_FMT",
        "S_FMT",
        "REQBUFS",
        "QUERYBUF",
        "QBUF",
        "DQBUF",
        "STREAMON",
        "STREAMOFF",
        "SUBSCRIBE_EVENT",
    ]
    constants = {
        "V4L2_BUF_TYPE_VIDEO_CAPTURE": abi.VIDEO_CAPTURE,
        "V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE": abi.VIDEO_CAPTURE_MPLANE,
        "V4L2_MEMORY_MMAP": abi.MEMORY_MMAP,
        "V4L2_CAP_VIDEO_CAPTURE": abi.CAP_VIDEO_CAPTURE,
        "V4L2_CAP_VIDEO_CAPTURE_MPLANE": abi.CAP_VIDEO_CAPTURE_MPLANE,
        "V4L2_CAP_STREAMING": abi.CAP_STREAMING,
        "V4L2_CAP_DEVICE_CAPS": abi.CAP_DEVICE_CAPS,
        "V4L2_BUF_FLAG_ERROR": abi.BUF_FLAG_ERROR,
        "V4L2_BUF_FLAG_TIMESTAMP_MASK": abi.BUF_FLAG_TIMESTAMP_MASK,
        "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC": abi.BUF_FLAG_TIMESTAMP_MONOTONIC,
        "V4L2_EVENT_SOURCE_CHANGE": abi.EVENT_SOURCE_CHANGE,
        "V4L2_PIX_FMT_Z16": abi.fourcc("Z16 "),
        "V4L2_PIX_FMT_Y16": abi.fourcc("Y16 "),
        "V4L2_PIX_FMT_Y16_BE": abi.fourcc("Y16 >"),
        "V4L2_PIX_FMT_Y14": abi.fourcc("Y14 "),
        "V4L2_PIX_FMT_Y12": abi.fourcc("Y12 "),
        "V4L2_PIX_FMT_Y10": abi.fourcc("Y10 "),
        "V4L2_PIX_FMT_GREY": abi.fourcc("GREY"),
        "sizeof(struct v4l2_buffer)": ctypes.sizeof(abi.Buffer),
        "sizeof(struct v4l2_plane)": ctypes.sizeof(abi.Plane),
        "sizeof(struct v4l2_format)": ctypes.sizeof(abi.Format),
        "offsetof(struct v4l2_format, fmt)": abi.Format.fmt.offset,
        "offsetof(struct v4l2_buffer, timestamp)": abi.Buffer.timestamp.offset,
        "offsetof(struct v4l2_buffer, m)": abi.Buffer.m.offset,
        "offsetof(struct v4l2_plane, data_offset)": abi.Plane.data_offset.offset,
        "offsetof(struct v4l2_pix_format_mplane, plane_fmt)": abi.PixFormatMplane.plane_fmt.offset,
        "offsetof(struct v4l2_pix_format_mplane, num_planes)": abi.PixFormatMplane.num_planes.offset,
    }
    constants.update({f"VIDIOC_{name}": getattr(abi, name) for name in requests})
    lines = "".join(f'  printf("%lu\\n", (unsigned long)({name}));\n' for name in constants)
    program = tmp_path / "ask.c"
    program.write_text(
        "#include <linux/videodev2.h>\n#include <stddef.h>\n#include <stdio.h>\n"
        f"int main(void) {{\n{lines}  return 0;\n}}\n"
    )
    subprocess.run([compiler, "-o", tmp_path / "ask", program], check=True)
    answer = subprocess.run([tmp_path / "ask"], check=True, capture_output=True, text=True).stdout.split()
    found = {name: int(text) & 0xFFFFFFFF for name, text in zip(constants, answer, strict=True)}
    assert found == constants


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "formats", "chosen"),
    [
        ("depth", "Z16 ", "Z16 "),
        ("depth", "Y16 ", "Y16 "),
        ("depth", "YUYV,Y16 ,Z16 ", "Z16 "),  # a RealSense node: depth is Z16, Y16 is infrared
        ("nir", "Z16 ,Y16 ", "Y16 "),
        ("nir", "YUYV,Y16 ", "Y16 "),
        ("nir", "Y10 ,YUYV", "Y10 "),
        ("nir", "YUYV,Y12 ", "Y12 "),
        ("nir8", "YUYV,GREY", "GREY"),
    ],
)
@pytest.mark.parametrize("driver", [{}, {"MPLANE": 1, "PADDING": 24}])
def test_counts_arrive_unshifted(
    read: Callable[..., Any], preset: str, formats: str, chosen: str, driver: dict[str, int]
) -> None:
    found = read(preset, FORMATS=formats, **driver)
    assert [line["number"] for line in found.report] == [0, 1, 2, 3]
    dtype = PRESETS[preset].numpy_dtype
    for number, frame in enumerate(found.frames):
        assert frame.dtype == dtype
        np.testing.assert_array_equal(frame, painted(number).astype(dtype))


def test_big_endian_counts_are_turned() -> None:
    data = np.array([[1, 256], [4660, 65535]], ">u2").view(np.uint8).reshape(-1)
    frame = raw_pixels(data, Layout("Y16 >", 2, 2, 4, 8))
    assert frame is not None
    assert frame.dtype == np.uint16
    np.testing.assert_array_equal(frame, [[1, 256], [4660, 65535]])
    assert raw_pixels(data[:-1], Layout("Y16 >", 2, 2, 4, 8)) is None


@pytest.mark.parametrize(
    ("fourcc", "packed", "counts"),
    [
        # By the tables of the kernel's documentation, pixel by pixel.
        (
            "Y10P",
            [0x12, 0x34, 0x56, 0x78, 0b11_10_01_00],
            [0x12 << 2, 0x34 << 2 | 1, 0x56 << 2 | 2, 0x78 << 2 | 3],
        ),
        ("Y12P", [0x12, 0x34, 0xBA, 0x56, 0x78, 0xDC], [0x12A, 0x34B, 0x56C, 0x78D]),
        ("Y10B", [0x00, 0x40, 0x20, 0x0C, 0x04], [1, 2, 3, 4]),
        ("Y12I", [0x34, 0xA2, 0xFF, 0x78, 0xA6, 0xFF, 1, 0, 0, 2, 0, 0], [0x234, 0x678, 1, 2]),
        ("Y8I ", [1, 99, 2, 99, 3, 99, 4, 99], [1, 2, 3, 4]),
    ],
)
def test_packed_counts_are_unpacked_row_by_row(fourcc: str, packed: list[int], counts: list[int]) -> None:
    """Two rows with three bytes of padding behind each."""
    row = [*packed, 0xEE, 0xEE, 0xEE]
    data = np.array(row * 2, np.uint8)
    frame = raw_pixels(data, Layout(fourcc, 4, 2, len(row), 2 * len(row)))
    assert frame is not None
    assert frame.dtype == (np.uint8 if fourcc == "Y8I " else np.uint16)
    np.testing.assert_array_equal(frame, [counts, counts])
    assert (
        raw_pixels(data[: len(row) + len(packed) - 1], Layout(fourcc, 4, 2, len(row), 2 * len(row))) is None
    )


@pytest.mark.slow
@pytest.mark.parametrize("driver", [{}, {"PADDING": 24}])
def test_the_left_of_two_interleaved_pictures_is_read(
    read: Callable[..., Any], driver: dict[str, int]
) -> None:
    """The shim writes 16 bits a pixel: the low byte is the left picture's."""
    found = read("nir8", FORMATS="YUYV,Y8I ", **driver)
    assert len(found.frames) == 4
    for number, frame in enumerate(found.frames):
        np.testing.assert_array_equal(frame, painted(number).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 63, 640])
def test_any_width_is_taken_when_the_spec_names_none(read: Callable[..., Any], width: int) -> None:
    assert read("depth", 1, FORMATS="Z16 ", WIDTH=width).frames[0].shape == (HEIGHT, width)


@pytest.mark.slow
def test_the_time_is_the_drivers(read: Callable[..., Any]) -> None:
    ages = [line["age"] for line in read(AGE_MS=1500).report]
    assert all(1.5 <= age < 60 for age in ages)


@pytest.mark.slow
@pytest.mark.parametrize("driver", [{"CLOCK": 1}, {"AGE_MS": 3_600_000}, {"AGE_MS": -60_000}])
def test_a_driver_with_a_clock_of_its_own_leaves_the_time_of_arrival(
    read: Callable[..., Any], driver: dict[str, int]
) -> None:
    # The frames of SHIM_CLOCK carry the monotonic time too, but its flag does not say so.
    for line in read(**driver).report:
        assert 0 <= line["age"] < 60


@pytest.mark.slow
def test_damaged_and_incomplete_frames_are_named_and_the_next_follows(read: Callable[..., Any]) -> None:
    found = read(DAMAGED=1, SHORT=2)
    errors = [line["error"] for line in found.report]
    assert errors[0] is None
    assert "the driver marks frame 1 as damaged" in errors[1]
    assert "frame 2 is incomplete: 3072 bytes instead of 6144" in errors[2]
    assert errors[3] is None
    np.testing.assert_array_equal(found.frames[3], painted(3))


@pytest.mark.slow
def test_a_camera_that_begins_with_damaged_frames_opens(read: Callable[..., Any]) -> None:
    found = read(DAMAGED=0)
    np.testing.assert_array_equal(found.frames[0], painted(1))
    assert found.report[0]["number"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("driver", [{}, {"EVENT": 1}])
def test_a_format_that_changes_midway_is_said(read: Callable[..., Any], driver: dict[str, int]) -> None:
    found = read(count=10, CHANGE=3, **driver)
    assert len(found.frames) == 3
    assert "changed its format midway, from Y16 64x48 to Y16 64x24" in found.lost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("driver", "text"),
    [
        ({"OPEN_ERRNO": errno.EACCES}, r"Permission denied\. Look with 'ls -l /dev/video42'"),
        ({"OPEN_ERRNO": errno.EBUSY}, r"cannot be opened: Device or resource busy\. Another program"),
        ({"SET_ERRNO": errno.EBUSY}, r"Device or resource busy\. Another program uses the camera"),
        ({"OPEN_ERRNO": errno.ENOENT}, r"No such file.*Video devices here"),
        ({"METADATA": 1}, "not a capture node"),
        ({"SET_ERRNO": errno.EINVAL}, r"Y16: Invalid argument\. The camera offers: Y16 \(shim format\)"),
        ({"IGNORES": 1, "FORMATS": "YUYV,Y16 "}, "Y16: the driver sets YUYV instead"),
        ({"FRAMES": 0}, r"No such device \(unplugged\)"),
        ({"FRAMES": 2}, r"stopped delivering after 2 frames: No such device \(unplugged\)"),
    ],
)
def test_each_trouble_has_its_own_message(
    read: Callable[..., Any], driver: dict[str, object], text: str
) -> None:
    assert re.search(text, read(**driver).lost)


@pytest.mark.slow
def test_a_silent_camera_is_not_an_unplugged_one(read: Callable[..., Any]) -> None:
    found = read(timeout=0.2, SILENT=2)
    assert len(found.frames) == 2
    assert "no frame for 0.2 s: the camera is still there but silent" in found.lost


@pytest.mark.slow
def test_colour_for_paired_recordings(read: Callable[..., Any], tmp_path: Path) -> None:
    found = read("colour", timeout=10, FORMATS="Z16 ,YUYV")
    packed = painted(0).view(np.uint8).reshape(HEIGHT, WIDTH, 2)
    np.testing.assert_array_equal(found.frames[0], cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_YUY2))
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:] = (0, 0, 255)
    assert cv2.imwrite(str(tmp_path / "red.jpg"), picture)
    found = read("colour", timeout=10, FORMATS="MJPG", MJPG=tmp_path / "red.jpg")
    assert np.abs(found.frames[0].astype(int) - (0, 0, 255)).max() < 8  # B, G, R


# Opens again and again while the camera comes and goes, as the pipeline does.
REPLUG = """
import json, os, sys, threading
from pathlib import Path
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import open_source
from tgkt_edge.sensor import PRESETS
gone, frames, lost, refused = Path(sys.argv[1]), 0, 0, 0
descriptors = []
for cycle in range(200):
    with open_source("v4l2:///dev/video42", PRESETS["depth"]) as source:
        source.read()
        frames += 1
        gone.touch()
        try:
            source.read()
        except SourceLostError:
            lost += 1
    try:
        open_source("v4l2:///dev/video42", PRESETS["depth"])
    except SourceLostError:
        refused += 1
    gone.unlink()
    mappings = Path("/proc/self/maps").read_text().count("v4l2_shim (deleted)")
    descriptors.append((len(os.listdir("/proc/self/fd")), mappings))
print(json.dumps({"frames": frames, "lost": lost, "refused": refused, "held": [descriptors[1], descriptors[-1]]}))
"""


@pytest.mark.slow
def test_two_hundred_replugs_leave_no_descriptor_and_no_mapping_behind(tmp_path: Path, shim: str) -> None:
    gone = tmp_path / "gone"
    env = cli_environment(LD_PRELOAD=shim, SHIM_GONE=str(gone), SHIM_FPS="5000")
    command = [sys.executable, "-c", REPLUG, str(gone)]
    done = subprocess.run(command, env=env, check=True, timeout=120, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert (report["frames"], report["lost"], report["refused"]) == (200, 200, 200)
    assert report["held"][0] == report["held"][1]


@pytest.mark.slow
def test_the_programs_that_hold_a_device_are_named(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    with device.open() as held:
        keeper = subprocess.Popen(["sleep", "60"], stdin=held)
    try:
        assert f"sleep (process {keeper.pid})" in users_of(str(device)).others
    finally:
        keeper.kill()
        keeper.wait()
