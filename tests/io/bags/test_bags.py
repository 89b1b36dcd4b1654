"""Pictures in recordings of ROS 1, ROS 2 and MCAP arrive bit for bit as they were sent, and as rosbags reads them."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from tests.support.bags import KINDS, BagMaker
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.open_bag import choose, is_bag, open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.io.bags.rvl import decode_rvl

RANDOM = np.random.default_rng(8)
DEPTH = RANDOM.integers(0, 65536, (24, 34)).astype(np.uint16)
METRES = RANDOM.normal(2, 1, (24, 34)).astype(np.float32)
METRES[0, :3] = [np.nan, np.inf, 0]
GREY = RANDOM.integers(0, 256, (24, 34)).astype(np.uint8)
BGR = RANDOM.integers(0, 256, (24, 34, 3)).astype(np.uint8)
HOLED = np.where(RANDOM.random(DEPTH.shape) < 0.4, 0, DEPTH).astype(np.uint16)
MATRIX, DISTORTION = [30, 0, 16.5, 0, 31, 11.5, 0, 0, 1], [0.1, -0.2, 0.01, 0.02, 0.3]


@pytest.fixture(params=KINDS)
def maker(request: pytest.FixtureRequest) -> BagMaker:
    return BagMaker(request.param)


def pictures(path: Path, topic: str) -> list[Any]:
    bag = open_bag(path)
    found = [read_picture(message) for message in bag.messages([topic])]
    assert bag.problem == ""
    return found


@pytest.mark.parametrize(
    ("encoding", "sent", "expected"),
    [
        ("16UC1", DEPTH, DEPTH),
        ("mono16", DEPTH.astype(">u2"), DEPTH),
        ("32FC1", METRES, METRES),
        ("32FC1", METRES.astype(">f4"), METRES),
        ("mono8", GREY, GREY),
        ("8UC1", GREY, GREY),
        ("bgr8", BGR, BGR),
        ("rgb8", BGR[..., ::-1], BGR),
        ("bgra8", np.dstack([BGR, GREY]), BGR),
        ("rgba8", np.dstack([BGR[..., ::-1], GREY]), BGR),
    ],
)
@pytest.mark.parametrize("padding", [0, 8])
def test_a_picture_arrives_as_it_was_sent(
    encoding: str, sent: NDArray[Any], expected: NDArray[Any], padding: int, maker: BagMaker, tmp_path: Path
) -> None:
    images = [
        ("/camera/image", 50.5 + n, maker.image(sent, encoding, 1000.25 + n, padding)) for n in range(3)
    ]
    found = pictures(maker.write(tmp_path, images), "/camera/image")
    assert len(found) == 3
    for number, picture in enumerate(found):
        assert picture.pixels.dtype == expected.dtype
        assert picture.pixels.dtype.isnative
        assert picture.pixels.tobytes() == expected.tobytes()
        assert (picture.stamp, picture.received) == (1000.25 + number, 50.5 + number)
        assert picture.encoding == encoding


def test_all_messages_are_those_that_rosbags_reads(maker: BagMaker, tmp_path: Path) -> None:
    topics = ["/t0", "/t1", "/t2"]
    sent = [
        (topics[n % 3], 10 + n / 7, maker.image(RANDOM.integers(0, 256, (9, 9), np.uint8), "mono8", n + 1.0))
        for n in range(40)
    ]
    path = maker.write(tmp_path, sent)
    source = path if maker.ros1 else path.parent
    with AnyReader([source], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
        theirs = [(c.topic, time, bytes(data)) for c, time, data in reader.messages()]
    bag = open_bag(path)
    assert {name: topic.type for name, topic in bag.topics().items()} == dict.fromkeys(
        topics, "sensor_msgs/msg/Image"
    )
    ours = [(message.topic.name, message.received, bytes(message.data)) for message in bag.messages(topics)]
    assert ours == theirs
    assert len(ours) == 40
    assert [message.topic.name for message in bag.messages(["/t1"])] == ["/t1"] * 13
    if not maker.ros1:
        assert is_bag(path.parent)
        assert len(list(open_bag(path.parent).messages(["/t1"]))) == 13


def test_a_folder_of_images_with_a_database_beside_them_is_no_recording(tmp_path: Path) -> None:
    path = BagMaker("db3").write(tmp_path, [("/depth", 1.0, BagMaker("db3").image(DEPTH, "16UC1", 1.0))])
    assert is_bag(path.parent)
    (path.parent / "metadata.yaml").unlink()
    assert is_bag(path.parent)
    cv2.imwrite(str(path.parent / "a.png"), DEPTH)
    assert not is_bag(path.parent)


def rvl(counts: NDArray[Any]) -> bytes:
    """Wilson's encoder, by the book, one pixel at a time."""
    groups: list[int] = []

    def write(value: int) -> None:
        while True:
            group, value = value & 7, value >> 3
            groups.append(group | (8 if value else 0))
            if not value:
                return

    flat, at, previous = counts.ravel().tolist(), 0, 0
    while at < len(flat):
        start = at
        while at < len(flat) and flat[at] == 0:
            at += 1
        write(at - start)
        start = at
        while at < len(flat) and flat[at]:
            at += 1
        write(at - start)
        for depth in flat[start:at]:
            delta, previous = depth - previous, depth
            write(delta << 1 if delta >= 0 else (-delta << 1) - 1)
    groups += [0] * (-len(groups) % 8)
    words = [
        sum(group << (28 - 4 * i) for i, group in enumerate(groups[n : n + 8]))
        for n in range(0, len(groups), 8)
    ]
    return struct.pack(f"<{len(words)}I", *words)


@pytest.mark.parametrize(
    "counts", [DEPTH, HOLED, HOLED * 0, ((HOLED > 0) * 65535).astype(np.uint16), HOLED[:1]]
)
def test_rvl_gives_back_every_depth(counts: NDArray[Any]) -> None:
    coded = rvl(counts)
    np.testing.assert_array_equal(decode_rvl(coded, counts.size).reshape(counts.shape), counts)
    if counts.any():
        with pytest.raises(DataError, match="is damaged"):
            decode_rvl(coded[: len(coded) // 2], counts.size)


def test_rvl_by_hand() -> None:
    """Two zeros, two others: 1000 (2000 with its sign: 0o3720, low group first) and 999 (-1: 1)."""
    groups = [2, 2, 0 | 8, 2 | 8, 7 | 8, 3, 1, 0]
    word = sum(group << (28 - 4 * i) for i, group in enumerate(groups))
    assert decode_rvl(struct.pack("<I", word), 4).tolist() == [0, 0, 1000, 999]


def compressed_depth(counts: NDArray[Any], a: float = 0.0, b: float = 0.0) -> bytes:
    return struct.pack("<iff", 0, a, b) + cv2.imencode(".png", counts)[1].tobytes()


@pytest.mark.parametrize("form", ["16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_compressed_depth_of_16_bits_is_exact(form: str, maker: BagMaker, tmp_path: Path) -> None:
    path = maker.write(tmp_path, [("/depth", 1.0, maker.compressed(compressed_depth(HOLED), form, 1.0))])
    np.testing.assert_array_equal(pictures(path, "/depth")[0].pixels, HOLED)


def test_compressed_depth_by_rvl_is_exact(maker: BagMaker, tmp_path: Path) -> None:
    data = struct.pack("<iff", 0, 0, 0) + struct.pack("<II", 34, 24) + rvl(HOLED)
    path = maker.write(tmp_path, [("/depth", 1.0, maker.compressed(data, "16UC1; compressedDepth rvl", 1.0))])
    np.testing.assert_array_equal(pictures(path, "/depth")[0].pixels, HOLED)


def test_compressed_depth_of_32_bits_is_what_image_transport_makes_of_it(tmp_path: Path) -> None:
    """metres = A / (count - B) in float32; 0: no measurement. A = 100 x 101, B = 1 - A / 10 as for 10 m."""
    maker = BagMaker("mcap")
    a = np.float32(10100)
    b = np.float32(1) - a / np.float32(10)
    data = compressed_depth(HOLED, float(a), float(b))
    path = maker.write(tmp_path, [("/depth", 1.0, maker.compressed(data, "32FC1; compressedDepth png", 1.0))])
    (picture,) = pictures(path, "/depth")
    assert picture.pixels.dtype == np.float32
    for place, count in np.ndenumerate(HOLED):
        found = picture.pixels[place]
        assert np.isnan(found) if count == 0 else found == a / (np.float32(count) - b)


def test_compressed_colour_and_grey(maker: BagMaker, tmp_path: Path) -> None:
    jpeg, png = cv2.imencode(".jpg", BGR)[1].tobytes(), cv2.imencode(".png", DEPTH)[1].tobytes()
    path = maker.write(
        tmp_path,
        [
            ("/rgb", 1.0, maker.compressed(jpeg, "rgb8; jpeg compressed bgr8", 1.0)),
            ("/ir", 1.0, maker.compressed(png, "mono16; png compressed ", 1.0)),
        ],
    )
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    np.testing.assert_array_equal(pictures(path, "/rgb")[0].pixels, expected)
    np.testing.assert_array_equal(pictures(path, "/ir")[0].pixels, DEPTH)
    assert {one.topic.name: one.role for one in streams(open_bag(path))} == {
        "/rgb": "colour",
        "/ir": "infrared",
    }


def test_streams_know_what_they_show_and_their_camera(maker: BagMaker, tmp_path: Path) -> None:
    path = maker.write(
        tmp_path,
        [
            ("/camera/depth/camera_info", 1.0, maker.info((34, 24), MATRIX, DISTORTION, 1.0)),
            ("/camera/color/camera_info", 1.0, maker.info((640, 480), MATRIX, DISTORTION, 1.0)),
            ("/camera/ir/camera_info", 1.0, maker.info((34, 24), [0] * 9, [], 1.0)),
            ("/camera/depth/image_raw", 1.0, maker.image(DEPTH, "16UC1", 1.0)),
            ("/camera/color/image_raw", 1.0, maker.image(BGR, "bgr8", 1.0)),
            ("/camera/ir/image_raw", 1.0, maker.image(GREY, "mono8", 1.0)),
            (
                "/camera/depth/image_raw/compressedDepth", 1.0,
                maker.compressed(compressed_depth(DEPTH), "16UC1", 1.0),
            ),
            ("/notes", 1.0, maker.text("hello")),
        ],
    )  # fmt: skip
    bag = open_bag(path)
    known = {stream.topic.name: stream for stream in streams(bag)}
    depth = known["/camera/depth/image_raw"]
    assert (depth.role, depth.encoding, depth.size) == ("depth", "16UC1", (34, 24))
    assert depth.camera is not None
    assert (depth.camera.fx, depth.camera.fy, depth.camera.cx, depth.camera.cy) == (30, 31, 16.5, 11.5)
    assert (depth.camera.distortion, depth.camera.model) == (tuple(DISTORTION), "plumb_bob")
    assert known["/camera/color/image_raw"].camera is None  # of another size
    assert known["/camera/ir/image_raw"].camera is None  # not calibrated
    assert known["/camera/depth/image_raw/compressedDepth"].camera == depth.camera
    listed = [*known.values()]
    assert choose(bag, listed, None, ["depth"], "--topic", "a") == depth  # the raw one, where both are there
    assert choose(bag, listed, "/camera/ir/image_raw", ["depth"], "--topic", "a").encoding == "mono8"
    for asked, roles, words in (
        ("/depth", ["depth"], "a: holds no topic /depth. Topics of pictures: "),
        ("/depth", ["depth"], "/camera/depth/image_raw (depth, 16UC1, 34x24)"),
        ("/notes", ["depth"], "/notes (std_msgs/msg/String) holds no pictures that are read"),
        (None, ["infrared", "colour"], "holds 2 topics of colour or infrared pictures: "),
        (None, ["other"], "holds no topic of other pictures"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            choose(bag, listed, asked, roles, "--topic", "a")  # type: ignore[arg-type]


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
    assert "what is whole is read" in bag.problem
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
    with pytest.raises(DataError, match=r"is no recording of ROS 2: database disk image is malformed"):
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
        (b"\x1a\x45\xdf\xa3" + bytes(99), "is a Matroska video"),
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
