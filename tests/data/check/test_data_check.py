"""What ``data check`` says of pairs whose faults are known: moved, enlarged, mixed up, copied, dark, empty."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.pairs import finding, moved, scenes, states
from tgkt_edge.cli.main import app
from tgkt_edge.data.check.check import check_data
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import DataError
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec


@pytest.mark.slow
def test_good_pairs_are_good(write: Callable[..., Path]) -> None:
    report = check_data(write(scenes(12)), "depth")
    assert set(states(report).values()) == {"ok"}, report.text()
    assert states(report).keys() == {
        "files", "sizes", "alignment", "belonging", "gray", "copies (pairs)", "holes (pairs)", "range (pairs)",
        "exposure",
    }  # fmt: skip
    assert report.alignment is not None
    assert report.alignment.score > 0.5


@pytest.mark.slow
def test_copies_dark_rgb_images_and_empty_frames_are_named(write: Callable[..., Path]) -> None:
    pairs = scenes(12)
    pairs[4] = pairs[3]
    pairs[7] = (np.zeros_like(pairs[7][0]), pairs[7][1])
    empty = np.zeros_like(pairs[9][1])
    empty[:20, :20] = 2000
    pairs[9] = (pairs[9][0], empty)
    report = check_data(write(pairs), "depth")
    for question, name in (("copies (pairs)", "004"), ("exposure", "007"), ("holes (pairs)", "009")):
        found = finding(report, question)
        assert found.state in ("note", "fix"), report.text()
        assert [Path(one).stem for one in found.names] == [name]


@pytest.mark.slow
def test_a_wrong_unit_and_files_of_another_kind_are_to_mend(write: Callable[..., Path]) -> None:
    folder = write(scenes(8))
    (folder / "frame/003.png").write_bytes(b"no image")
    millimetres_as_metres = replace(PRESETS["depth"], unit_m=0.1)
    report = check_data(folder, millimetres_as_metres)
    assert finding(report, "range (pairs)").state == "fix"
    assert "1 mm (unit_m: 0.001)" in finding(report, "range (pairs)").text
    assert finding(report, "files").figures == {"bad": 1}
    assert report.state == "fix"
    with pytest.raises(DataError, match="none of 8 pairs can be used"):
        check_data(folder, SensorSpec("nir", "uint8", black=0, white=255))


@pytest.mark.slow
def test_a_wider_rgb_image_is_noted(write: Callable[..., Path]) -> None:
    pairs = [(cv2.resize(rgb, (640, 360)), depth) for rgb, depth in scenes(6)]
    found = finding(check_data(write(pairs), "depth"), "sizes")
    assert found.state == "note"
    assert "640x360, frames of 320x240: one is wider" in found.text


@pytest.mark.slow
def test_pairs_of_the_task_s_scenes_are_noted(write: Callable[..., Path]) -> None:
    pairs, others = scenes(10), scenes(10, seed=7)
    target = write(others[:6] + pairs[2:4], "target") / "frame"
    report = check_data(write(pairs), "depth", target)
    found = finding(report, "overlap")
    assert found.state == "note"
    assert [Path(name).stem for name in found.names] == ["002", "003"]
    assert (
        states(check_data(write(pairs, "again"), "depth", write(others, "other") / "frame"))["overlap"]
        == "ok"
    )


@pytest.mark.slow
def test_times_between_the_halves_come_from_the_recording(write: Callable[..., Path]) -> None:
    folder = write(scenes(6))
    lines = [
        json.dumps({"number": n, "time": n / 10, "file": f"frame/{n:03d}.png", "skew_ms": 45.0 - n})
        for n in range(6)
    ]
    (folder / "frames.jsonl").write_text("\n".join(lines) + '\n{"cut of')
    found = finding(check_data(folder, "depth"), "times")
    assert found.state == "note"
    assert found.figures == {"median_ms": 42.5, "most_ms": 45.0}


@pytest.mark.slow
def test_the_command_prints_findings_and_ends_with_3_where_something_is_to_mend(
    write: Callable[..., Path],
) -> None:
    good = write(scenes(8))
    done = CliRunner().invoke(app, ["data", "check", str(good), "--sensor", "depth"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("ok    files           all 8 can be read and fit the sensor\n")
    bad = write([(moved(rgb, 1, 1, 14, 0), depth) for rgb, depth in scenes(8)], "bad")
    done = CliRunner().invoke(app, ["data", "check", str(bad), "--sensor", "depth", "--json"])
    assert done.exit_code == 3
    report = json.loads(done.stdout)
    assert report["state"] == "fix"
    (alignment,) = [one for one in report["findings"] if one["question"] == "alignment"]
    assert alignment["figures"]["right"] == pytest.approx(-14 / 320, abs=0.01)
    done = CliRunner().invoke(app, ["data", "check", str(good / "rgb"), "--sensor", "depth"])
    assert done.exit_code == 2


@pytest.mark.slow
def test_the_page_shows_named_pairs_first_and_the_edges_before_and_after(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    pairs = [(moved(rgb, 1, 1, 14, 0), depth) for rgb, depth in scenes(20)]
    pairs[17] = (pairs[17][0] * 0, pairs[17][1])
    check_data(write(pairs, "a<b"), "depth", page=tmp_path / "look.html")
    text = (tmp_path / "look.html").read_text()
    assert "a&lt;b" in text
    assert "a<b" not in text
    names = re.findall(r"<h2>(.*?)</h2>", text)
    assert len(names) == 12
    assert "017.png" in names[0] + names[1]
    assert text.count("edges, once aligned") == 12
    assert '<td class="fix">fix</td><th>alignment</th>' in text
    assert not re.search(r"(src|href)=['\"](?!data:)", text)  # it needs no other file
    red = []
    for data in re.findall(r"src='data:image/jpeg;base64,(.*?)'", text)[:4]:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (240, 320, 3)
        red.append(int(((image[..., 2] > 180) & (image[..., :2] < 110).all(-1)).sum()))
    assert min(red[2:]) > 500


@pytest.mark.slow
def test_frames_that_an_index_lists_beyond_the_end_of_its_video_are_missed(
    write: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A power cut leaves a video that ends before its index does."""
    pairs = scenes(3)
    folder = tmp_path / "target"
    with RecordingWriter(folder, PRESETS["depth"], "ffv1") as writer:
        for number, (_, depth) in enumerate(scenes(4, seed=5)):
            writer.add(Captured(depth, number, float(number), f"{number}"))
    lines = (folder / "frames.jsonl").read_text().splitlines()
    beyond = json.loads(lines[-1])
    beyond.update(number=4, video=4)
    (folder / "frames.jsonl").write_text("\n".join([*lines, json.dumps(beyond)]) + "\n")
    report = check_data(write(pairs), "depth", folder)
    found = finding(report, "files (target)")
    assert found.state == "fix"
    assert "1 of 5 cannot be used" in found.text
    assert found.text.endswith(":4: is listed, but the video ends before it")
    assert finding(report, "files").state == "ok"
    frames, _ = load_frames(folder, PRESETS["depth"], 16)
    assert len(frames) == 4
    assert "ends before 1 of 5 frames that are listed" in caplog.text
