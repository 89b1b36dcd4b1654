"""Where the cameras of a recording are to each other, as ROS's transforms or librealsense wrote it down."""

from __future__ import annotations

import re
import struct
from collections import deque
from typing import Any

import numpy as np

from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.io.bags.message import Bag, Message
from tgkt_edge.io.bags.pictures import deserialized
from tgkt_edge.sensor.extrinsics import IDENTITY, Extrinsics

_TF = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
_TRANSFORM = "geometry_msgs/msg/Transform"
_REALSENSE_ROS = re.compile(r"(?:^|/)extrinsics/depth_to_color$")
_STREAM = re.compile(r"(/device_\d+/sensor_\d+/[^/]+)/")  # librealsense's: the stream that a topic belongs to
_EXTRINSICS = struct.Struct("<12d")
_LOOKED = 3000  # messages among which the transforms come
_MOVED_M, _TURNED = 1e-3, 2e-3

_Edges = dict[tuple[str, str], Extrinsics]


def pose_between(bag: Bag, depth: str, color: str) -> Extrinsics | None:
    """A point of the camera of topic ``depth`` in the axes of the camera of topic ``color``; None: it is not told.

    Read are, in this order: realsense-ros's ``extrinsics/depth_to_color``, librealsense's own transforms, what frames
    of depthai say of their cameras, and the frames that the pictures' headers name, through /tf_static and /tf.

    Raises:
        DataError: something between the two cameras moves.
    """
    topics = bag.topics()
    told = [name for name in topics if _REALSENSE_ROS.search(name) and _share_root(name, depth)]
    own = {name: topics[name].type for name in topics if topics[name].type == _TRANSFORM}
    trees = [name for name, topic in topics.items() if topic.type in _TF]
    streams: dict[str, Extrinsics] = {}
    frames: dict[str, str] = {}
    places: dict[str, Any] = {}
    edges: _Edges = {}
    moving: set[tuple[str, str]] = set()
    for number, message in enumerate(bag.messages([*told, *own, *trees, depth, color])):
        name = message.topic.name
        try:
            if name in told:
                return _of_realsense_ros(message)
            if name in own:
                if stream := _STREAM.match(name):
                    streams[stream[1]] = _of_transform(deserialized(message))
            elif name in trees:
                _add_edges(deserialized(message), edges, moving)
            elif name not in frames:
                content = deserialized(message)
                frames[name] = str(content.header.frame_id).lstrip("/")
                places[name] = getattr(content, "place", None)
        except (DataError, ConfigError, AttributeError, struct.error):
            continue
        if not told and (pose := _between_streams(streams, depth, color)) is not None:
            return pose
        if (pose := _by_places(places.get(depth), places.get(color))) is not None:
            return pose
        if number >= _LOOKED or (not told and not own and _chain(edges, frames, depth, color) is not None):
            break
        if len(frames) == 2 and not (told or own or trees):
            break
    chain = _chain(edges, frames, depth, color)
    if chain is None:
        return None
    pose = IDENTITY
    for step, edge in chain:
        if edge in moving:
            raise DataError(
                f"{edge[0]} and {edge[1]}, between the cameras of {depth} and {color}, move to each other in /tf, so "
                f"color cannot be aligned. Give where the cameras are with `extrinsics=FILE`, or leave `align` out."
            )
        pose = pose.then(step)
    return pose


def _share_root(name: str, depth: str) -> bool:
    """Whether .../camera/extrinsics/depth_to_color is of the camera of .../camera/depth/image_rect_raw."""
    root = name.split("/extrinsics/")[0].removeprefix("extrinsics/")
    return depth.startswith(f"{root}/") or not root


def _of_realsense_ros(message: Message) -> Extrinsics:
    """realsense-ros: nine numbers, column by column, and three metres end the message, with a header or without."""
    data = bytes(message.data)
    if len(data) < _EXTRINSICS.size:
        raise DataError(f"{message.topic.name}: holds {len(data)} bytes, expected {_EXTRINSICS.size} or more")
    numbers = _EXTRINSICS.unpack(data[-_EXTRINSICS.size :])
    return Extrinsics.of(np.array(numbers[:9]).reshape(3, 3).T, numbers[9:])


def _of_transform(transform: Any) -> Extrinsics:
    turn, move = transform.rotation, transform.translation
    return Extrinsics.of_quaternion((turn.x, turn.y, turn.z, turn.w), (move.x, move.y, move.z))


def _between_streams(streams: dict[str, Extrinsics], depth: str, color: str) -> Extrinsics | None:
    """librealsense writes for each stream where a point of one reference is in the stream's axes."""
    names = [found[1] if (found := _STREAM.match(topic)) else "" for topic in (depth, color)]
    if names[0] in streams and names[1] in streams:
        return streams[names[0]].inverse.then(streams[names[1]])
    return None


def _by_places(depth: Any, color: Any) -> Extrinsics | None:
    """depthai writes with each frame where its camera is to another one; None: not to the same one."""
    if depth is None or color is None or depth[1] != color[1]:
        return None
    return IDENTITY if depth[0] == color[0] else depth[0].then(color[0].inverse)


def _add_edges(content: Any, edges: _Edges, moving: set[tuple[str, str]]) -> None:
    for stamped in content.transforms:
        parent, child = str(stamped.header.frame_id).lstrip("/"), str(stamped.child_frame_id).lstrip("/")
        try:
            up = _of_transform(stamped.transform)
        except ConfigError:  # of something else: the robot is a hundred metres from where it began
            continue
        before = edges.setdefault((child, parent), up)
        apart = np.abs(np.array(before.translation) - up.translation).max()
        if apart > _MOVED_M or np.abs(before.matrix - up.matrix).max() > _TURNED:
            moving.update([(child, parent), (parent, child)])
        edges[(parent, child)] = before.inverse


def _chain(
    edges: _Edges, frames: dict[str, str], depth: str, color: str
) -> list[tuple[Extrinsics, tuple[str, str]]] | None:
    """The fewest transforms from the one camera's frame to the other's; none where both name one frame."""
    start, end = frames.get(depth, ""), frames.get(color, "")
    if not start or not end:
        return None
    beside: dict[str, list[str]] = {}
    for one, other in edges:
        beside.setdefault(one, []).append(other)
    reached: dict[str, str] = {start: ""}
    waiting = deque([start])
    while waiting and end not in reached:
        here = waiting.popleft()
        for other in beside.get(here, []):
            if other not in reached:
                reached[other] = here
                waiting.append(other)
    if end not in reached:
        return None
    path: list[tuple[str, str]] = []
    while end != start:
        path.append((reached[end], end))
        end = reached[end]
    return [(edges[edge], edge) for edge in reversed(path)]
