"""Rows in a CSV file: one a frame, read by Python's own reader; rotated, mended, kept while the disk is full."""

from __future__ import annotations

import csv
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink
from tgkt_edge.runtime.sinks.csv_file import COLUMNS, CsvSink
from tgkt_edge.sensor import PRESETS

INFO = RunInfo("0", "cpu", ("a", "b"), PRESETS["depth"], 32, 1.0, run="20260131T120000Z-0123abcd")
MS = {"capture": 1.0, "preprocess": 2.0, "inference": 10.25, "total": 13.5}


def decision(number: int, **more: Any) -> Message:
    fields = {
        "label": "a",
        "probability": 0.75,
        "ms": MS,
        "time": 1.5,
        "frame": number,
        "source": "0",
        **more,
    }
    return Message(Decision(**fields))


def opened(path: Path, **options: Any) -> CsvSink:
    sink = CsvSink(path, **options)
    sink.open(INFO)
    return sink


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, strict=True)
        found = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    return found


def test_a_row_a_frame_with_all_digits_and_no_row_for_events(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.csv"
    sink = open_sink(f"csv:{path}")
    sink.open(INFO)
    sink.write(Message(StateEvent(1.0, "live")))
    sink.write(decision(3, probability=0.1 + 0.2, health=("invalid", "frozen"), drift={"input": 0.5}))
    sink.write(Message(BadFrame('a "quoted", broken\nname', time=2.0, frame=4, source="x.png")))
    sink.close()
    first, second = rows(path)
    assert first == {
        "run": INFO.run, "time": "1.500000", "frame": "3", "source": "0", "label": "a",
        "probability": "0.30000000000000004", "health": "invalid frozen", "error": "",
        "capture_ms": "1.000", "preprocess_ms": "2.000", "inference_ms": "10.250", "total_ms": "13.500",
        "age_ms": "", "drift_input": "0.5", "drift_classes": "", "drift_scale": "",
    }  # fmt: skip
    assert (second["label"], second["probability"]) == ("", "")
    assert second["error"] == 'a "quoted", broken name'
    assert len(path.read_bytes().splitlines()) == 3


def test_a_restart_appends_and_removes_a_row_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    sink = opened(path)
    sink.write(decision(0))
    sink.close()
    with path.open("ab") as file:
        file.write(b"run,1.5,1,0,a,0.7")  # killed within a row: 0.7 may have been 0.75
    sink = opened(path)
    sink.write(decision(2))
    sink.close()
    assert [row["frame"] for row in rows(path)] == ["0", "2"]


@pytest.mark.parametrize("length", [0, 1, 30])
def test_a_header_that_was_cut_off_is_written_again(tmp_path: Path, length: int) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(",".join(COLUMNS).encode()[:length])
    sink = opened(path)
    sink.write(decision(0))
    sink.close()
    assert [row["frame"] for row in rows(path)] == ["0"]


def test_every_file_of_a_rotation_has_the_header(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    line = len(opened(tmp_path / "other.csv").line_of(decision(10)))
    sink = opened(path, max_bytes=len(",".join(COLUMNS)) + 1 + 5 * line, keep=3)
    for number in range(10, 22):
        sink.write(decision(number))
    sink.close()
    files = [tmp_path / "log.2.csv", tmp_path / "log.1.csv", path]
    assert [[row["frame"] for row in rows(file)] for file in files] == [
        [str(number) for number in range(start, min(start + 5, 22))] for start in (10, 15, 20)
    ]


def test_rows_wait_while_there_is_no_room_and_are_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    sink = opened(path)
    line = len(sink.line_of(decision(0)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(sink.header) + 3 * line + line // 2, hard))
    try:
        for number in range(3):
            sink.write(decision(number))
        for number in range(3, 6):
            with pytest.raises(OSError, match=f"{number - 2} lines wait in memory, 0 were dropped"):
                sink.write(decision(number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(rows(path)) == 3  # whole ones
    sink.write(decision(6))
    sink.close()
    assert [row["frame"] for row in rows(path)] == [str(number) for number in range(7)]


def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("frame,label\nmine,kitchen\n")
    with pytest.raises(UsageError, match="does not begin with the columns"):
        opened(path)
    assert path.read_text() == "frame,label\nmine,kitchen\n"


@pytest.mark.parametrize("uri", ["csv:", "csv:-"])
def test_a_path_is_needed(uri: str) -> None:
    with pytest.raises(UsageError, match="expected csv:PATH"):
        open_sink(uri)


@pytest.mark.slow
def test_run_writes_it(depth_bundle: Any, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames", make_frames(3))
    (frames / "frame_1.png").write_bytes(b"broken")
    path = tmp_path / "log.csv"
    done = run_cli("run", depth_bundle.path, "--camera", frames, "--sink", f"csv:{path}", "--sink", "jsonl:-")
    assert done.code == 0, done.stderr
    assert done.start is not None
    found = rows(path)
    assert {row["run"] for row in found} == {done.start["run"]}
    assert [row["label"] for row in found] == [record.get("label", "") for record in done.records]
    assert [float(row["probability"] or 0) for row in found] == [
        r.get("probability", 0) for r in done.records
    ]
    assert os.path.basename(found[1]["source"]) == "frame_1.png"
    assert found[1]["error"]
