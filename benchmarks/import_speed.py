"""How fast and in how much memory ``data import`` writes a recording, against reading it.

    python benchmarks/import_speed.py [--gigabytes 2] [--kind bag] [--data DIR]

A recording of 640x480 depth (16UC1) at 30 a second and color (bgr8) at 15 is generated from real frames (``sensor16``,
cut to that size; else from rendered ones) and imported three times, each in a process of its own: depth alone, pairs,
aligned pairs. Reading: the file from the disk (its pages are dropped from memory before), block by block; and the same
messages from memory by the same reader, without decoding. Memory: the process's peak, of the whole recording and of an
eighth of it; flat if the two are alike. Needs rosbags (the extra ``ros``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.demo.scenes import OTHER_CLASSES, render
from tgkt_edge.io.bags.open_bag import open_bag
from tgkt_edge.io.images import read_frame, read_rgb

SIZE = (640, 480)
DEPTH, COLOR = "/camera/depth/image_raw", "/camera/color/image_raw"


def pictures(data: Path) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Depth frames and their RGB images."""
    folder, (width, height) = data / "sensor16", SIZE
    if not folder.is_dir():
        found = [render(name, 700_000, width=width, height=height) for name in OTHER_CLASSES]
        return [(one.depth_mm, one.rgb) for one in found]
    crop = (slice(100, 100 + height), slice(300, 300 + width))
    return [
        (read_frame(folder / "depth" / path.name)[crop].copy(), read_rgb(path)[crop].copy())
        for path in sorted((folder / "rgb").iterdir())
    ]


def write(path: Path, kind: str, gigabytes: float, shown: list[tuple[NDArray[Any], NDArray[Any]]]) -> Path:
    """A recording of about so many gigabytes."""
    from rosbags.rosbag1 import Writer as Rosbag1Writer
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer as Rosbag2Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    ros1 = kind == "bag"
    store: Any = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)
    tree = "tf2_msgs/msg/TFMessage"
    if tree not in store.types:
        store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", tree))
    types = store.types
    more = {"seq": 0} if ros1 else {}

    def header(at: float, frame: str) -> Any:
        nanoseconds = round(at * 1e9)
        stamp = types["builtin_interfaces/msg/Time"](sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        return types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame, **more)

    def image(pixels: NDArray[Any], encoding: str, at: float, frame: str) -> Any:
        rows = pixels.reshape(len(pixels), -1).view(np.uint8)
        return types["sensor_msgs/msg/Image"](
            header=header(at, frame), height=pixels.shape[0], width=pixels.shape[1], encoding=encoding,
            is_bigendian=0, step=rows.shape[1], data=rows.ravel(),
        )  # fmt: skip

    def info(frame: str) -> Any:
        roi = types["sensor_msgs/msg/RegionOfInterest"](
            x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        matrix = np.array([520, 0, 319.5, 0, 520, 239.5, 0, 0, 1.0])
        values = (np.zeros(5), matrix, np.eye(3).ravel(), np.zeros(12))
        named = dict(zip("DKRP" if ros1 else "dkrp", values, strict=True))
        return types["sensor_msgs/msg/CameraInfo"](
            header=header(99.0, frame), height=SIZE[1], width=SIZE[0], distortion_model="plumb_bob", binning_x=0,
            binning_y=0, roi=roi, **named,
        )  # fmt: skip

    def transforms() -> Any:
        turn = types["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
        move = types["geometry_msgs/msg/Vector3"](x=-0.015, y=0.0, z=0.0)
        pose = types["geometry_msgs/msg/Transform"](translation=move, rotation=turn)
        stamped = types["geometry_msgs/msg/TransformStamped"](
            header=header(99.0, "depth"), child_frame_id="color", transform=pose
        )
        return types[tree](transforms=[stamped])

    def sent() -> Iterator[tuple[str, float, Any]]:
        yield "/tf_static", 99.0, transforms()
        yield DEPTH.replace("image_raw", "camera_info"), 99.0, info("depth")
        yield COLOR.replace("image_raw", "camera_info"), 99.0, info("color")
        both = SIZE[0] * SIZE[1] * 2 + SIZE[0] * SIZE[1] * 3 // 2  # color comes with every other frame
        for number in range(max(8, int(gigabytes * 1e9 / both))):
            depth, rgb = shown[number % len(shown)]
            at = 100 + number / 30
            yield DEPTH, at, image(depth, "16UC1", at, "depth")
            if number % 2 == 0:
                yield COLOR, at + 0.001, image(rgb, "rgb8", at + 0.001, "color")

    path.mkdir(parents=True)
    plugin = StoragePlugin.MCAP if kind == "mcap" else StoragePlugin.SQLITE3
    writer: Any = (
        Rosbag1Writer(path / "a.bag")
        if ros1
        else Rosbag2Writer(path / "rec", version=9, storage_plugin=plugin)
    )
    serialize = store.serialize_ros1 if ros1 else store.serialize_cdr
    with writer:
        known: dict[str, Any] = {}
        for topic, at, content in sent():
            name = content.__msgtype__
            if topic not in known:
                known[topic] = writer.add_connection(topic, name, typestore=store)
            writer.write(known[topic], round(at * 1e9), serialize(content, name))
    return next(path.rglob(f"*.{kind}"))


def from_disk(file: Path) -> float:
    """Seconds to read the file from the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        while opened.read(1 << 20):
            pass
        return time.perf_counter() - began


def from_memory(file: Path, topics: list[str]) -> float:
    """Seconds to read the messages of a file that is in memory."""
    began = time.perf_counter()
    total = sum(len(message.data) for message in open_bag(file).messages(topics))
    assert total > 0
    return time.perf_counter() - began


PROGRAM = """
import sys, time
from pathlib import Path
from tgkt_edge.runtime.recorder.import_data import import_data
began = time.perf_counter()
summary = import_data(Path(sys.argv[1]), Path(sys.argv[2]), pair=sys.argv[3] == "pairs", align=sys.argv[3] == "aligned")
seconds = time.perf_counter() - began
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(summary.frames, seconds, time.process_time(), int(peak) / 1024)
"""


def imported(file: Path, out: Path, how: str) -> tuple[int, float, float, float]:
    """Frames, seconds, seconds of all its threads on processors, and the peak of memory, MB."""
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(file), str(out), how], check=True, capture_output=True, text=True
    )
    frames, seconds, busy, peak = done.stdout.split()
    shutil.rmtree(out)
    return int(frames), float(seconds), float(busy), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--kind", default="bag", choices=("bag", "mcap", "db3"))
    default = os.environ.get("TGKT_EDGE_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    arguments = parser.parse_args()
    shown = pictures(arguments.data)
    columns = (
        "MB/s of the recording",
        "MB a second of a core",
        "of reading it from disk",
        "from memory",
        "peak, MB (of an eighth)",
    )
    print(f"| {arguments.kind} | {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole = write(folder / "whole", arguments.kind, arguments.gigabytes, shown)
        eighth = write(folder / "eighth", arguments.kind, arguments.gigabytes / 8, shown)
        megabytes = whole.stat().st_size / 1e6
        for how, topics in (("depth", [DEPTH]), ("pairs", [DEPTH, COLOR]), ("aligned", [DEPTH, COLOR])):
            disk, memory = from_disk(whole), from_memory(whole, topics)
            frames, seconds, busy, peak = imported(whole, folder / "out", how)
            *_, small = imported(eighth, folder / "out", how)
            shares = f"{disk / seconds:.2f} | {memory / seconds:.2f}"
            rates = f"{megabytes / seconds:.0f} | {megabytes / busy:.0f} | {shares}"
            print(f"| {how}, {frames} | {rates} | {peak:.0f} ({small:.0f}) |", flush=True)


if __name__ == "__main__":
    main()
