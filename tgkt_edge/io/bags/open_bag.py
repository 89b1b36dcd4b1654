"""Which kind of recording a file or folder is, and which of its topics is meant."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from tarfile import is_tarfile
from typing import Literal

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.depthai import RAW16
from tgkt_edge.io.bags.ebml import MAGIC as EBML
from tgkt_edge.io.bags.folders import SUFFIXES, open_parts, parts_of
from tgkt_edge.io.bags.matroska import Matroska, is_kinect
from tgkt_edge.io.bags.mcap_file import MCAP, McapFile
from tgkt_edge.io.bags.message import Bag, Topic
from tgkt_edge.io.bags.pictures import (
    COMPRESSED,
    INFO,
    PICTURES,
    CameraInfo,
    deserialized,
    read_intrinsics,
    read_picture,
)
from tgkt_edge.io.bags.rosbag1 import MAGIC, Rosbag1
from tgkt_edge.io.bags.rosbag2 import SQLITE, Rosbag2Sqlite
from tgkt_edge.io.bags.sens import Sens, is_sens
from tgkt_edge.sensor import Intrinsics

Role = Literal["depth", "infrared", "color", "other"]

_DEPTH, _GREY = ("16UC1", "32FC1", RAW16), ("mono16", "mono8", "8UC1")
_REALSENSE = re.compile(r"/device_\d+/")
_UNITS = re.compile(r"/device_\d+/sensor_\d+/option/Depth[_ ]Units/value")
_RECTIFIED = re.compile(r"_rect(?:_[a-z]+)?(?:/[^/]+)?$")  # image_rect, image_rect_raw, image_rect/compressed
_PACKED = (
    b"PK\3\4",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf\x27\x1c",
    b"BZh",
    b"\xfd7zXZ",
)  # zip to xz
_PROBED = 3000  # messages among which every topic that matters has had its first one


@dataclass(frozen=True)
class Stream:
    """A topic of pictures: its encoding in ROS's words, what it shows, (width, height), and its camera, if known."""

    topic: Topic
    encoding: str
    role: Role
    size: tuple[int, int]
    camera: Intrinsics | None = None

    def __str__(self) -> str:
        return f"{self.topic.name} ({self.role}, {self.encoding}, {self.size[0]}x{self.size[1]})"


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a recording of ROS or MCAP, by its content."""
    if path.is_dir():
        return bool(parts_of(path))
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return False
    if is_sens(head):
        return True
    return head.startswith((MAGIC, MCAP, SQLITE)) or (head.startswith(EBML) and is_kinect(path))


def open_bag(path: Path) -> Bag:
    """A .bag, .mcap or .db3 file, or a folder that ``ros2 bag record`` wrote.

    Raises:
        DataError: it is none of these, or empty. MissingDependency: the library that reads it is not installed.
    """
    if path.is_dir():
        parts = parts_of(path)
        if not parts:
            raise DataError(f"{path}: is no recording: expected files named {' or '.join(SUFFIXES)} in it")
        return open_parts(parts, open_bag)
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if head.startswith(MAGIC):
        return Rosbag1(path)
    if head.startswith(MCAP):
        return McapFile(path)
    if head.startswith(SQLITE):
        return Rosbag2Sqlite(path)
    if head.startswith(b"#ROSBAG"):
        raise DataError(f"{path}: is a bag of another version ({head[:13].decode('latin-1')}); expected 2.0")
    if is_sens(head):
        return Sens(path)
    if head.startswith(EBML):
        if is_kinect(path):
            return Matroska(path)
        raise DataError(
            f"{path}: is a video without a raw track of 16 bits, as Azure Kinect and Femto record them. FFV1 video is "
            f"read as it is: 'tgkt-edge run --camera {path}', and 'tgkt-edge record --camera {path} -o DIR' for adapt"
        )
    if head.startswith(_PACKED) or is_tarfile(path):
        raise DataError(f"{path}: is an archive. Unpack it, and give the folder or the recording in it")
    raise DataError(
        f"{path}: is no recording of ROS 1 (.bag), ROS 2 (.db3, .mcap) or MCAP, of Azure Kinect or Femto (.mkv), or of "
        f"ScanNet (.sens). Frames in files: give their folder"
    )


def streams(bag: Bag, *, whole: bool = False) -> list[Stream]:
    """All topics of pictures that are read, by the first message of each, with the camera of each where it was told.

    Args:
        whole: look at all messages for that, not at the first ones only.
    """
    topics = bag.topics()
    pictures = {name for name, topic in topics.items() if topic.type in PICTURES or topic.read is not None}
    infos = {name for name, topic in topics.items() if topic.type == INFO}
    found: dict[str, Stream] = {}
    unread: dict[str, str] = {}
    cameras: dict[str, CameraInfo | None] = {}
    missing = {*pictures, *infos}
    for number, message in enumerate(bag.messages([*missing])):
        name = message.topic.name
        if name in missing:
            missing.discard(name)
            try:
                if name in infos:
                    cameras[name] = read_intrinsics(message)
                else:
                    picture = read_picture(message)
                    shape = picture.pixels.shape
                    role = _role(picture.encoding, picture.pixels.ndim, name)
                    found[name] = Stream(
                        topics[name], picture.encoding, role, (shape[1], shape[0]), picture.camera
                    )
            except DataError as error:
                if name in pictures:
                    unread[name] = str(error)
        if not missing or (number >= _PROBED and not whole):
            bag.searched = not missing
            break
    else:
        bag.searched = True
    bag.unread, bag.silent = unread, sorted(missing & pictures)
    rig = bag.rig()
    return [
        _with_camera(stream, cameras) if rig is None else _with_rig(stream, rig) for stream in found.values()
    ]


def is_realsense(bag: Bag) -> bool:
    """Whether librealsense wrote the recording: its topics begin with a device's number."""
    return any(_REALSENSE.match(name) for name in bag.topics())


def recorded_unit(bag: Bag) -> float | None:
    """Metres a count of depth that the camera wrote down in its recording (RealSense, ScanNet); None: it did not.

    Raises:
        DataError: the message that says it cannot be read.
    """
    names = [name for name in bag.topics() if _UNITS.fullmatch(name)]
    if not names:
        return bag.unit_m()
    for message in bag.messages(names):
        try:
            unit = float(deserialized(message).data)
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{message.topic.name}: is no number ({error})") from error
        if 0 < unit < 1:
            return float(f"{unit:.6g}")  # it was float32
    return None


def choose(
    bag: Bag, known: list[Stream], asked: str | None, roles: Collection[Role], argument: str, where: str
) -> Stream:
    """The topic that ``asked`` names, or the only one of ``roles``.

    Args:
        argument: what names a topic, for messages. where: what to call the recording.

    Raises:
        DataError: it is not there, or holds no pictures that are read; or several fit. Lists what is there.
    """
    found = any(stream.role in roles if asked is None else stream.topic.name == asked for stream in known)
    if not found and not bag.searched and (bag.silent if asked is None else asked in bag.silent):
        known = streams(bag, whole=True)  # it may begin late; a topic that is not there does not
    listed = ", ".join(str(stream) for stream in known) or "none"
    if asked is not None:
        for stream in known:
            if stream.topic.name == asked:
                return stream
        topics = bag.topics()
        if asked in bag.silent:
            raise DataError(f"{where}: {asked} is empty: no message. Topics of pictures: {listed}.")
        if asked in bag.unread:
            raise DataError(f"{where}: {asked} {bag.unread[asked]}. Topics of pictures: {listed}.")
        if asked in topics:
            raise DataError(
                f"{where}: {asked} ({topics[asked].type}) holds no pictures that are read. Topics of pictures: "
                f"{listed}."
            )
        raise DataError(
            f"{where}: holds no topic {asked}. Topics of pictures: {listed}. Others: "
            f"{', '.join(sorted(set(topics) - {stream.topic.name for stream in known})) or 'none'}."
        )
    fitting = [stream for stream in known if stream.role in roles]
    raw = [stream for stream in fitting if stream.topic.type != COMPRESSED] or fitting
    if len(raw) == 1:
        return raw[0]
    what = " or ".join(sorted(roles))
    if not raw:
        skipped = {**bag.unopened, **bag.unread}
        unread = "".join(f" Not read: {name} {why}." for name, why in skipped.items())
        more = f" Empty: {', '.join(bag.silent)}." if bag.silent else ""
        others = sorted(
            set(bag.topics()) - {stream.topic.name for stream in known} - set(bag.unread) - set(bag.silent)
        )
        more += f" Others: {', '.join(others)}." if others else ""
        raise DataError(
            f"{where}: holds no topic of {what} pictures. Topics of pictures: {listed}.{unread}{more}"
        )
    raise DataError(
        f"{where}: holds {len(raw)} topics of {what} pictures: {', '.join(map(str, raw))}. Name one with {argument}."
    )


def _role(encoding: str, axes: int, name: str) -> Role:
    if axes == 3:
        return "color"
    if encoding in _DEPTH or (encoding == "mono16" and "depth" in name.lower()):
        return "depth"
    return "infrared" if encoding in _GREY else "other"


def _with_rig(stream: Stream, rig: Rig) -> Stream:
    """Depth and infrared are of one camera."""
    camera, size = (rig.color, rig.color_size) if stream.role == "color" else (rig.depth, rig.depth_size)
    return replace(stream, camera=camera) if size in (None, stream.size) else stream


def _with_camera(stream: Stream, cameras: dict[str, CameraInfo | None]) -> Stream:
    """The camera of /camera/depth/image_raw is told in /camera/depth/camera_info; of a compressed topic one above; of
    librealsense's .../Depth_0/image/data in .../Depth_0/info/camera_info."""
    namespace = stream.topic.name.rsplit("/", 1)[0]
    above = namespace.rsplit("/", 1)[0]
    for place in (namespace, above, f"{above}/info"):
        told = cameras.get(f"{place}/camera_info")
        if told is not None and told.size == stream.size:
            camera = told.rectified if _RECTIFIED.search(stream.topic.name) else told.raw
            return replace(stream, camera=camera)
    return stream
