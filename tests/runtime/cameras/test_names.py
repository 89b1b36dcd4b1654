"""``NAME=URI``: which text has a name in front, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tgkt_edge.errors import ConfigError, UsageError
from tgkt_edge.runtime.cameras.names import Camera, cameras_of, split_name
from tgkt_edge.sensor import PRESETS


@pytest.mark.parametrize(
    ("text", "name", "uri"),
    [
        ("0", "", "0"),
        ("door=0", "door", "0"),
        ("Back_door-2=rtsp://host/live?x=1", "Back_door-2", "rtsp://host/live?x=1"),
        ("door=gst:v4l2src device=/dev/video0 ! appsink", "door", "gst:v4l2src device=/dev/video0 ! appsink"),
        ("door=a=b", "door", "a=b"),
        ("rtsp://host/live?user=me&x=1", "", "rtsp://host/live?user=me&x=1"),
        ("gst:v4l2src device=/dev/video0", "", "gst:v4l2src device=/dev/video0"),
        ("./run=3/frames", "", "./run=3/frames"),
        ("/data/run=3", "", "/data/run=3"),
        ("my door=0", "", "my door=0"),
        ("=0", "", "=0"),
    ],
)
def test_a_name_is_what_stands_before_the_first_sign_of_an_address(text: str, name: str, uri: str) -> None:
    assert split_name(text) == (name, uri)


def test_a_file_that_is_really_called_so_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run=3").mkdir()
    assert split_name("run=3") == ("", "run=3")
    assert split_name("run=./run=3") == ("run", "./run=3")
    with pytest.raises(UsageError, match=r"has no name .*a file of this whole name exists"):
        cameras_of(["door=0", "run=3"])


def test_cameras_come_as_text_list_or_by_name() -> None:
    two = (Camera("0", "door"), Camera("rtsp://h/x", "hall"))
    assert cameras_of(["door=0", "hall=rtsp://h/x"]) == two
    assert cameras_of({"door": "0", "hall": "rtsp://h/x"}) == two
    assert cameras_of("0") == cameras_of(["0"]) == (Camera("0"),)
    assert cameras_of("door=0") == (Camera("0", "door"),)


def test_a_sensor_is_of_all_cameras_or_of_the_one_it_names() -> None:
    cameras = ["a=0", "b=1", "c=2"]
    assert [one.sensor for one in cameras_of(cameras, "nir")] == ["nir"] * 3
    assert [one.sensor for one in cameras_of(cameras, ["b=x.yaml", "nir"])] == ["nir", "x.yaml", "nir"]
    assert [one.sensor for one in cameras_of(cameras, {"c": PRESETS["nir"]})] == [None, None, PRESETS["nir"]]


@pytest.mark.parametrize(
    ("camera", "sensor", "words"),
    [
        ([], None, "none is given"),
        ("", None, "`camera`: empty. Expected a URI"),
        (["door=0", "1"], None, "`camera=1` has no name: several cameras need one each"),
        (["a=0", "b=1", "a=2"], None, "the name a is given to two cameras"),
        (["door="], None, "nothing behind the name"),
        ({"the door": "0"}, None, "the name 'the door': expected letters, digits"),
        (["the door=0", "b=1"], None, "the name 'the door' before '=': expected letters, digits"),
        ("d\u00f6r=0", None, "expected letters, digits"),
        (["a=0", "b=/dev/video0"], None, "`camera=a=0` and `camera=b=/dev/video0` are one device, by whatever name"),
        (["a=openni2://", "b=openni2://0"], None, "are one device"),
        (["a=openni2://?register=1", "b=openni2://0"], None, "are one device"),
        (["a=realsense://", "b=realsense://"], None, "are both the first realsense camera"),
        (["a=realsense://", "b=realsense://123"], None, "may be one device. Give each its serial"),
        (["a=realsense://123", "b=realsense://123"], None, "are one device"),
        (["a=depthai://", "b=depthai://10.0.0.2"], None, "may be one device. Give each its serial"),
        (["a=orbbec://", "b=orbbec://"], None, "are both the first orbbec camera"),
        (["a=0", "b=1"], ["a=x.yaml", "a=y.yaml"], "given twice for the camera a"),
        (["a=0", "b=1"], ["x.yaml", "y.yaml"], "a second one for all cameras"),
        (["a=0", "b=1"], "c=x.yaml", "`sensor=c=x.yaml`: no camera of this name. Cameras: a, b"),
        ("0", "c=x.yaml", "Cameras: none has a name: `camera=NAME=URI`"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(camera: Any, sensor: Any, words: str) -> None:
    with pytest.raises(UsageError) as error:
        cameras_of(camera, sensor)
    assert words in str(error.value)


def test_a_link_to_a_device_is_that_device(tmp_path: Path) -> None:
    os.symlink("/dev/video7", tmp_path / "front")
    with pytest.raises(UsageError, match="are one device, by whatever name"):
        cameras_of([f"a=v4l2://{tmp_path}/front", "b=7"])


def test_what_two_may_read_at_once_is_not_refused() -> None:
    for uri in ("frames", "rtsp://host/live", "gst:videotestsrc", "replay:take", "realsense://take.bag"):
        assert len(cameras_of([f"a={uri}", f"b={uri}"])) == 2


def test_times_of_files_are_of_every_camera(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert cameras_of({"a": str(tmp_path / "a")}, times="name")[0].uri.endswith("/a?times=name")
    with pytest.raises(UsageError, match="`times=name`: only for a folder of files; `camera=0` is none"):
        cameras_of({"a": str(tmp_path / "a"), "b": "0"}, times="name")


def test_passwords_are_shown_of_no_camera() -> None:
    for camera in cameras_of(["door=rtsp://me:HUNTER2@host/live", "hall=0"]):
        assert "HUNTER2" not in camera.shown
    for wrong in (
        ["door=0", "rtsp://me:HUNTER2@host/live"],
        ["door=v4l2:///dev/video0", "hall=rtsp://me:HUNTER2@host/live", "0"],
        ["me-HUNTER2@host=x", "door=0"],
        ["door=0", "me HUNTER2@host?x=1"],
    ):
        with pytest.raises(UsageError) as error:
            cameras_of(wrong)
        assert "HUNTER2" not in str(error.value)


def test_a_sensor_of_another_kind_is_refused_with_the_cameras_name() -> None:
    camera = Camera("0", "hall", "nir")
    with pytest.raises(ConfigError, match="camera hall: `sensor`: a nir sensor cannot feed"):
        camera.spec(PRESETS["depth"])
