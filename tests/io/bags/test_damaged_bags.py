"""Recordings that were cut off or damaged: what is whole is read, and the rest is named."""

from __future__ import annotations

import contextlib
import importlib
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from tests.support.bags import (
    DEPTH,
    DISTORTION,
    GREY,
    MATRIX,
    RANDOM,
    BagMaker,
)
from tests.support.cli import cli_environment
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.open_bag import open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture


def noise(count: int) -> list[NDArray[Any]]:
    return [RANDOM.integers(0, 65536, (240, 320)).astype(np.uint16) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bag", "bag.bz2", "mcap"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.999])
def test_of_a_recording_that_was_cut_off_what_is_whole_is_read(
    kind: str, share: float, tmp_path: Path
) -> None:
    """Its index, at the end, is missing."""
    maker, frames = BagMaker(kind), noise(30)
    path = maker.write(
        tmp_path,
        [("/depth", 1.0 + n, maker.image(frame, "16UC1", 1.0 + n)) for n, frame in enumerate(frames)],
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    bag = open_bag(path)
    assert [str(stream) for stream in streams(bag)] == ["/depth (depth, 16UC1, 320x240)"]
    found = [read_picture(message).pixels for message in bag.messages(["/depth"])]
    assert "is cut off" in bag.problem
    assert "its intact part is read" in bag.problem
    assert len(found) >= int(30 * share) - 8  # the chunk at hand is lost
    for ours, theirs in zip(found, frames, strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_a_database_that_was_cut_off_ends_with_a_word(tmp_path: Path) -> None:
    maker = BagMaker("db3")
    path = maker.write(
        tmp_path, [("/depth", 1.0 + n, maker.image(frame, "16UC1", 1.0)) for n, frame in enumerate(noise(12))]
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    bag = open_bag(path)
    with pytest.raises(
        DataError, match=r"is cut off or damaged \(database disk image is malformed\)\. .*sqlite3 .*\.recover"
    ):
        bag.topics()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no recording of ROS 1"),
        (b"#ROSBAG V1.2\n", "a bag of another version"),
        (b"SQLite format 3\0" + bytes(900), "is no recording of ROS 2"),
        (b"#ROSBAG V2.0\n", "holds no topic"),
        (b"#ROSBAG V2.0\n" + b"\xff" * 99, "holds no topic"),
        (b"\x89MCAP0\r\n", "holds no topic"),
        (b"\x89MCAP0\r\n" + b"\xff" * 99, "holds no topic"),
        (b"\x1a\x45\xdf\xa3" + bytes(99), "is a video without a raw track of 16 bits"),
        (
            tarfile.TarInfo("oak/depth.mcap").tobuf() + bytes(1024),
            "is an archive. Unpack it, and give the folder",
        ),
        (b"\x28\xb5\x2f\xfd" + bytes(99), "is an archive. Unpack it"),
    ],
)
def test_what_is_no_recording_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=rf"a: .*{words}"):
        open_bag(tmp_path / "a").topics()


def test_messages_that_are_no_pictures_are_named(tmp_path: Path) -> None:
    maker = BagMaker("mcap")
    short = maker.image(DEPTH, "16UC1", 1.0)
    short.data = short.data[:-1]
    cases = (
        (
            maker.image(GREY, "bayer_rggb8", 1.0),
            "has the encoding 'bayer_rggb8', which is not read; expected 16UC1",
        ),
        (short, "is damaged: 1631 bytes"),
        (maker.compressed(b"no picture", "mono8; png", 1.0), "damaged or not an image"),
        (
            maker.compressed(bytes(20), "16UC1; compressedDepth zlib", 1.0),
            "expected compressedDepth of 16UC1 or",
        ),
    )
    for number, (content, words) in enumerate(cases):
        bag = open_bag(maker.write(tmp_path / str(number), [("/a", 1.0, content)]))
        (message,) = bag.messages(["/a"])
        with pytest.raises(DataError, match=re.escape(words)):
            read_picture(message)
        assert streams(bag) == []


def test_mutated_recordings_end_with_a_word(maker: BagMaker, tmp_path: Path) -> None:
    """No byte that changed ends the process or raises anything else."""
    sent = [("/depth", 1.0 + n, maker.image(DEPTH, "16UC1", 1.0 + n)) for n in range(4)]
    sent.append(("/camera_info", 6.0, maker.info((34, 24), MATRIX, DISTORTION, 1.0)))
    path = maker.write(tmp_path, sent)
    data, random, whole = path.read_bytes(), np.random.default_rng(1), 0
    for _ in range(80):
        held = bytearray(data)
        for _ in range(random.integers(1, 5)):
            at = int(random.integers(0, len(held) if random.random() < 0.5 else min(600, len(held))))
            held[at] = int(random.integers(0, 256))
        path.write_bytes(held)
        try:
            bag = open_bag(path)
            streams(bag)
            for message in bag.messages(["/depth"]):
                read_picture(message)
                whole += 1
        except DataError:
            pass
    assert whole > 40


@pytest.mark.parametrize("packing", ["lz4", "zstd"])
@pytest.mark.parametrize("claimed", ["little", "all"])
def test_a_small_mcap_does_not_take_all_memory(packing: str, claimed: str, tmp_path: Path) -> None:
    """A chunk of half a gigabyte of zeros in a few hundred kilobytes, which says that it holds a kilobyte, or more than
    is ever read."""
    zeros = bytes(1 << 29)
    packed: bytes = importlib.import_module("lz4.frame" if packing == "lz4" else "zstandard").compress(zeros)
    del zeros
    chunk = struct.pack("<QQQI", 0, 0, 1 << 10 if claimed == "little" else 1 << 40, 0)
    chunk += struct.pack("<I", len(packing)) + packing.encode() + struct.pack("<Q", len(packed)) + packed
    header = struct.pack("<I", 0) * 2
    records = (
        b"\x01" + struct.pack("<Q", len(header)) + header + b"\x06" + struct.pack("<Q", len(chunk)) + chunk
    )
    path = tmp_path / "a.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + records)
    program = (
        "import sys\nfrom pathlib import Path\nfrom tgkt_edge.io.bags.open_bag import open_bag\n"
        "bag = open_bag(Path(sys.argv[1]))\nprint(len(list(bag.messages(['/a']))), bag.problem)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=cli_environment(),
    )
    words, peak = done.stdout.splitlines()
    assert words.startswith("0 ")
    expected = (
        "another number of bytes than the 1024" if claimed == "little" else "a chunk of 1099511627776 bytes"
    )
    assert expected in words
    assert int(peak) < 250_000  # KiB


def depth_bag(kind: str, folder: Path, count: int = 4) -> Path:
    maker = BagMaker(kind)
    return maker.write(
        folder, [("/depth", 1.0 + n, maker.image(DEPTH, "16UC1", 1.0 + n)) for n in range(count)]
    )


def read(path: Path) -> tuple[int, str]:
    """How many pictures of /depth are whole, and why it ends."""
    bag = open_bag(path)
    assert [stream.topic.name for stream in streams(bag)] == ["/depth"]
    found = [read_picture(message).pixels for message in bag.messages(["/depth"])]
    for pixels in found:
        np.testing.assert_array_equal(pixels, DEPTH)
    return len(found), bag.problem


def test_a_bag_whose_end_is_zeros_or_missing_is_no_whole_one(tmp_path: Path) -> None:
    """As a power cut leaves a file: grown, but never written; and as an interrupted copy does, between two records."""
    path = depth_bag("bag", tmp_path)
    data = path.read_bytes()
    assert read(path) == (4, "")
    path.write_bytes(data + bytes(64))
    count, problem = read(path)
    assert count == 4
    assert "is cut off or damaged" in problem
    assert "a record of no kind" in problem
    at = data.index(b"index_pos=") + len(b"index_pos=")
    (index,) = struct.unpack("<Q", data[at : at + 8])
    for rest in (data[:index], data[:at] + bytes(8) + data[at + 8 : index]):
        path.write_bytes(rest)
        count, problem = read(path)
        assert count == 4
        assert "is cut off before its index; its intact part is read" in problem
    path.write_bytes(data[:at] + b"\xff" * 8 + data[at + 8 :])
    assert read(path)[0] == 4


@pytest.mark.parametrize("kind", ["bag.bz2", "bag.lz4"])
def test_a_chunk_is_unpacked_to_the_size_that_it_names(kind: str, tmp_path: Path) -> None:
    """Some kilobytes could become gigabytes."""
    path = depth_bag(kind, tmp_path)
    data = path.read_bytes()
    chunk = data.index(b"compression=")
    at = data.index(b"size=", chunk - 60) + 5
    for size in (9, 1 << 31):
        path.write_bytes(data[:at] + struct.pack("<I", size) + data[at + 4 :])
        bag = open_bag(path)
        assert list(bag.messages(["/depth"])) == []
        assert f"{size}" in bag.problem


def test_packed_chunks_of_mcap_that_are_damaged_end_with_a_word(tmp_path: Path) -> None:
    maker = BagMaker("mcap")
    message = bytes(maker.store.serialize_cdr(maker.image(DEPTH, "16UC1", 1.0), "sensor_msgs/msg/Image"))
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer: Any = Writer(file, compression=CompressionType.ZSTD)
        writer.start()
        schema = writer.register_schema("sensor_msgs/msg/Image", "ros2msg", b"")
        channel = writer.register_channel("/depth", "cdr", schema)
        for number in range(4):
            writer.add_message(channel, number, message, number)
        writer.finish()
    data = path.read_bytes()
    assert read(path) == (4, "")
    begin, problems = data.index(b"zstd"), 0
    for at in range(begin + 12, begin + 60):
        path.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
        bag = open_bag(path)
        list(bag.messages(["/depth"]))
        problems += "its intact part is read" in bag.problem
    assert problems > 40


def test_a_row_of_a_database_that_is_no_message_ends_it_with_a_word(tmp_path: Path) -> None:
    for number, change in enumerate(("timestamp = 'noon'", "data = 'text'")):
        path = depth_bag("db3", tmp_path / str(number))
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(f"update messages set {change} where id = 4")
        count, problem = read(path)
        assert count == 3
        assert "a message of /depth has no time or no bytes" in problem


def test_what_a_database_still_has_in_its_log_is_read(tmp_path: Path) -> None:
    """With ros2 bag's preset 'resilient', a power cut leaves the newest messages in FILE.db3-wal."""
    path = depth_bag("db3", tmp_path / "a")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("pragma journal_mode = wal")
        with database:
            database.execute(
                "insert into messages (topic_id, timestamp, data) select topic_id, 9, data from messages where id = 1"
            )
        shutil.copytree(path.parent, tmp_path / "b")  # before the last connection moves it
    assert (tmp_path / "b" / f"{path.name}-wal").stat().st_size
    for place in (tmp_path / "b" / path.name, tmp_path / "b"):
        assert read(place) == (5, "")


@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n"])
def test_of_a_split_recording_the_parts_that_hold_something_are_read(content: bytes, tmp_path: Path) -> None:
    """The last one is often empty: the power went just after it was begun."""
    folder = depth_bag("mcap", tmp_path).parent
    (folder / "rec_1.mcap").write_bytes(content)
    count, problem = read(folder)
    assert count == 4
    assert "rec_1.mcap: " in problem
    for file in folder.glob("*.mcap"):
        file.write_bytes(content)
    with pytest.raises(DataError, match=r"\.mcap: (is no recording|holds no topic)"):
        open_bag(folder)
