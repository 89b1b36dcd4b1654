"""Recordings as rosbags writes them: ROS 1 in three packings, ROS 2 as SQLite and as MCAP."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer as Rosbag1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Rosbag2Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from tgkt_edge.io.bags.open_bag import open_bag
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.sensor import Extrinsics

RANDOM = np.random.default_rng(8)
DEPTH = RANDOM.integers(0, 65536, (24, 34)).astype(np.uint16)
METRES = RANDOM.normal(2, 1, (24, 34)).astype(np.float32)
METRES[0, :3] = [np.nan, np.inf, 0]
GREY = RANDOM.integers(0, 256, (24, 34)).astype(np.uint8)
BGR = RANDOM.integers(0, 256, (24, 34, 3)).astype(np.uint8)
HOLED = np.where(RANDOM.random(DEPTH.shape) < 0.4, 0, DEPTH).astype(np.uint16)
MATRIX, DISTORTION = [30, 0, 16.5, 0, 31, 11.5, 0, 0, 1], [0.1, -0.2, 0.01, 0.02, 0.3]

KINDS = ("bag", "bag.bz2", "bag.lz4", "db3", "mcap")

Sent = tuple[str, float, Any]
"""Topic, Unix seconds at which it was recorded, and the message."""


class BagMaker:
    """Makes messages of one ROS and writes them down."""

    def __init__(self, kind: str) -> None:
        self.kind, self.ros1 = kind, kind.startswith("bag")
        self.store: Any = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        self._sequence = 0
        self.frame = "camera"
        self.tail = b""  # what follows each picture's message

    def _of(self, name: str, **fields: Any) -> Any:
        return self.store.types[name](**fields)

    def header(self, stamp: float) -> Any:
        nanoseconds = round(stamp * 1e9)
        time = self._of("builtin_interfaces/msg/Time", sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        self._sequence += 1
        more = {"seq": self._sequence} if self.ros1 else {}
        return self._of("std_msgs/msg/Header", stamp=time, frame_id=self.frame, **more)

    def image(self, pixels: NDArray[Any], encoding: str, stamp: float, padding: int = 0) -> Any:
        """A picture; big-endian where ``pixels`` are; ``padding`` bytes behind each row."""
        rows = np.ascontiguousarray(pixels.reshape(len(pixels), -1))
        padded = np.pad(rows.view(np.uint8), ((0, 0), (0, padding)), constant_values=7)
        return self._of(
            "sensor_msgs/msg/Image", header=self.header(stamp), height=pixels.shape[0], width=pixels.shape[1],
            encoding=encoding, is_bigendian=int(pixels.dtype.byteorder == ">"), step=padded.shape[1],
            data=padded.ravel(),
        )  # fmt: skip

    def compressed(self, data: bytes, form: str, stamp: float) -> Any:
        return self._of(
            "sensor_msgs/msg/CompressedImage", header=self.header(stamp), format=form,
            data=np.frombuffer(data, np.uint8),
        )  # fmt: skip

    def info(
        self, size: tuple[int, int], matrix: Iterable[float], distortion: Iterable[float], stamp: float
    ) -> Any:
        roi = self._of(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        names = "DKRP" if self.ros1 else "dkrp"
        values = (list(distortion), list(matrix), np.eye(3).ravel(), np.eye(3, 4).ravel())
        arrays = {name: np.asarray(value, np.float64) for name, value in zip(names, values, strict=True)}
        return self._of(
            "sensor_msgs/msg/CameraInfo", header=self.header(stamp), height=size[1], width=size[0],
            distortion_model="plumb_bob", binning_x=0, binning_y=0, roi=roi, **arrays,
        )  # fmt: skip

    def transforms(self, known: Iterable[tuple[str, str, Extrinsics]]) -> Any:
        """Parent, child and where the child's points are in the parent's axes, as /tf_static has them."""
        name = "tf2_msgs/msg/TFMessage"
        if name not in self.store.types:
            self.store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", name))
        stamped = []
        for parent, child, pose in known:
            self.frame = parent
            stamped.append(
                self._of(
                    "geometry_msgs/msg/TransformStamped", header=self.header(0.0), child_frame_id=child,
                    transform=self.transform(pose),
                )
            )  # fmt: skip
        return self._of(name, transforms=stamped)

    def transform(self, pose: Extrinsics) -> Any:
        axis = cv2.Rodrigues(pose.matrix)[0].ravel()
        angle = float(np.linalg.norm(axis))
        x, y, z = axis / max(angle, 1e-12) * np.sin(angle / 2)
        turn = self._of("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=float(np.cos(angle / 2)))
        x, y, z = pose.translation
        move = self._of("geometry_msgs/msg/Vector3", x=x, y=y, z=z)
        return self._of("geometry_msgs/msg/Transform", translation=move, rotation=turn)

    def realsense_extrinsics(self, pose: Extrinsics) -> Any:
        """As realsense-ros publishes them: the rotation column by column; in ROS 1 with a header."""
        package = "realsense2_camera" if self.ros1 else "realsense2_camera_msgs"
        name, fields = f"{package}/msg/Extrinsics", "float64[9] rotation\nfloat64[3] translation"
        more: dict[str, Any] = {}
        if self.ros1:
            fields, more = f"std_msgs/Header header\n{fields}", {"header": self.header(0.0)}
        self.store.register(get_types_from_msg(fields, name))
        return self._of(name, rotation=pose.matrix.T.ravel(), translation=np.array(pose.translation), **more)

    def text(self, words: str) -> Any:
        return self._of("std_msgs/msg/String", data=words)

    def write(self, folder: Path, sent: Iterable[Sent], silent: Iterable[str] = ()) -> Path:
        """The recording's file. ``silent``: topics of pictures that are known and have no message."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "a.bag"
        writer: Any
        if self.ros1:
            writer = Rosbag1Writer(path)
            if self.kind != "bag":
                writer.set_compression(getattr(Rosbag1Writer.CompressionFormat, self.kind[4:].upper()))
        else:
            plugin = StoragePlugin.MCAP if self.kind == "mcap" else StoragePlugin.SQLITE3
            writer = Rosbag2Writer(folder / "rec", version=9, storage_plugin=plugin)
        with writer:
            connections: dict[str, Any] = {
                topic: writer.add_connection(topic, "sensor_msgs/msg/Image", typestore=self.store)
                for topic in silent
            }
            for topic, received, content in sent:
                kind = content.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
                serialize = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
                data = bytes(serialize(content, kind)) + (self.tail if kind.endswith("/Image") else b"")
                writer.write(connections[topic], round(received * 1e9), data)
        if self.ros1:
            return path
        (found,) = (folder / "rec").glob(f"*.{self.kind}")
        return found


def pictures(path: Path, topic: str) -> list[Any]:
    """All pictures of a topic of a recording that is whole."""
    bag = open_bag(path)
    found = [read_picture(message) for message in bag.messages([topic])]
    assert bag.problem == ""
    return found


def compressed_depth(counts: NDArray[Any], a: float = 0.0, b: float = 0.0) -> bytes:
    """uint16 counts as compressed_depth_image_transport sends them, with its parameters A and B."""
    return struct.pack("<iff", 0, a, b) + cv2.imencode(".png", counts)[1].tobytes()
