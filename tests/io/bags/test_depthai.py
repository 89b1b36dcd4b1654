"""Messages of Luxonis' depthai 3 in MCAP files: pixels, calibration, and damage, beside Google's protobuf."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.oak import (
    encoded_frame,
    img_frame,
    read_oak,
    transformation,
    write_oak,
)
from tests.support.two_cameras import (
    DEPTH_LENS,
    POSE,
)
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.bags.depthai import as_ros
from tgkt_edge.io.bags.open_bag import open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import PRESETS, Intrinsics

RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.integers(0, 65536, (6, 8)).astype(np.uint16)
GREY = RANDOM.integers(0, 256, (6, 8)).astype(np.uint8)
BGR = RANDOM.integers(0, 256, (6, 8, 3)).astype(np.uint8)


def read(path: Path) -> list[Any]:
    bag = open_bag(path)
    return [read_picture(message) for message in bag.messages([*bag.topics()])]


def padded(rows: NDArray[Any], more: int) -> NDArray[Any]:
    return np.pad(rows, ((0, 0), (0, more)), constant_values=7)


@pytest.mark.parametrize(
    ("kind", "pixels", "said"),
    [
        ("RAW16", COUNTS, "depth, RAW16"),
        ("RAW12", COUNTS, "infrared, mono16"),
        ("RAW8", GREY, "infrared, mono8"),
        ("GRAY8", GREY, "infrared, mono8"),
        ("BGR888i", BGR, "color, bgr8"),
        ("RGB888i", BGR[..., ::-1], "color, rgb8"),
        ("BGR888p", BGR.transpose(2, 0, 1), "color, bgr8"),
        ("RGB888p", BGR[..., ::-1].transpose(2, 0, 1), "color, bgr8"),
    ],
)
def test_pixels_are_those_of_the_message(kind: str, pixels: Any, said: str, tmp_path: Path) -> None:
    frame = img_frame(kind, np.ascontiguousarray(pixels), 50.0, size=(8, 6), stride=8 * (pixels.nbytes // 48))
    if kind.endswith("p"):
        frame.fb.stride = 8
    path = write_oak(tmp_path / "a.mcap", [frame])
    (stream,) = streams(open_bag(path))
    assert str(stream) == f"img_frame ({said}, 8x6)"
    (found,) = read(path)
    expected = COUNTS if pixels is COUNTS else GREY if pixels is GREY else BGR
    np.testing.assert_array_equal(found.pixels, expected)
    assert found.pixels.dtype == expected.dtype
    (other,) = read_oak(path)
    assert other.data == np.ascontiguousarray(pixels).tobytes()  # as Google's library reads it


@pytest.mark.parametrize("kind", ["NV12", "NV21", "YUV420p", "YUV422i"])
def test_yuv_is_converted_as_opencv_does(kind: str, tmp_path: Path) -> None:
    """Rows may be padded, and planes may begin anywhere."""
    height, width, stride = 6, 8, 12
    luma = RANDOM.integers(0, 256, (height, width)).astype(np.uint8)
    if kind == "YUV422i":
        both = RANDOM.integers(0, 256, (height, 2 * width)).astype(np.uint8)
        frame = img_frame(kind, padded(both, 4), 50.0, size=(width, height))
        expected = cv2.cvtColor(both.reshape(height, width, 2), cv2.COLOR_YUV2BGR_YUYV)
    elif kind == "YUV420p":
        u, v = RANDOM.integers(0, 256, (2, height // 2, width // 2)).astype(np.uint8)
        planes = [padded(luma, 4), np.full(5, 9, np.uint8), padded(u, 2), padded(v, 2)]
        data = np.concatenate([plane.ravel() for plane in planes])
        second = height * stride + 5
        frame = img_frame(
            kind, data, 50.0, size=(width, height), stride=stride, p2Offset=second, p3Offset=second + 3 * 6
        )
        whole = np.concatenate([luma.ravel(), u.ravel(), v.ravel()]).reshape(9, width)
        expected = cv2.cvtColor(whole, cv2.COLOR_YUV2BGR_I420)
    else:
        chroma = RANDOM.integers(0, 256, (height // 2, width)).astype(np.uint8)
        data = np.concatenate([padded(luma, 4).ravel(), np.zeros(30, np.uint8), padded(chroma, 4).ravel()])
        frame = img_frame(
            kind, data, 50.0, size=(width, height), stride=stride, p2Offset=height * stride + 30
        )
        code = cv2.COLOR_YUV2BGR_NV12 if kind == "NV12" else cv2.COLOR_YUV2BGR_NV21
        expected = cv2.cvtColor(np.concatenate([luma, chroma]), code)
    (found,) = read(write_oak(tmp_path / "a.mcap", [frame]))
    np.testing.assert_array_equal(found.pixels, expected)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    empty = img_frame("RAW16", COUNTS, 50.0)
    empty.ClearField("data")
    short = img_frame("RAW16", COUNTS, 50.0)
    short.data = short.data[:-1]
    odd = img_frame("NV12", GREY, 50.0, size=(7, 6))
    for number, (frame, words) in enumerate(
        [
            (
                img_frame("PACK10", COUNTS, 50.0),
                r"has the pixel format PACK10, which is not read; expected RAW16",
            ),
            (empty, r"holds no pixels: depthai's RecordVideo writes them into a video .* RecordMetadataOnly"),
            (short, r"is damaged: 95 bytes, 6 rows of 16"),
            (odd, r"is damaged: .*7x6 pixels of NV12, which has even sizes only"),
            (img_frame("NV12", GREY, 50.0), r"is damaged: its message is no dai\.proto\.img_frame\.ImgFrame"),
            (encoded_frame(b"\0\0\0\1", (8, 6), 50.0, profile=1), r"holds H\.264 video, which is not read"),
            (encoded_frame(b"no JPEG", (8, 6), 50.0), r"damaged or not an image"),
        ]
    ):
        path = write_oak(tmp_path / f"{number}.mcap", [frame])
        with pytest.raises(DataError, match=words):
            read(path)
        with pytest.raises(
            DataError, match=rf"holds no topic of depth pictures.*Not read: img_frame .*{words}"
        ):
            import_data(path, tmp_path / "out", sensor="depth")


def test_what_counts_mean_has_to_be_said(tmp_path: Path) -> None:
    """RAW16 is depth in millimetres, or disparity, or infrared: the message does not say which."""
    path = write_oak(tmp_path / "a.mcap", [img_frame("RAW16", COUNTS, 50.0)])
    with pytest.raises(
        UsageError, match=r"`sensor` is missing: .*img_frame \(depth, RAW16, 8x6\).*`sensor=depth`"
    ):
        import_data(path, tmp_path / "out")
    assert import_data(path, tmp_path / "out", sensor="depth").frames == 1
    assert import_data(path, tmp_path / "nir", sensor="nir", topic="img_frame").frames == 1
    with open_source(f"{path}?topic=img_frame", PRESETS["depth"]) as source:
        captured = source.read()
    assert captured is not None
    np.testing.assert_array_equal(captured.frame, COUNTS)


@pytest.mark.parametrize(
    ("model", "coefficients", "said"),
    [
        (0, (), None),
        (0, (0.1, -0.2, 0.01, 0.02, 0.3, 0, 0, 0, 0, 0, 0, 0, 0, 0), "rational_polynomial"),
        (1, (0.1, -0.2, 0.01, 0.02, 0, 0, 0, 0), "equidistant"),
    ],
)
def test_distortion_is_carried_along(
    model: int, coefficients: tuple[float, ...], said: str | None, tmp_path: Path
) -> None:
    camera = Intrinsics(500.0, 501.0, 4.0, 3.0, coefficients, "any")
    told = transformation(camera, (8, 6), model=model)
    (stream,) = streams(open_bag(write_oak(tmp_path / "a.mcap", [img_frame("RAW16", COUNTS, 1, told=told)])))
    assert stream.camera is not None
    assert stream.camera.model == said
    kept = coefficients[:4] if model else coefficients
    assert stream.camera.distortion == pytest.approx(kept)
    turned = transformation(camera, (8, 6), model=2 if coefficients else model)
    turned.transformationMatrix.arrays[0].values[:] = [-1, 0, 7]  # mirrored: no camera of a SensorSpec
    frame = img_frame("RAW16", COUNTS, 1, told=turned)
    (stream,) = streams(open_bag(write_oak(tmp_path / "b.mcap", [frame])))
    assert stream.camera is None


def test_damaged_messages_end_with_a_word() -> None:
    told = transformation(DEPTH_LENS, (8, 6), place=POSE)
    whole, damaged = 0, set()
    for frame in (
        img_frame("RAW16", COUNTS, 1, told=told), img_frame("NV12", np.tile(GREY, (2, 1)), 1, size=(8, 6)),
        encoded_frame(b"\xff\xd8\xff", (8, 6), 1, told=told),
    ):  # fmt: skip
        data = frame.SerializeToString()
        for _ in range(400):
            held = bytearray(data)
            held[RANDOM.integers(0, len(held))] = RANDOM.integers(0, 256)
            end = len(held) if RANDOM.random() < 0.7 else RANDOM.integers(0, len(held))
            try:
                as_ros(frame.DESCRIPTOR.full_name, bytes(held[:end]))
                whole += 1
            except DataError as error:
                damaged.add(" ".join(str(error).split(" ")[:2]))
    assert whole > 200
    assert (
        {"is damaged:"}
        < damaged
        <= {"is damaged:", "holds no", "has the", "holds H.264", "holds H.265", "holds profile"}
    )


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


@pytest.mark.parametrize("far", [-1, 1 << 31, 1 << 62, (1 << 69) + 5])
@pytest.mark.parametrize("field", [1, 2, 3, 4, 6, 7, 8])  # type, width, height, stride, where planes begin
def test_numbers_that_no_picture_has_end_with_a_word(field: int, far: int) -> None:
    whole = img_frame(
        "YUV420p", np.zeros(80, np.uint8), 50.0, size=(8, 6), stride=8, p2Offset=48, p3Offset=60
    )
    specs = whole.fb.SerializeToString() + varint(field << 3) + varint(far % (1 << 70))  # the last one counts
    whole.ClearField("fb")
    data = whole.SerializeToString() + b"\x22" + varint(len(specs)) + specs
    with pytest.raises(DataError, match=r"is damaged|has the pixel format|pixels"):
        as_ros(whole.DESCRIPTOR.full_name, data)
