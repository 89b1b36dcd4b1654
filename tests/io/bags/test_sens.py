"""ScanNet's .sens files, as its SensReader lays them out."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.open_bag import is_bag, open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import PRESETS, load_sensor

RANDOM = np.random.default_rng(6)
DEPTH = RANDOM.integers(0, 65536, (4, 24, 32)).astype(np.uint16)
COLOR = np.stack(
    [cv2.resize(RANDOM.integers(0, 256, (3, 4, 3)).astype(np.uint8), (64, 48)) for _ in range(4)]
)


def matrix(fx: float, fy: float, cx: float, cy: float) -> NDArray[np.float32]:
    found = np.eye(4, dtype=np.float32)
    found[0, 0], found[1, 1], found[0, 2], found[1, 2] = fx, fy, cx, cy
    return found


def sens(
    path: Path, color: int = 2, depth: int = 1, shift: float = 1000.0, place: NDArray[Any] | None = None
) -> Path:
    """Four frames, 33 ms apart; ``color``, ``depth``: how they are packed."""
    eye = np.eye(4, dtype=np.float32)
    cameras = [matrix(60, 61, 31.5, 23.5), eye if place is None else place, matrix(30, 30.5, 15.5, 11.5), eye]
    out = struct.pack("<IQ", 4, 15) + b"StructureSensor"
    out += b"".join(one.astype("<f4").tobytes() for one in cameras)
    out += struct.pack("<iiIIIIfQ", color, depth, 64, 48, 32, 24, shift, len(DEPTH))
    for number, (frame, picture) in enumerate(zip(DEPTH, COLOR, strict=True)):
        packed = zlib.compress(frame.tobytes()) if depth == 1 else frame.tobytes()
        shown = (
            picture[..., ::-1].tobytes()
            if color == 0
            else cv2.imencode((".png", ".jpg")[min(color, 2) - 1], picture)[1].tobytes()
        )
        times = (1_000_000 + 33_000 * number, 1_002_000 + 33_000 * number)
        out += eye.tobytes() + struct.pack("<QQQQ", *times, len(shown), len(packed)) + shown + packed
    path.write_bytes(out)
    return path


@pytest.mark.parametrize(("color", "depth"), [(2, 1), (1, 0), (0, 1)])
def test_frames_come_out_bit_for_bit_with_times_unit_and_cameras(
    color: int, depth: int, tmp_path: Path
) -> None:
    path = sens(tmp_path / "scene.sens", color, depth)
    assert {str(stream) for stream in streams(open_bag(path))} == {
        "depth (depth, 16UC1, 32x24)", "color (color, bgr8, 64x48)",
    }  # fmt: skip
    summary = import_data(path, tmp_path / "out", pair=True)
    assert (summary.frames, summary.bad, summary.alone) == (4, 0, 0)
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert spec.unit_m == 0.001
    assert spec.intrinsics is not None
    assert (spec.intrinsics.fx, spec.intrinsics.cy) == (30, 11.5)
    with open_source(str(tmp_path / "out"), spec) as source:
        found = list(iter(source.read, None))
    np.testing.assert_array_equal([one.frame for one in found], DEPTH)
    np.testing.assert_allclose([one.time for one in found], [1.002 + 0.033 * n for n in range(4)])
    for number in range(4):
        name = f"out/rgb/{number:06d}.{'jpg' if color == 2 else 'png'}"
        rgb: Any = cv2.imread(str(tmp_path / name))
        assert np.abs(rgb.astype(int) - COLOR[number]).max() <= (0 if color < 2 else 30)
    with open_source(f"{path}?topic=depth", PRESETS["depth"]) as source:
        np.testing.assert_array_equal([one.frame for one in iter(source.read, None)], DEPTH)


def test_the_unit_is_the_file_s_and_registered_color_is_aligned(tmp_path: Path) -> None:
    path = sens(tmp_path / "scene.sens", shift=4000.0)
    summary = import_data(path, tmp_path / "out", align=True)
    assert load_sensor(str(tmp_path / "out/sensor.yaml")).unit_m == 0.00025
    assert summary.aligned is not None
    assert summary.aligned["outside"] < 0.1
    moved = np.eye(4, dtype=np.float32)
    moved[0, 3] = 0.05
    with pytest.raises(
        DataError, match=r"needs where the two cameras are to each other.*no way to read them"
    ):
        import_data(sens(tmp_path / "b.sens", place=moved), tmp_path / "b", align=True)


def test_what_was_cut_off_or_is_packed_otherwise_is_named(tmp_path: Path) -> None:
    path = sens(tmp_path / "a.sens")
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    bag = open_bag(path)
    assert len(list(bag.messages(["depth"]))) == 3
    assert "is cut off in frame 3 of 4; its intact part is read" in bag.problem
    path.write_bytes(whole[:60])
    assert is_bag(path)
    with pytest.raises(DataError, match="is cut off before its first frame"):
        open_bag(path).topics()
    bag = open_bag(sens(tmp_path / "b.sens", depth=2))
    (message, *_) = bag.messages(["depth"])
    with pytest.raises(DataError, match="its depth is packed in way 2, which is not read"):
        read_picture(message)


def test_damage_anywhere_is_an_error_or_fewer_frames(tmp_path: Path) -> None:
    whole = sens(tmp_path / "a.sens").read_bytes()
    path = tmp_path / "b.sens"
    for _ in range(200):
        data = bytearray(whole)
        for at in RANDOM.integers(0, 700, RANDOM.integers(1, 5)):
            data[at] = RANDOM.integers(0, 256)
        path.write_bytes(data[: RANDOM.integers(20, len(data) + 1)])
        if not is_bag(path):
            continue
        try:
            bag = open_bag(path)
            bag.rig()
            for message in bag.messages(["depth", "color"]):
                try:
                    assert read_picture(message).pixels.ndim > 1
                except DataError:
                    continue
        except DataError:
            continue


def test_a_small_file_does_not_take_all_memory(tmp_path: Path) -> None:
    """Two hundred kilobytes of zeros, packed a thousandfold, for a frame of 32x24."""
    bomb = zlib.compress(bytes(200 << 20))
    data = sens(tmp_path / "a.sens", depth=0).read_bytes()
    head = data[: data.index(b"StructureSensor") + 15 + 4 * 64 + 36]
    head = head[:-36] + struct.pack("<iiIIIIfQ", 2, 1, 64, 48, 32, 24, 1000.0, 1)
    frame = np.eye(4, dtype="<f4").tobytes() + struct.pack("<QQQQ", 0, 0, 0, len(bomb)) + bomb
    (tmp_path / "b.sens").write_bytes(head + frame)
    (message,) = open_bag(tmp_path / "b.sens").messages(["depth"])
    with pytest.raises(DataError, match="1537 bytes of depth, expected 1536"):
        read_picture(message)
