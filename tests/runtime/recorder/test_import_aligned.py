"""``data import --align``: cameras of recordings and files, told in every way that is read; what is missing, named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.support.bags import BagMaker, Sent
from tests.support.two_cameras import (
    COLOR_CAMERA,
    COLOR_LENS,
    COLOR_SIZE,
    DEPTH_CAMERA,
    DEPTH_LENS,
    DEPTH_SIZE,
    POSE,
    look,
    millimetres,
    off,
    painted,
)
from tgkt_edge.cli.main import app
from tgkt_edge.errors import ConfigError, DataError, UsageError
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import Extrinsics, Intrinsics
from tgkt_edge.sensor.extrinsics import IDENTITY

NAMES = (
    "/camera/depth/image_raw",
    "/camera/color/image_raw",
    "/camera/depth/camera_info",
    "/camera/color/camera_info",
)
HITS = look(DEPTH_CAMERA, DEPTH_SIZE)
FRAME = millimetres(HITS, DEPTH_SIZE)
TRUTH = painted(HITS, DEPTH_SIZE, 0.3)
COLOR = painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE, 0.3)
ELSEWHERE = Extrinsics.of(cv2.Rodrigues(np.array([0.3, -1.1, 0.4]))[0], (0.4, -0.2, 0.7))

Tell = Callable[[BagMaker], list[Sent]]


def by_tf(maker: BagMaker) -> list[Sent]:
    """base -> link -> color, and base -> depth: parents' axes, with a detour over a body that is somewhere else."""
    sent = maker.transforms(
        [
            ("base", "link", ELSEWHERE.inverse),
            ("link", "color_optical", IDENTITY),
            ("base", "depth_optical", POSE.then(ELSEWHERE.inverse)),
        ]
    )
    maker.frame = "camera"
    return [("/tf_static", 1.0, sent)]


def by_realsense_ros(maker: BagMaker) -> list[Sent]:
    return [("/camera/extrinsics/depth_to_color", 1.0, maker.realsense_extrinsics(POSE))]


def matrix_of(camera: Intrinsics) -> list[float]:
    return [camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1]


def recording(
    kind: str, folder: Path, tell: Tell, infos: bool = True, names: tuple[str, ...] = NAMES, tail: bytes = b""
) -> Path:
    """``names``: of both topics, and of the CameraInfo of each; ``tail``: bytes behind each picture's message."""
    maker = BagMaker(kind)
    sent = tell(maker)
    maker.tail = tail
    for topic, info, frame, size, camera, pixels, encoding in (
        (names[0], names[2], "depth_optical", DEPTH_SIZE, DEPTH_LENS, FRAME, "16UC1"),
        (names[1], names[3], "color_optical", COLOR_SIZE, COLOR_LENS, COLOR, "bgr8"),
    ):
        maker.frame = frame
        if infos:
            sent.append((info, 1.1, maker.info(size, matrix_of(camera), [0.0] * 5, 1.1)))
        sent.append((topic, 1.2, maker.image(pixels, encoding, 1.2)))
    return maker.write(folder, sent)


def aligned(folder: Path) -> NDArray[Any]:
    rgb = cv2.imread(str(folder / "rgb/000000.png"))
    assert rgb is not None
    return rgb


def lies_on_its_depth(folder: Path) -> bool:
    rgb = aligned(folder)
    return rgb.shape == TRUTH.shape and off(rgb, TRUTH, rgb.any(-1)) < 0.01


@pytest.mark.parametrize("tell", [by_tf, by_realsense_ros])
@pytest.mark.parametrize("kind", ["bag", "mcap"])
def test_cameras_of_a_recording(kind: str, tell: Tell, tmp_path: Path) -> None:
    summary = import_data(recording(kind, tmp_path / "in", tell), tmp_path / "out", align=True)
    assert (summary.frames, summary.bad) == (1, 0)
    assert lies_on_its_depth(tmp_path / "out")
    (line,) = map(json.loads, (tmp_path / "out/frames.jsonl").read_text().splitlines())
    assert line["aligned"] == summary.aligned
    assert summary.aligned is not None
    assert sum(summary.aligned.values()) == pytest.approx(1, abs=1e-3)
    assert "RGB aligned: 9" in summary.text()
    frame = cv2.imread(str(tmp_path / "out/frame/000000.png"), cv2.IMREAD_UNCHANGED)
    assert frame is not None
    np.testing.assert_array_equal(frame, FRAME)  # the depth stays as it is
    import_data(recording(kind, tmp_path / "in2", tell), tmp_path / "plain", pair=True)
    assert aligned(tmp_path / "plain").shape == COLOR.shape  # nothing is aligned that nobody asked for


def test_librealsense_s_own_transforms(tmp_path: Path) -> None:
    """As librealsense 2.54's recorder writes them: each stream from one reference, and images with four bytes more."""
    depth, color = "/device_0/sensor_0/Depth_0", "/device_0/sensor_1/Color_0"

    def tell(maker: BagMaker) -> list[Sent]:
        reference = ELSEWHERE  # of neither camera
        return [
            (f"{depth}/tf/1", 1.0, maker.transform(reference)),
            (f"{color}/tf/1", 1.0, maker.transform(reference.then(POSE))),
        ]

    names = tuple(
        f"{stream}/{rest}" for rest in ("image/data", "info/camera_info") for stream in (depth, color)
    )
    path = recording("bag", tmp_path / "in", tell, names=names, tail=bytes(4))
    import_data(path, tmp_path / "out", align=True)
    assert lies_on_its_depth(tmp_path / "out")


def rig_file(path: Path, **over: Any) -> Path:
    values: dict[str, Any] = {
        "rotation": POSE.matrix.tolist(),
        "translation": list(POSE.translation),
        "depth": {**dataclasses.asdict(DEPTH_LENS), "size": list(DEPTH_SIZE)},
        "color": {**dataclasses.asdict(COLOR_LENS), "size": list(COLOR_SIZE)},
    }
    for camera in (values["depth"], values["color"]):
        camera["distortion"] = list(camera["distortion"])
        camera.pop("model")
    values |= over
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
    return path


def test_files_with_cameras_that_a_person_knows(tmp_path: Path) -> None:
    for name, pixels in (("depth", FRAME), ("rgb", COLOR)):
        (tmp_path / "in" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "in" / name / "1.500.png"), pixels)
    done = CliRunner().invoke(
        app,
        ["data", "import", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--sensor", "depth", "--align",
         "--extrinsics", str(rig_file(tmp_path / "rig.yaml"))],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert lies_on_its_depth(tmp_path / "out")
    done = CliRunner().invoke(
        app,
        ["data", "import", str(tmp_path / "in"), "-o", str(tmp_path / "b"), "--sensor", "depth", "--align"],
    )
    assert done.exit_code == 2
    text = " ".join(done.output.split())
    assert (
        "--align needs the intrinsics of the depth camera and the intrinsics of the color camera and where"
        in text
    )
    assert "Files say nothing of their cameras. Give them with --extrinsics FILE" in text
    assert not (tmp_path / "b").exists()


def test_a_recording_without_calibration_is_completed_by_a_file(tmp_path: Path) -> None:
    path = recording("mcap", tmp_path / "in", lambda _: [])
    with pytest.raises(
        DataError,
        match=r"`align` needs where the two cameras are to each other, which are not known\. Looked for CameraInfo",
    ):
        import_data(path, tmp_path / "out", align=True)
    bare = recording("mcap", tmp_path / "bare", by_tf, infos=False)
    with pytest.raises(
        DataError,
        match="needs the intrinsics of the depth camera and the intrinsics of the color camera, which",
    ):
        import_data(bare, tmp_path / "out", align=True)
    pose_only = rig_file(tmp_path / "pose.yaml", depth=None, color=None)
    import_data(path, tmp_path / "out", align=True, extrinsics=pose_only)
    assert lies_on_its_depth(tmp_path / "out")
    import_data(bare, tmp_path / "other", align=True, extrinsics=rig_file(tmp_path / "all.yaml"))
    assert lies_on_its_depth(tmp_path / "other")


def test_cameras_that_move_to_each_other_are_refused(tmp_path: Path) -> None:
    def tell(maker: BagMaker) -> list[Sent]:
        turned = Extrinsics.of(cv2.Rodrigues(np.array([0.0, 0.2, 0.0]))[0], (0, 0, 0))
        return [
            ("/tf", 1.0 + n, maker.transforms([("depth_optical", "color_optical", pose)]))
            for n, pose in enumerate((IDENTITY, turned))
        ]

    with pytest.raises(
        DataError, match=r"depth_optical and color_optical, between .*, move to each other in /tf"
    ):
        import_data(recording("mcap", tmp_path / "in", tell), tmp_path / "out", align=True)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"rotation": None}, "expected rotation and translation together"),
        ({"rotation": [1, 0, 0, 0, 1, 0, 0, 0, 2]}, "is no rotation"),
        ({"rotation": [1, 0, 0]}, "expected nine numbers, row by row, or a quaternion x, y, z, w"),
        ({"rotation": [0, 0, 0, 2]}, "expected a quaternion of length 1"),
        ({"translation": [15.0, 0, 0]}, "are these millimetres"),
        ({"translation": ["a", 0, 0]}, "expected three metres"),
        ({"depth": {"fx": 1}}, "depth: intrinsics: fy, cx, cy missing"),
        ({"color": {"fx": 1, "size": [0, 2]}}, r"color: size = \[0, 2\]: expected \[width, height\]"),
        ({"colour": {}}, "unknown field 'colour'. Known fields: rotation, translation, depth, color"),
    ],
)
def test_a_file_of_cameras_that_cannot_be_is_refused(
    over: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = recording("mcap", tmp_path / "in", lambda _: [])
    with pytest.raises(ConfigError, match=rf"rig\.yaml: .*{words}"):
        import_data(path, tmp_path / "out", align=True, extrinsics=rig_file(tmp_path / "rig.yaml", **over))
    with pytest.raises(UsageError, match=r"`extrinsics=.*` says how to `align`: give both, or neither"):
        import_data(path, tmp_path / "out", pair=True, extrinsics=tmp_path / "rig.yaml")
    assert not (tmp_path / "out").exists()


def test_cameras_of_another_mode_are_refused(tmp_path: Path) -> None:
    values = yaml.safe_load(rig_file(tmp_path / "rig.yaml").read_text())
    values["color"]["size"] = [1280, 720]
    (tmp_path / "rig.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(DataError, match=r"no message of .* can be used \(1 bad\)"):
        import_data(
            recording("mcap", tmp_path / "in", lambda _: []), tmp_path / "out", align=True,
            extrinsics=tmp_path / "rig.yaml",
        )  # fmt: skip
