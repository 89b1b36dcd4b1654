"""MCAP files as depthai 3 writes them: the schemas of its protos/ folder, one channel a file, chunks packed by lz4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from tests.support.protos import Protos, classes_of, message_classes
from tgkt_edge.sensor import Extrinsics, Intrinsics

COMMON, FRAME, ENCODED = "dai.proto.common", "dai.proto.img_frame", "dai.proto.encoded_frame"
PROTOS: Protos = {
    f"{COMMON}.Timestamp": [("sec", 1, "int64"), ("nsec", 2, "int64")],
    f"{COMMON}.Point3f": [("x", 1, "float"), ("y", 2, "float"), ("z", 3, "float")],
    f"{COMMON}.FloatArray": [("values", 1, "float*")],
    f"{COMMON}.TransformationMatrix": [("arrays", 1, f"{COMMON}.FloatArray*")],
    f"{COMMON}.Extrinsics": [
        ("rotationMatrix", 1, f"{COMMON}.TransformationMatrix"), ("translation", 2, f"{COMMON}.Point3f"),
        ("specTranslation", 3, f"{COMMON}.Point3f"), ("toCameraSocket", 4, "enum"), ("lengthUnit", 5, "enum"),
    ],
    f"{COMMON}.ImgTransformation": [
        ("transformationMatrix", 1, f"{COMMON}.TransformationMatrix"),
        ("sourceIntrinsicMatrix", 2, f"{COMMON}.TransformationMatrix"), ("distortionModel", 3, "enum"),
        ("distortionCoefficients", 4, f"{COMMON}.FloatArray"), ("srcWidth", 5, "uint32"),
        ("srcHeight", 6, "uint32"), ("width", 7, "uint32"), ("height", 8, "uint32"),
        ("extrinsics", 9, f"{COMMON}.Extrinsics"),
    ],
    f"{FRAME}.Specs": [
        ("type", 1, "enum"), ("width", 2, "uint32"), ("height", 3, "uint32"), ("stride", 4, "uint32"),
        ("bytesPP", 5, "uint32"), ("p1Offset", 6, "uint32"), ("p2Offset", 7, "uint32"), ("p3Offset", 8, "uint32"),
    ],
    f"{FRAME}.ImgFrame": [
        ("ts", 1, f"{COMMON}.Timestamp"), ("tsDevice", 2, f"{COMMON}.Timestamp"), ("sequenceNum", 3, "int64"),
        ("fb", 4, f"{FRAME}.Specs"), ("sourceFb", 5, f"{FRAME}.Specs"), ("HFovDegrees", 7, "float"),
        ("instanceNum", 8, "uint32"), ("transformation", 9, f"{COMMON}.ImgTransformation"),
        ("category", 10, "uint32"), ("data", 11, "bytes"),
    ],
    f"{ENCODED}.EncodedFrame": [
        ("width", 3, "uint32"), ("height", 4, "uint32"), ("profile", 7, "enum"), ("lossless", 8, "bool"),
        ("sequenceNum", 12, "int64"), ("ts", 13, f"{COMMON}.Timestamp"), ("tsDevice", 14, f"{COMMON}.Timestamp"),
        ("transformation", 15, f"{COMMON}.ImgTransformation"), ("data", 16, "bytes"),
    ],
}  # fmt: skip
CLASSES, DESCRIPTORS = message_classes(PROTOS, "proto")
TYPES = {
    "BGR888p": 8, "BGR888i": 10, "RGB888i": 9, "RGB888p": 7, "RAW16": 14, "RAW12": 16, "RAW8": 18, "NV12": 22,
    "NV21": 23, "YUV420p": 2, "YUV422i": 0, "GRAY8": 30, "PACK10": 19,
}  # fmt: skip
BEGAN = 1_790_000_000.0
"""Unix seconds at which the computer that records was started: depthai's clock counts from it."""
LATE = 0.04
"""Seconds that a frame needs until it is written."""


def at(seconds: float) -> Any:
    whole = int(seconds)
    return CLASSES[f"{COMMON}.Timestamp"](sec=whole, nsec=round((seconds - whole) * 1e9))


def img_frame(
    kind: str, pixels: NDArray[Any], taken: float, *, size: tuple[int, int] | None = None, told: Any = None,
    **specs: int,
) -> Any:  # fmt: skip
    """An ImgFrame of the bytes of ``pixels``; ``size``: its (width, height), if not those of ``pixels``."""
    width, height = size or (pixels.shape[1], pixels.shape[0])
    stride = specs.pop("stride", pixels.strides[0] if pixels.ndim > 1 else width)
    fb = CLASSES[f"{FRAME}.Specs"](
        type=TYPES[kind], width=width, height=height, stride=stride, bytesPP=pixels.itemsize, **specs
    )
    return CLASSES[f"{FRAME}.ImgFrame"](
        ts=at(taken), tsDevice=at(taken + 7), sequenceNum=3, fb=fb, sourceFb=fb, transformation=told,
        data=np.ascontiguousarray(pixels).tobytes(),
    )  # fmt: skip


def encoded_frame(
    data: bytes, size: tuple[int, int], taken: float, profile: int = 0, told: Any = None
) -> Any:
    return CLASSES[f"{ENCODED}.EncodedFrame"](
        ts=at(taken), width=size[0], height=size[1], profile=profile, data=data, transformation=told
    )


def matrix(rows: Any) -> Any:
    arrays = [CLASSES[f"{COMMON}.FloatArray"](values=row) for row in np.asarray(rows, np.float64).tolist()]
    return CLASSES[f"{COMMON}.TransformationMatrix"](arrays=arrays)


def transformation(
    camera: Intrinsics, size: tuple[int, int], scale: float = 1.0, place: Extrinsics | None = None, unit: int = 1,
    model: int = 0,
) -> Any:  # fmt: skip
    """What a frame tells of its camera: the sensor is ``scale`` times finer than the frame; ``place`` is where the
    camera is to that of socket 0, in centimetres (``unit`` 1)."""
    source = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1 / scale]]) * scale
    there = None
    if place is not None:
        x, y, z = (value / {0: 1.0, 1: 0.01, 2: 0.001}[unit] for value in place.translation)
        there = CLASSES[f"{COMMON}.Extrinsics"](
            rotationMatrix=matrix(place.matrix), translation=CLASSES[f"{COMMON}.Point3f"](x=x, y=y, z=z),
            lengthUnit=unit,
        )  # fmt: skip
    return CLASSES[f"{COMMON}.ImgTransformation"](
        transformationMatrix=matrix(np.diag([1 / scale, 1 / scale, 1])), sourceIntrinsicMatrix=matrix(source),
        distortionModel=model, distortionCoefficients=CLASSES[f"{COMMON}.FloatArray"](values=camera.distortion),
        srcWidth=round(size[0] * scale), srcHeight=round(size[1] * scale), width=size[0], height=size[1],
        extrinsics=there,
    )  # fmt: skip


def write_oak(path: Path, frames: list[Any], channel: str = "img_frame") -> Path:
    """A file of RecordMetadataOnly: all messages of one kind, each recorded :data:`LATE` after it was taken."""
    with path.open("wb") as file:
        writer: Any = Writer(file, compression=CompressionType.LZ4)
        writer.start("protobuf", "depthai3")
        schema = writer.register_schema(frames[0].DESCRIPTOR.full_name, "protobuf", DESCRIPTORS)
        known = writer.register_channel(channel, "protobuf", schema)
        for number, frame in enumerate(frames):
            written = round((BEGAN + frame.ts.sec + LATE) * 1e9) + frame.ts.nsec
            writer.add_message(known, written, frame.SerializeToString(), written, number)
        writer.finish()
    return path


def read_oak(path: Path) -> list[Any]:
    """The messages by mcap and Google's library, with the schema that the file holds."""
    with path.open("rb") as file:
        found = [(schema, message.data) for schema, _, message in make_reader(file).iter_messages() if schema]
    return [classes_of(schema.data, [schema.name])[schema.name].FromString(data) for schema, data in found]
