"""A V4L2 camera's pixel format, size and counts stay what they were, whatever passes or comes back different."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import cli_environment
from tests.support.v4l2 import HEIGHT, WIDTH, painted
from tgkt_edge.runtime.sources.base import StreamFormat
from tgkt_edge.runtime.sources.v4l2_formats import candidates
from tgkt_edge.sensor import PRESETS, SensorSpec


def asked(log: Path) -> list[str]:
    """The pixel formats that were asked for, one after the other."""
    return [line.split()[1] for line in log.read_text().splitlines() if line.startswith("S_FMT")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "code"),  # each of both; they do not depend on each other
    [
        ("FAIL_SET", errno.EIO),
        ("FAIL_ON", errno.EIO),
        ("FAIL_DQ", errno.EIO),
        ("FAIL_SET", errno.ENOSPC),
        ("FAIL_ON", errno.ENOMEM),
        ("FAIL_DQ", errno.ETIMEDOUT),
        ("FAIL_ON", errno.EPROTO),
    ],
)
def test_an_error_that_passes_leaves_the_format_as_it_is(
    read: Callable[..., Any], tmp_path: Path, call: str, code: int
) -> None:
    log = tmp_path / "asked"
    found = read("nir", FORMATS="Y16 ,Y12 ,GREY", LOG=log, **{call: f"{code}:2"})
    assert {line["format"] for line in found.report} == {"Y16 64x48"}
    assert set(asked(log)) == {"Y16"}
    np.testing.assert_array_equal(found.frames[0], painted(0))


@pytest.mark.slow
def test_a_stream_that_starts_at_the_third_attempt_for_want_of_an_argument(
    read: Callable[..., Any], tmp_path: Path
) -> None:
    log = tmp_path / "asked"  # EINVAL of anything but VIDIOC_S_FMT says nothing about the format
    found = read("depth", FORMATS="Z16 ,Y16 ", LOG=log, FAIL_ON=f"{errno.EINVAL}:2")
    assert found.report[0]["format"] == "Z16 64x48"
    assert set(asked(log)) == {"Z16"}


@pytest.mark.slow
@pytest.mark.parametrize("call", ["FAIL_SET", "FAIL_ON", "FAIL_DQ"])
def test_an_error_that_stays_is_a_camera_lost_and_no_other_format(
    read: Callable[..., Any], tmp_path: Path, call: str
) -> None:
    log = tmp_path / "asked"
    found = read("depth", FORMATS="Z16 ,Y16 ,Y12 ", LOG=log, **{call: f"{errno.EIO}:99"})
    assert "no complete frame as Z16 in 5 attempts; the last one: Input/output error" in found.lost
    assert set(asked(log)) == {"Z16"}


@pytest.mark.slow
def test_damaged_frames_are_waited_out_in_the_same_format(read: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "asked"
    found = read("nir", 1, FORMATS="Y16 ,Y12 ", BROKEN=25, LOG=log)
    np.testing.assert_array_equal(found.frames[0], painted(25))
    assert set(asked(log)) == {"Y16"}
    found = read("nir", 1, FORMATS="Y16 ,Y12 ", BROKEN=9999, LOG=log)
    assert re.search(
        r"as Y16 in 5 attempts; the last one: the driver marks frame \d+ as damaged\.", found.lost
    )
    assert set(asked(log)) == {"Y16"}


@pytest.mark.alone
@pytest.mark.slow
def test_a_silent_camera_costs_its_timeout_once(read: Callable[..., Any], tmp_path: Path) -> None:
    log, quiet = tmp_path / "asked", tmp_path / "quiet"
    quiet.touch()
    begin = time.monotonic()
    found = read("depth", timeout=1.5, FORMATS="Z16 ,Y16 ,Y14 ,Y12 ,Y10 ", LOG=log, QUIET=quiet)
    assert "no frame for 1.5 s: the camera is still there but silent" in found.lost
    assert (asked(log), log.read_text().count("STREAMON")) == (["Z16"], 1)
    assert time.monotonic() - begin < 5 * 1.5


@pytest.mark.slow
def test_a_refused_format_or_size_moves_on_to_the_next(read: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "asked"
    found = read("nir", FORMATS="Y16 ,Y12 ", LOG=log, FAIL_SET=f"{errno.EINVAL}:1")
    assert {line["format"] for line in found.report} == {"Y12 64x48"}
    assert asked(log) == ["Y16", "Y12"]


@pytest.mark.slow
def test_more_than_64_formats_are_listed(read: Callable[..., Any]) -> None:
    many = [f"{index:02d}xx" for index in range(82)]
    assert read("nir", FORMATS=",".join([*many, "Y16 "])).report[0]["format"] == "Y16 64x48"


@pytest.mark.parametrize(
    ("spec", "pinned", "names"),
    [
        (PRESETS["depth"], None, ["Z16 ", "Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >"]),
        (PRESETS["nir"], None, ["Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >", "Y12P", "Y10P", "Y10B", "Y12I"]),
        (PRESETS["lepton"], None, ["Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >", "Y12P", "Y10P", "Y10B", "Y12I"]),
        (PRESETS["nir8"], None, ["GREY", "Y8I "]),
        (PRESETS["nir"], StreamFormat("Y10P", 64, 48), ["Y10P"]),
        (PRESETS["nir"], StreamFormat("Y12", 64, 48), ["Y12 "]),
        (PRESETS["nir"], StreamFormat("Y16_BE", 64, 48), ["Y16 >"]),
        (SensorSpec("nir", black=0, white=1023, pixel_format="Y10"), None, ["Y10 "]),
        (SensorSpec("nir", "uint8", black=0, white=255, pixel_format="GRAY8"), None, ["GREY", "Y8I "]),
    ],
)  # fmt: skip
def test_what_a_camera_is_asked_for(spec: SensorSpec, pinned: StreamFormat | None, names: list[str]) -> None:
    assert list(candidates(spec, pinned)) == names


# One run's openings: a first one, a change of the camera, and a second one.
REOPEN = """
import json, os, sys
from functools import partial
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.sources.stream_format import PinnedOpener
from tgkt_edge.sensor import PRESETS
changes = json.loads(sys.argv[1])
opener = PinnedOpener(partial(open_source, "v4l2:///dev/video42", PRESETS["nir"], False))
with opener() as source:
    source.read()
os.environ.update(changes)
try:
    with opener() as source:
        print(json.dumps({"format": str(source.format), "frame": source.read().frame.tolist()}))
except SourceLostError as error:
    print(json.dumps({"lost": str(error)}))
"""


@pytest.fixture
def reopen(shim: str) -> Callable[..., dict[str, Any]]:
    def call(shape: dict[str, str], changes: dict[str, str]) -> dict[str, Any]:
        env = cli_environment(LD_PRELOAD=shim, **{f"SHIM_{name}": value for name, value in shape.items()})
        given = json.dumps({f"SHIM_{name}": value for name, value in changes.items()})
        done = subprocess.run(
            [sys.executable, "-c", REOPEN, given], env=env, check=True, timeout=60, capture_output=True, text=True
        )  # fmt: skip
        return dict(json.loads(done.stdout))

    return call


@pytest.mark.slow
def test_a_camera_that_comes_back_in_another_size_is_asked_for_the_first_one(
    reopen: Callable[..., dict[str, Any]],
) -> None:
    back = reopen({"FORMATS": "Y16 ", "SIZES": "1"}, {"WIDTH": "32", "HEIGHT": "24"})
    assert back["format"] == "Y16 64x48"
    np.testing.assert_array_equal(back["frame"], painted(1))


@pytest.mark.slow
def test_one_that_keeps_the_other_size_is_refused_with_both(reopen: Callable[..., dict[str, Any]]) -> None:
    back = reopen({"FORMATS": "Y16 ,Y12 "}, {"WIDTH": "32", "HEIGHT": "24"})
    assert (
        "it delivered Y16 64x48 when it was first opened, and does not now: Y16: frames come as 32x24."
        in back["lost"]
    )


@pytest.mark.slow
def test_one_that_lacks_the_first_format_is_refused_and_no_other_is_taken(
    reopen: Callable[..., dict[str, Any]],
) -> None:
    back = reopen({"FORMATS": "Y16 ,Y12 "}, {"FORMATS": "Y12 ,GREY"})
    assert (
        "it delivered Y16 64x48 when it was first opened, and does not now: none of these is offered."
        in back["lost"]
    )
    assert "The camera offers: Y12 (shim format), GREY (shim format)" in back["lost"]


@pytest.mark.slow
def test_a_format_that_was_second_choice_stays(reopen: Callable[..., dict[str, Any]]) -> None:
    back = reopen({"FORMATS": "Y12 "}, {"FORMATS": "Y16 ,Y12 "})
    assert back["format"] == "Y12 64x48"


@pytest.mark.slow
def test_a_receiver_is_asked_for_the_size_of_its_signal(read: Callable[..., Any], tmp_path: Path) -> None:
    found = read("nir", 1, HDMI=1, SIZES=1, WIDTH=32, SIGNAL_WIDTH=64)
    assert found.report[0]["format"] == "Y16 64x48 from a 64x48 signal"
    assert found.frames[0].shape == (HEIGHT, WIDTH)


@pytest.mark.slow
def test_another_signal_that_the_driver_scales_to_the_first_size_is_refused(
    reopen: Callable[..., dict[str, Any]],
) -> None:
    back = reopen({"FORMATS": "Y16 ", "SIZES": "1", "HDMI": "1"}, {"SIGNAL_WIDTH": "128"})
    assert "delivered Y16 64x48 from a 64x48 signal when it was first opened, and now" in back["lost"]
    assert "now delivers Y16 64x48 from a 128x48 signal." in back["lost"]
