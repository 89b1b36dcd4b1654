"""What replay does with a recording that a power cut, a bad disk or a wrong hand left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import pytest
import yaml

from tests.support.images import noise, save_frames
from tests.support.recordings import record_quietly, replay
from tgkt_edge.errors import SourceLostError
from tgkt_edge.io.recording_format import read_index
from tgkt_edge.runtime import open_source
from tgkt_edge.sensor import load_sensor


def test_a_power_cut_in_the_last_line_costs_one_frame(tmp_path: Path) -> None:
    record_quietly(save_frames(tmp_path / "in", noise(3)), tmp_path / "out", sensor="depth")
    path = tmp_path / "out" / "frames.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert len(replay(tmp_path / "out")) == 2
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["{", *lines[1:]]))
    with pytest.raises(SourceLostError, match=r"frames\.jsonl, line 1: is not a frame"):
        replay(tmp_path / "out")


def test_a_flipped_bit_a_missing_file_and_a_short_video_are_named(tmp_path: Path) -> None:
    frames = noise(4)
    camera = save_frames(tmp_path / "in", frames)
    record_quietly(camera, tmp_path / "out", sensor="depth")
    flipped = frames[1].copy()
    flipped[20, 30] ^= 1
    assert cv2.imwrite(str(tmp_path / "out/frame/000001.png"), flipped)
    os.remove(tmp_path / "out/frame/000002.png")
    errors = [captured.error for captured in replay(tmp_path / "out")]
    assert [error is None for error in errors] == [True, False, False, True]
    assert "000001.png: is not what was recorded" in errors[1]
    assert "000002.png" in errors[2]
    record_quietly(camera, tmp_path / "video", sensor="depth", form="ffv1")
    path = tmp_path / "video" / "frames.jsonl"
    last = json.loads(path.read_text().splitlines()[-1])
    path.write_text(path.read_text() + json.dumps({**last, "number": 4, "video": 4}) + "\n")
    assert "ends before frame 4" in replay(tmp_path / "video")[-1].error


@pytest.mark.parametrize("file", ["/etc/passwd", "../in/frame_0.png"])
def test_an_index_cannot_name_files_outside_its_folder(tmp_path: Path, file: str) -> None:
    record_quietly(save_frames(tmp_path / "in", noise(1)), tmp_path / "out", sensor="depth")
    path = tmp_path / "out" / "frames.jsonl"
    line = json.loads(path.read_text())
    path.write_text(json.dumps({**line, "file": file}) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(SourceLostError, match="expected a path below the folder"):
        replay(tmp_path / "out")


def test_a_recording_of_another_sensor_is_refused_with_what_to_give(tmp_path: Path) -> None:
    record_quietly(save_frames(tmp_path / "in", noise(1)), tmp_path / "out", sensor="depth")
    spec = yaml.safe_load((tmp_path / "out/sensor.yaml").read_text())
    (tmp_path / "out/sensor.yaml").write_text(yaml.safe_dump({**spec, "unit_m": 0.00025, "far_m": 4.0}))
    with pytest.raises(
        SourceLostError, match=r"unit_m: 0\.00025, but the sensor given is unit_m: 0\.001.*sensor\.yaml"
    ):
        replay(tmp_path / "out")
    with open_source(str(tmp_path / "out"), load_sensor(str(tmp_path / "out/sensor.yaml"))) as source:
        assert source.read() is not None


def test_entries_say_where_their_frame_is(tmp_path: Path) -> None:
    record_quietly(save_frames(tmp_path / "in", noise(2)), tmp_path / "out", sensor="depth", form="ffv1")
    assert [(entry.number, entry.file, entry.video) for entry in read_index(tmp_path / "out")] == [
        (0, "frames.mkv", 0),
        (1, "frames.mkv", 1),
    ]
