"""``data import`` keeps pictures that come as PNG or JPEG as they are, wherever reading them gives the same pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.bags import BagMaker, compressed_depth
from tgkt_edge.data.loading import load_pairs
from tgkt_edge.io.images import read_frame, read_rgb
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import load_sensor

RANDOM = np.random.default_rng(11)
DEPTH = RANDOM.integers(0, 8000, (4, 48, 64)).astype(np.uint16)
COLOR = RANDOM.integers(0, 256, (4, 36, 48, 3)).astype(np.uint8)
GREY = RANDOM.integers(0, 256, (48, 64)).astype(np.uint8)
NAMES = ("/camera/depth/image/compressedDepth", "/camera/color/image/compressed")


def encoded(pixels: NDArray[Any], suffix: str) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


def turned(path: Path, pixels: NDArray[Any], orientation: int = 6) -> bytes:
    """A JPEG or PNG that says by its EXIF that it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path.read_bytes()


def index(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["bag", "db3", "mcap"])
def test_a_recording_s_files_are_kept(kind: str, tmp_path: Path) -> None:
    maker = BagMaker(kind)
    jpegs = [encoded(one, ".jpg") for one in COLOR]
    sent = []
    for n, (depth, jpeg) in enumerate(zip(DEPTH, jpegs, strict=True)):
        body = compressed_depth(depth)
        sent.append((NAMES[0], 1.0 + n, maker.compressed(body, "16UC1; compressedDepth png", 1.0 + n)))
        sent.append((NAMES[1], 1.0 + n, maker.compressed(jpeg, "bgr8; jpeg compressed bgr8", 1.0 + n)))
    out = tmp_path / "out"
    assert import_data(maker.write(tmp_path / "in", sent), out, pair=True).frames == 4
    spec = load_sensor(str(out / "sensor.yaml"))
    for number, line in enumerate(index(out)):
        assert (line["file"], line["rgb"]) == (f"frame/{number:06d}.png", f"rgb/{number:06d}.jpg")
        assert (out / line["rgb"]).read_bytes() == jpegs[number]
        assert (out / line["file"]).read_bytes() == compressed_depth(DEPTH[number])[12:]
    with open_source(str(out), spec) as source:
        for captured, depth in zip(iter(source.read, None), DEPTH, strict=True):
            np.testing.assert_array_equal(captured.frame, depth)  # and its checksum fits
    assert len(load_pairs(out, spec, 32)) == 4
    assert len(load_pairs(out / "pairs.csv", spec, 32)) == 4


def test_a_damaged_jpeg_is_no_picture(tmp_path: Path) -> None:
    maker = BagMaker("mcap")
    jpegs = [encoded(one, ".jpg") for one in COLOR[:2]]
    jpegs[1] = jpegs[1][: len(jpegs[1]) // 2]
    sent = []
    for n, jpeg in enumerate(jpegs):
        sent.append((NAMES[0][:-16], 1.0 + n, maker.image(DEPTH[n], "16UC1", 1.0 + n)))
        sent.append((NAMES[1], 1.0 + n, maker.compressed(jpeg, "jpeg", 1.0 + n)))
    summary = import_data(maker.write(tmp_path / "in", sent), tmp_path / "out", pair=True)
    assert (summary.frames, summary.bad) == (1, 1)
    assert sorted(one.name for one in (tmp_path / "out/rgb").iterdir()) == ["000000.jpg"]


def test_frames_of_jpeg_are_written_as_the_counts_that_were_read(tmp_path: Path) -> None:
    """Another decoder of JPEG may differ in a bit, and a frame has a checksum of its counts."""
    maker = BagMaker("mcap")
    data = encoded(GREY, ".jpg")
    path = maker.write(tmp_path / "in", [("/ir/compressed", 1.0, maker.compressed(data, "mono8; jpeg", 1.0))])
    import_data(path, tmp_path / "out", sensor="nir8")
    (line,) = index(tmp_path / "out")
    assert line["file"] == "frame/000000.png"
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read_frame(tmp_path / "out" / line["file"]), expected)


def test_what_lies_on_its_side_stands_as_it_did(tmp_path: Path) -> None:
    """A file keeps its tag of orientation, and is turned when it is read; compressedDepth knows no such tag."""
    maker = BagMaker("mcap")
    rgb = np.ascontiguousarray(COLOR[0][..., ::-1])
    jpeg = turned(tmp_path / "a.jpg", rgb)
    png = turned(tmp_path / "a.png", DEPTH[0])
    sent = [
        (NAMES[0], 1.0, maker.compressed(bytes(12) + png, "16UC1; compressedDepth png", 1.0)),
        (NAMES[1], 1.0, maker.compressed(jpeg, "jpeg", 1.0)),
    ]
    out = tmp_path / "out"
    import_data(maker.write(tmp_path / "in", sent), out, pair=True)
    (line,) = index(out)
    np.testing.assert_array_equal(read_frame(out / line["file"]), DEPTH[0])
    assert (out / line["rgb"]).read_bytes() == jpeg
    assert read_rgb(out / line["rgb"]).shape == (48, 36, 3)


def test_files_of_folders_are_kept_but_for_those_that_are_changed(tmp_path: Path) -> None:
    for name in ("depth", "rgb", "confidence"):
        (tmp_path / "in" / name).mkdir(parents=True)
    tiff = cv2.imencode(".tiff", DEPTH[1])[1].tobytes()
    (tmp_path / "in/depth/1.500.png").write_bytes(encoded(DEPTH[0], ".png"))
    (tmp_path / "in/depth/2.500.tif").write_bytes(tiff)
    (tmp_path / "in/rgb/1.500.jpg").write_bytes(turned(tmp_path / "a.jpg", COLOR[0]))
    (tmp_path / "in/rgb/2.500.bmp").write_bytes(encoded(COLOR[1], ".bmp"))
    for n in (1, 2):
        cv2.imwrite(
            str(tmp_path / f"in/confidence/{n}.500.png"), np.arange(48 * 64).reshape(48, 64) % 3 * np.uint8(1)
        )
    out = tmp_path / "out"
    import_data(tmp_path / "in", out, sensor="depth", pair=True)
    lines = index(out)
    assert [line["file"] for line in lines] == ["frame/000000.png", "frame/000001.png"]
    assert [line["rgb"] for line in lines] == ["rgb/000000.jpg", "rgb/000001.png"]
    assert (out / lines[0]["file"]).read_bytes() == (tmp_path / "in/depth/1.500.png").read_bytes()
    for line, frame, name in zip(lines, DEPTH, ("1.500.jpg", "2.500.bmp"), strict=False):
        np.testing.assert_array_equal(read_frame(out / line["file"]), frame)
        np.testing.assert_array_equal(read_rgb(out / line["rgb"]), read_rgb(tmp_path / "in/rgb" / name))
    import_data(
        tmp_path / "in", tmp_path / "masked", sensor="depth", confidence=tmp_path / "in/confidence",
        min_confidence=2,
    )  # fmt: skip
    sure = np.arange(48 * 64).reshape(48, 64) % 3 == 2
    np.testing.assert_array_equal(
        read_frame(tmp_path / "masked/frame/000000.png"), np.where(sure, DEPTH[0], 0)
    )
