"""The audit of runs whose frames lie in recordings or have odd names, and of runs without a target network."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.training import Tiny
from tgkt_edge.data.discovery import labelled
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources import Captured
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt, describe
from tgkt_edge.train.audit.audit import describe as describe_audit
from tgkt_edge.train.audit.audit import pick, score
from tgkt_edge.train.audit.frames import reader, target_frames
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")


Altered = Callable[[Callable[[dict[str, Any]], object]], Path]


@pytest.fixture
def altered(finished: Run, tmp_path: Path) -> Altered:
    """The finished run as if it had been started otherwise."""

    def alter(change: Callable[[dict[str, Any]], object]) -> Path:
        out = Path(shutil.copytree(finished.path, tmp_path / "run"))
        values = yaml.safe_load((out / "config.yaml").read_text())
        change(values)
        (out / "config.yaml").write_text(yaml.safe_dump(values))
        return out

    return alter


def rows(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["frame"] for row in csv.DictReader(file)]


def fill(path: Path, frames: list[str], label: str = "kitchen") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("frame", "label"), *((frame, label) for frame in frames)])
    return path


@pytest.mark.parametrize(("part", "said"), [("uncertain", True), ("random", False)])
def test_frames_that_were_kept_for_being_difficult_are_no_estimate(
    altered: Altered, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture, part: str, said: bool
) -> None:
    shutil.copytree(tiny.inputs.target, tmp_path / "home" / part / "frame")
    (tmp_path / "home" / "policy.json").write_text("{}")
    path = altered(lambda values: values["inputs"].update(target=str(tmp_path / "home")))
    pick(path, 3, tmp_path / "a.csv")
    assert ("3 of 3 frames were kept by the sink frames: for being uncertain or novel" in caplog.text) is said


@pytest.mark.parametrize("form", ["png", "ffv1"])
def test_frames_of_a_recording_are_picked_and_scored(
    form: str, altered: Altered, tiny: Tiny, tmp_path: Path
) -> None:
    """As adapt reads it: by its index, so that the colour frames beside are no target frames."""
    files = sorted((tiny.data / "target").iterdir())
    with RecordingWriter(tmp_path / "rec", DEPTH, form) as writer:
        for number, file in enumerate(files):
            writer.add(Captured(read_frame(file), number, 1000.0 + number, "camera"))
    shutil.copytree(tiny.data / "paired" / "rgb", tmp_path / "rec" / "rgb")
    run = altered(lambda values: values["inputs"].update(target=str(tmp_path / "rec")))

    there = target_frames(run)
    read = reader(there)
    for frame, file in zip(there, files, strict=True):
        np.testing.assert_array_equal(read(frame), read_frame(file))
    found = pick(run, 5, tmp_path / "a.csv")
    assert (found.frames, found.of, found.unreadable) == (5, 12, ())
    start = str(tmp_path / "rec" / ("frames.mkv:" if form == "ffv1" else "frame"))
    assert all(frame.startswith(start) for frame in rows(found.table))
    assert score(run, fill(tmp_path / "a.csv", rows(found.table)), "cpu")["labelled"] == 5


def test_frames_after_the_end_of_a_cut_off_video_are_passed_over(
    altered: Altered, tiny: Tiny, tmp_path: Path
) -> None:
    with RecordingWriter(tmp_path / "rec", DEPTH, "ffv1") as writer:
        for number, file in enumerate(sorted((tiny.data / "target").iterdir())):
            writer.add(Captured(read_frame(file), number, 1000.0 + number, "camera"))
    with (tmp_path / "rec" / "frames.jsonl").open("a") as index:
        for number in (12, 13):
            index.write(f'{{"number": {number}, "time": 1, "file": "frames.mkv", "video": {number}}}\n')
    run = altered(lambda values: values["inputs"].update(target=str(tmp_path / "rec")))
    found = pick(run, 14, tmp_path / "a.csv")
    assert (found.frames, len(found.unreadable)) == (12, 2)


def test_a_run_without_a_target_network_compares_its_translated_frames(
    altered: Altered, tiny: Tiny, tmp_path: Path
) -> None:
    run = altered(lambda values: values["config"].update(method="tgmb"))
    Run(run).target.unlink()
    found = score(run, fill(tmp_path / "a.csv", rows(pick(run, 6, tmp_path / "a.csv").table)), "cpu")
    assert found["models"].keys() == {"source-only", "tgmb"}
    assert found["comparison"]["model"] == "tgmb"
    assert "tgmb against source-only: " in "\n".join(describe_audit(found))


def test_a_file_name_that_is_not_utf8_stops_nothing(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    """Archives of Latin-1 systems: the name is shown with its bytes in hexadecimal wherever it is shown."""
    shutil.copytree(tiny.data / "target", tmp_path / "target")
    for file in sorted((tmp_path / "target").iterdir()):
        os.rename(os.fsencode(file), os.fsencode(file.parent) + b"/k\xfc" + os.fsencode(file.name))
    inputs = RunInputs(str(tmp_path / "target"), None, source_model=str(finished.source))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config("method=source-only"))
    assert "<b>target/k\\xfc0000" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    # Twelve frames are all that can be labelled.
    assert describe(report, tmp_path / "run")[-1].endswith("--frames 12")
    found = pick(tmp_path / "run", 12)
    assert f"{tmp_path}/target/k\\xfc000000.png" in rows(found.table)
    assert "k\\xfc000000.png" in found.sheet.read_text(encoding="utf-8")
    filled = fill(tmp_path / "a.csv", rows(found.table))
    assert score(tmp_path / "run", filled, "cpu")["labelled"] == 12


def test_a_class_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/K\xfcche"
    os.mkdir(folder)
    Path(os.fsdecode(folder), "1.png").touch()
    with pytest.raises(DataError, match=r"class folder K\\xfcche is not UTF-8") as caught:
        labelled(tmp_path, "--source", "image")
    assert caught.value.exit_code == 2


def test_answers_that_cannot_be_read(finished: Run, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    with pytest.raises(DataError, match=r"no such file\. Write one with: tgkt-edge audit RUN --frames 12"):
        score(finished.path, table, "cpu")
    table.symlink_to("/proc/self/mem")  # a file that opens, and whose first byte cannot be read
    with pytest.raises(DataError, match=r"`answers=.*a\.csv`: cannot be read: Input/output error"):
        score(finished.path, table, "cpu")
