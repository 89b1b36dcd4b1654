"""Pictures in recordings of ROS 1, ROS 2 and MCAP arrive bit for bit as they were sent, and as rosbags reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from tests.support.bags import (
    BGR,
    DEPTH,
    DISTORTION,
    GREY,
    MATRIX,
    METRES,
    RANDOM,
    BagMaker,
    compressed_depth,
    pictures,
)
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.open_bag import choose, is_bag, open_bag, streams


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


def test_a_camera_info_that_no_camera_has_costs_the_intrinsics_alone(maker: BagMaker, tmp_path: Path) -> None:
    info = maker.info((34, 24), MATRIX, [0.5], 1.0)
    info.distortion_model = ""
    path = maker.write(
        tmp_path, [("/camera_info", 1.0, info), ("/image", 2.0, maker.image(DEPTH, "16UC1", 1.0))]
    )
    (stream,) = streams(open_bag(path))
    assert stream.camera is None


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
        (None, ["infrared", "color"], "holds 2 topics of color or infrared pictures: "),
        (None, ["other"], "holds no topic of other pictures"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            choose(bag, listed, asked, roles, "--topic", "a")  # type: ignore[arg-type]


def test_a_topic_that_begins_late_is_found_and_an_empty_one_is_named(
    maker: BagMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tgkt_edge.io.bags.open_bag._PROBED", 3)
    sent = [("/ir", 1.0 + number, maker.image(GREY, "mono8", 1.0)) for number in range(6)]
    path = maker.write(
        tmp_path, [*sent, ("/depth", 9.0, maker.image(DEPTH, "16UC1", 9.0))], silent=["/never"]
    )
    for asked in (None, "/depth"):
        bag = open_bag(path)
        assert choose(bag, streams(bag), asked, ["depth"], "`topic`", "it").topic.name == "/depth"
    bag = open_bag(path)
    with pytest.raises(
        DataError, match=r"it: /never is empty: no message\. Topics of pictures: /ir .*, /depth"
    ):
        choose(bag, streams(bag), "/never", ["depth"], "`topic`", "it")
    with pytest.raises(DataError, match=r"holds no topic of color pictures.* Empty: /never\."):
        choose(bag, streams(bag), None, ["color"], "`topic`", "it")
    bag = open_bag(path)
    with pytest.raises(DataError, match="/other"):
        choose(bag, streams(bag), "/other", ["depth"], "`topic`", "it")
    assert not bag.searched  # what is not in the list of topics is not looked for in a whole recording


def test_topics_whose_pictures_are_not_read_are_named_with_why(tmp_path: Path) -> None:
    maker = BagMaker("mcap")
    sent = [("/cam/raw", 1.0, maker.image(GREY, "bayer_rggb8", 1.0)), ("/notes", 1.0, maker.text("a"))]
    bag = open_bag(maker.write(tmp_path, sent))
    why = (
        r"/cam/raw has the encoding 'bayer_rggb8', which is not read; expected 16UC1, mono16, 32FC1, .*bgra8"
    )
    with pytest.raises(DataError, match=f"Topics of pictures: none. Not read: {why}. Others: /notes."):
        choose(bag, streams(bag), None, ["depth"], "`topic`", "it")
    with pytest.raises(DataError, match=why):
        choose(bag, streams(bag), "/cam/raw", ["depth"], "`topic`", "it")
