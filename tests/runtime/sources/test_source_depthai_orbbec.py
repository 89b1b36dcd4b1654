"""OAK and Orbbec cameras. No camera is here: what is tried are the makers' own libraries, their frames, and what they
answer where no camera is; and that all that the sources call is in them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.support.cli import cli_command, cli_environment, run_cli
from tgkt_edge.errors import MissingDependency, SourceLostError, UsageError
from tgkt_edge.runtime.sources import depthai as oak
from tgkt_edge.runtime.sources import open_source, orbbec
from tgkt_edge.sensor import PRESETS

COUNTS = np.random.default_rng(0).integers(0, 65536, (6, 8)).astype(np.uint16)
NIR = PRESETS["nir8"]


def orbbec_sdk() -> Any:
    """Orbbec's module as the source loads it: imported plainly it prints, and writes a log into the current folder."""
    try:
        return orbbec._sdk()
    except MissingDependency:
        pytest.skip("needs pyorbbecsdk2")


def called_on(module: ModuleType, name: str) -> set[str]:
    """The dotted names that a source's code takes from its library: ``dai.node.StereoDepth``."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        parts: list[str] = []
        inner: Any = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == name and parts:
            found.add(".".join(reversed(parts)))
        if parts and isinstance(inner, ast.Name) and inner.id == "self" and parts[-1] == f"_{name}":
            found.add(".".join(reversed(parts[:-1])))
    return found - {""}


def resolve(library: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        library = getattr(library, part)
    return library


def test_what_the_oak_source_calls_is_in_the_library() -> None:
    dai = pytest.importorskip("depthai", reason="needs depthai (the extra 'depthai')")
    names = called_on(oak, "dai")
    assert {"Device", "node.StereoDepth", "ImgFrame.Type.GRAY8"} <= names
    for dotted in names:
        resolve(dai, dotted)
    for kind, methods in (
        (dai.node.StereoDepth, ("build", "depth")), (dai.node.Camera, ("build", "requestOutput")),
        (dai.Node.Output, ("createOutputQueue",)), (dai.Pipeline, ("create", "start", "stop")),
        (dai.MessageQueue, ("get",)), (dai.ImgFrame, ("getFrame", "getTimestamp", "getSequenceNum")),
        (dai.Device, ("close", "getAllAvailableDevices")), (dai.DeviceInfo, ("name", "deviceId")),
    ):  # fmt: skip
        for method in methods:
            assert hasattr(kind, method), (kind, method)


def test_frames_of_the_oak_s_library_are_copied_bit_for_bit() -> None:
    dai = pytest.importorskip("depthai", reason="needs depthai (the extra 'depthai')")
    for kind, counts in (
        (dai.ImgFrame.Type.RAW16, COUNTS),
        (dai.ImgFrame.Type.GRAY8, COUNTS.astype(np.uint8)),
    ):
        message = dai.ImgFrame()
        message.setType(kind)
        message.setWidth(8)
        message.setHeight(6)
        message.setStride(counts.strides[0])
        message.setData(np.ascontiguousarray(counts).view(np.uint8).ravel())
        found = oak.pixels_of(message)
        assert found.dtype == counts.dtype
        np.testing.assert_array_equal(found, counts)
        assert found.flags.owndata


@pytest.mark.slow
def test_without_an_oak_it_is_said_and_stdout_stays_for_records(tmp_path: Path) -> None:
    pytest.importorskip("depthai", reason="needs depthai (the extra 'depthai')")
    done = run_cli(
        "record",
        "--camera",
        "depthai://",
        "--sensor",
        "depth",
        "-o",
        tmp_path / "out",
        DEPTHAI_SEARCH_TIMEOUT="300",
    )
    assert done.code == 5
    assert "depthai://: No available devices. Cameras here: none. Check cable and power" in done.stderr
    assert done.records == []
    assert not (tmp_path / "out").exists()


def test_what_an_oak_cannot_deliver_is_refused() -> None:
    pytest.importorskip("depthai", reason="needs depthai (the extra 'depthai')")
    for preset in ("nir", "lepton", "depth-m"):
        with pytest.raises(
            SourceLostError, match=r"depthai://.*(delivers depth|the device says 0\.001|unit_m)"
        ):
            open_source("depthai://", PRESETS[preset])
    with pytest.raises(
        SourceLostError, match=r"the device says 0\.001 m a count, but the SensorSpec says unit_m: 0\.0002"
    ):
        open_source("depthai://", PRESETS["tum"])
    with pytest.raises(UsageError, match="`loop=True`"):
        open_source("depthai://", PRESETS["depth"], loop=True)


def test_what_the_orbbec_source_calls_is_in_the_library() -> None:
    ob = orbbec_sdk()
    names = called_on(orbbec, "ob")
    assert {"Context", "OBFormat.Y16", "OBSensorType", "OBError"} <= names
    for dotted in names:
        resolve(ob, dotted)
    for kind, methods in (
        (ob.Context, ("query_devices",)), (ob.Config, ("enable_stream",)),
        (ob.DeviceList, ("get_count", "get_device_by_index", "get_device_by_serial_number")),
        (ob.DeviceList, ("get_device_serial_number_by_index",)),
        (ob.Pipeline, ("get_stream_profile_list", "start", "stop", "wait_for_frames")),
        (ob.StreamProfileList, ("get_video_stream_profile",)), (ob.SensorList, ("get_count", "get_type_by_index")),
        (ob.FrameSet, ("get_depth_frame", "get_ir_frame", "get_left_ir_frame")), (ob.Device, ("get_sensor_list",)),
        (ob.DepthFrame, ("get_depth_scale", "get_data", "get_data_size", "get_index", "get_system_timestamp_us")),
        (ob.OBSensorType, ("DEPTH_SENSOR", "IR_SENSOR", "LEFT_IR_SENSOR")),
    ):  # fmt: skip
        for method in methods:
            assert hasattr(kind, method), (kind, method)


def test_frames_of_orbbec_s_library_are_copied_bit_for_bit_with_their_unit() -> None:
    ob = orbbec_sdk()
    frame = ob.Frame.create_video_frame(ob.OBFrameType.DEPTH_FRAME, ob.OBFormat.Y16, 8, 6, 16)
    frame.update_data(COUNTS.view(np.uint8).ravel())
    depth = frame.as_depth_frame()
    depth.set_value_scale(0.25)
    assert orbbec.unit_of(depth) == 0.00025
    found = orbbec.pixels_of(depth, PRESETS["depth"])
    assert found is not None
    np.testing.assert_array_equal(found, COUNTS)
    assert orbbec.pixels_of(depth, NIR) is None  # another number of bytes than 8 bits need


@pytest.mark.slow
def test_without_an_orbbec_camera_it_is_said_and_nothing_else_is_written(tmp_path: Path) -> None:
    orbbec_sdk()
    command = cli_command("record", "--camera", "orbbec://AB12", "--sensor", "depth", "-o", tmp_path / "out")
    done = subprocess.run(
        command, env=cli_environment(), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 5
    assert "orbbec://AB12: no such Orbbec camera. Here: none" in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []  # its library would write a log into the current folder


def test_without_orbbec_s_library_it_is_said_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "pyorbbecsdk.py").write_text("raise ModuleNotFoundError('none', name='pyorbbecsdk')\n")
    program = (
        "from tgkt_edge.errors import MissingDependency\nfrom tgkt_edge.runtime import open_source\n"
        "from tgkt_edge.sensor import PRESETS\ntry:\n    open_source('orbbec://', PRESETS['depth'])\n"
        "except MissingDependency as error:\n    print(error.exit_code, error)\n"
    )
    path = f"{tmp_path}:{cli_environment()['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-c", program], env=cli_environment(PYTHONPATH=path), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.startswith("6 ")
    assert "pip install --no-deps pyorbbecsdk2" in done.stdout
