"""Recordings as Azure Kinect's recorder writes them, by Microsoft's description: tracks, calibration, clusters."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.sensor import Extrinsics

DATE = 720_000_000_000_000_000  # nanoseconds since 2001: 2023-10-26


def element(number: int, data: bytes, *, unknown: bool = False) -> bytes:
    """One EBML element; ``unknown``: its size is not written, as in a recording that was never ended."""
    name = number.to_bytes((number.bit_length() + 7) // 8, "big")
    if unknown:
        return name + b"\x01" + b"\xff" * 7 + data
    return name + (len(data) | 1 << 56).to_bytes(8, "big") + data


def number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def track(index: int, name: str, fourcc: str, width: int, height: int) -> bytes:
    header = struct.pack("<IiiHH4sI16x", 0, width, height, 1, 16, fourcc.encode(), 0)
    video = element(0xB0, number(width)) + element(0xBA, number(height))
    return element(
        0xAE,
        element(0xD7, number(index)) + element(0x73C5, number(index + 1000)) + element(0x83, b"\x01")
        + element(0x536E, name.encode()) + element(0x86, b"V_MS/VFW/FOURCC") + element(0x63A2, header)
        + element(0xE0, video),
    )  # fmt: skip


def coded(picture: NDArray[Any], fourcc: str) -> bytes:
    """A frame as its track holds it."""
    if fourcc == "b16g":
        return picture.astype(">u2").tobytes()
    if fourcc == "MJPG":
        return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    if fourcc == "BGRA":
        return cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA).tobytes()
    height, width = picture.shape[:2]
    yuv = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    if fourcc == "NV12":
        chroma = yuv[height:].reshape(2, -1).T
        return yuv[:height].tobytes() + np.ascontiguousarray(chroma).tobytes()
    assert fourcc == "YUY2"
    half = [np.repeat(plane.reshape(height // 2, width // 2), 2, 0) for plane in yuv[height:].reshape(2, -1)]
    packed = np.empty((height, width, 2), np.uint8)
    packed[..., 0], packed[:, ::2, 1], packed[:, 1::2, 1] = yuv[:height], *half
    return packed.tobytes()


def calibration(
    depth: list[float], color: list[float], pose: Extrinsics, sensor: tuple[int, int] = (4096, 3072)
) -> bytes:
    """``calibration.json``: cx, cy, fx, fy (unitized), k1 to k6, codx, cody, p2, p1 of both cameras."""

    def camera(purpose: str, values: list[float], size: tuple[int, int], place: Extrinsics) -> dict[str, Any]:
        return {
            "Purpose": f"CALIBRATION_CameraPurpose{purpose}",
            "Intrinsics": {
                "ModelParameterCount": 14,
                "ModelParameters": values,
                "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
            },
            "Rt": {"Rotation": list(place.rotation), "Translation": list(place.translation)},
            "SensorWidth": size[0],
            "SensorHeight": size[1],
            "MetricRadius": 1.7,
        }

    one = Extrinsics.of(np.eye(3), (0, 0, 0))
    cameras = [camera("Depth", depth, (1024, 1024), one), camera("PhotoVideo", color, sensor, pose)]
    return json.dumps({"CalibrationInformation": {"Cameras": cameras}}).encode()


Frame = tuple[int, str, NDArray[Any]]
"""Microseconds since the recording began, name of the track, picture."""


def write_kinect(
    path: Path, frames: Iterable[Frame], codecs: dict[str, str], attached: bytes = b"", *, ended: bool = True
) -> Path:
    """A recording. ``codecs``: FourCC of each track by name; ``ended``: as it is when the recorder was closed."""
    listed = list(frames)
    shapes = {name: picture.shape for _, name, picture in listed}
    tracks = b"".join(
        track(index, name, codecs[name], shapes[name][1], shapes[name][0])
        for index, name in enumerate(codecs, 1)
    )
    head = element(0x1549A966, element(0x2AD7B1, number(1000)) + element(0x4461, struct.pack(">q", DATE)))
    head += element(0x1654AE6B, tracks)
    head += element(0x1254C367, element(0x7373, element(0x63C0, b"")))  # tags
    if attached:
        file = (
            element(0x466E, b"calibration.json") + element(0x4660, b"application/octet-stream")
            + element(0x465C, attached) + element(0x46AE, number(7))
        )  # fmt: skip
        head += element(0x1941A469, element(0x61A7, file))
    clusters = b""
    indices = {name: index for index, name in enumerate(codecs, 1)}
    times = sorted({time // 30_000 for time, _, _ in listed})
    for at in times:
        begins = at * 30_000
        blocks = b""
        for order, (time, name, picture) in enumerate(listed):
            if time // 30_000 != at:
                continue
            block = (
                bytes([0x80 | indices[name]])
                + struct.pack(">hB", time - begins, 0)
                + coded(picture, codecs[name])
            )
            # Both ways in which Matroska holds a frame.
            blocks += element(0xA0, element(0xA1, block)) if order % 2 else element(0xA3, block)
        clusters += element(0x1F43B675, element(0xE7, number(begins)) + blocks, unknown=not ended)
    header = element(0x4282, b"matroska") + element(0x4287, b"\x04") + element(0x4285, b"\x02")
    path.write_bytes(element(0x1A45DFA3, header) + element(0x18538067, head + clusters, unknown=not ended))
    return path
