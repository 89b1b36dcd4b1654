"""Lines in files: appended, rotated, never half, also when the disk is full or the last run was killed."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import cli_environment
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import Candidate, Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink
from tgkt_edge.runtime.sinks.jsonl import JsonlSink
from tgkt_edge.runtime.sinks.rotation import rotate
from tgkt_edge.sensor import PRESETS

INFO = RunInfo("0", "onnxruntime cpu", ("a", "b"), PRESETS["depth"], 32, 1.0)


def decision(number: int, **more: Any) -> Message:
    fields = {"label": "a", "probability": 0.75, "time": 1.5, "frame": number, "source": "0", **more}
    return Message(Decision(**fields))


def opened(path: Path, **options: Any) -> JsonlSink:
    sink = JsonlSink(path, **options)
    sink.open(INFO)
    return sink


def frames_in(path: Path) -> list[int]:
    """The frame numbers of a file in which every line must be whole."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line)["frame"] for line in text.splitlines()]


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The system lets no file of this process grow beyond ``size`` bytes: a write that crosses it is cut there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_is_on_disk_when_write_returns(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl:{tmp_path}/new/folder/log.jsonl")
    sink.open(INFO)
    message = decision(3, top=(Candidate("ä", 0.1 + 0.2),))
    sink.write(message)
    assert json.loads((tmp_path / "new/folder/log.jsonl").read_text()) == message.record.to_dict()
    sink.close()
    sink.close()


def test_a_restart_appends(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for number in range(3):
        sink = opened(path)
        sink.write(decision(number))
        sink.close()
    assert frames_in(path) == [0, 1, 2]


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b'{"frame": 7, "la', [6]),  # killed within a line
        (b'{"frame": 7}', [6, 7]),  # killed before the line's end: nothing of it is lost
        (b"\x00\x00\x00\x00", [6]),  # a power cut left a block of zeros
        (b"", [6]),
    ],
)
def test_a_cut_off_last_line_never_spoils_its_neighbours(
    tmp_path: Path, tail: bytes, kept: list[int]
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"frame": 6}\n' + tail)
    sink = opened(path)
    sink.write(decision(8))
    sink.close()
    assert frames_in(path) == [*kept, 8]


@pytest.mark.parametrize("keep", [0, 3])
def test_a_file_whose_beginning_a_power_cut_lost_is_put_aside(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "log.jsonl"
    left = bytes(4096) + b'{"frame": 6}\n'
    path.write_bytes(left)
    sink = opened(path, keep=keep)
    sink.write(decision(8))
    sink.close()
    assert frames_in(path) == [8]
    assert (tmp_path / "log.1.jsonl").read_bytes() == left


def test_a_file_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes without an end of line")
    with pytest.raises(UsageError, match=r"notes\.txt`: .*does not hold JSON lines"):
        opened(path)
    assert path.read_text() == "my notes without an end of line"


def test_a_file_of_another_run_is_refused(tmp_path: Path) -> None:
    first = opened(tmp_path / "log.jsonl")
    with pytest.raises(UsageError, match="another run is writing it"):
        opened(tmp_path / "log.jsonl")
    first.close()
    opened(tmp_path / "log.jsonl").close()


def test_full_files_are_rotated_and_the_oldest_removed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    line = len(decision(10).text) + 1
    sink = opened(path, max_bytes=3 * line, keep=2)
    for number in range(10, 21):
        sink.write(decision(number))
    sink.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log.1.jsonl", "log.2.jsonl", "log.jsonl"]
    assert frames_in(tmp_path / "log.2.jsonl") == [13, 14, 15]
    assert frames_in(tmp_path / "log.1.jsonl") == [16, 17, 18]
    assert frames_in(path) == [19, 20]


def test_rotation_fills_a_gap_that_a_kill_left(tmp_path: Path) -> None:
    for name in ("log.jsonl", "log.2.jsonl", "log.3.jsonl"):
        (tmp_path / name).write_text(name)
    rotate(tmp_path / "log.jsonl", 3)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "log.1.jsonl": "log.jsonl",
        "log.2.jsonl": "log.2.jsonl",
        "log.3.jsonl": "log.3.jsonl",
    }


def test_a_full_disk_leaves_no_half_line_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sink = opened(path)
    line = len(decision(10).text) + 1
    with files_end_at(3 * line + line // 2):
        for number in range(10, 13):
            sink.write(decision(number))
        for number in range(13, 20):
            with pytest.raises(
                OSError, match=r"log\.jsonl: .*lines wait in memory, 0 were dropped"
            ) as caught:
                sink.write(decision(number))
            assert caught.value.errno == errno.EFBIG
            assert frames_in(path) == [10, 11, 12]
    sink.write(decision(20))
    sink.close()
    assert frames_in(path) == list(range(10, 21))


def test_a_device_is_written_to_and_never_renamed(tmp_path: Path) -> None:
    device = tmp_path / "terminal"
    main, end = os.openpty()
    device.symlink_to(os.ttyname(end))
    sink = opened(device, max_bytes=200)
    for number in range(20):
        sink.write(decision(number))
        assert json.loads(os.read(main, 4096))["frame"] == number
    sink.close()
    assert os.listdir(tmp_path) == ["terminal"]
    os.close(main)
    os.close(end)


def test_a_device_without_room_names_the_reason() -> None:
    sink = JsonlSink(Path("/dev/full"))
    sink._moved = lambda: False  # type: ignore[method-assign]  # a device has no inode of its own to compare
    sink.open(INFO)
    with pytest.raises(OSError, match="No space left on device") as caught:
        sink.write(decision(1))
    assert caught.value.errno == errno.ENOSPC
    sink.close()


def test_the_buffer_drops_the_oldest_and_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sink = opened(path, buffer=3)
    with files_end_at(0):
        for number in range(8):
            with pytest.raises(OSError, match="wait in memory"):
                sink.write(decision(number))
    assert sink.dropped == 5
    sink.write(decision(8))
    sink.close()
    assert frames_in(path) == [5, 6, 7, 8]


def test_a_file_moved_by_logrotate_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    sink = opened(path)
    sink.write(decision(1))
    path.rename(tmp_path / "old.jsonl")
    sink.write(decision(2))
    path.unlink()
    sink.write(decision(3))
    sink.close()
    assert frames_in(tmp_path / "old.jsonl") == [1]
    assert frames_in(path) == [3]


KILLED = """
import os, signal, sys
from pathlib import Path
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.runtime.sinks.jsonl import JsonlSink
sink = JsonlSink(Path(sys.argv[1]), max_bytes=2000, keep=1000)
sink.open(None)
for number in range(1000):
    sink.write(Message(Decision("x" * 50, 0.5, frame=number)))
    if number == 100:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, path],
        env=cli_environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == -9
    files = [*sorted(tmp_path.glob("log.*.jsonl"), key=lambda file: -int(file.name.split(".")[1])), path]
    assert len(files) > 3
    assert [number for file in files for number in frames_in(file)] == list(range(101))


def test_stdout_is_a_stream_of_lines() -> None:
    stream = io.StringIO()
    sink = open_sink("jsonl:-", out=stream)
    sink.open(INFO)
    sink.write(decision(1))
    sink.write(Message(StateEvent(2.0, "live")))
    sink.close()
    assert [json.loads(line)["time"] for line in stream.getvalue().splitlines()] == [1.5, 2.0]
    assert not stream.closed


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    sink = opened(tmp_path / "log.jsonl")
    with pytest.raises(OSError, match="this record is not JSON"):
        sink.write(decision(1, probability=float("nan")))
    sink.write(decision(2, probability=np.float32(0.5)))
    sink.close()
    assert json.loads((tmp_path / "log.jsonl").read_text()) == decision(2, probability=0.5).record.to_dict()


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("jsonl:", ["expected jsonl:PATH"]),
        ("jsonl:{}/a?max_md=5", ["unknown option 'max_md'", "Did you mean 'max_mb'"]),
        ("jsonl:{}/a?keep=1.5", ["keep=1.5", "whole number"]),
        ("jsonl:{}/a?keep=-1", ["keep=-1", "from 0"]),
        ("jsonl:{}/a?keep=1&keep=2", ["given twice"]),
        ("jsonl:{}/a?keep", ["key=value"]),
        ("jsonl:{}/a?keep=", ["'keep' is empty"]),
        ("jsonl:{}/a?max_mb=nan", ["max_mb=nan"]),
        ("jsonl:-?keep=3", ["stdout has no options"]),
        ("json:a", ["unknown kind 'json'", "Did you mean 'jsonl:'"]),
        ("mqt://user:hunter2@host/t", ["Did you mean 'mqtt:'"]),
        ("htp://0.0.0.0:80?token=hunter2", ["Did you mean 'http:'"]),
        ("decisions.jsonl", ["it does not begin with a kind of sink", "jsonl:decisions.jsonl"]),
        ("smtp://a:hunter2?x@b/c?password=hunter2", ["unknown kind 'smtp'", "mqtt://HOST/TOPIC"]),
    ],
)
def test_a_bad_uri_is_refused_by_name_and_shows_no_password(
    tmp_path: Path, uri: str, words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        open_sink(uri.format(tmp_path), token="hunter2").open(INFO)
    for word in words:
        assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_place_that_cannot_be_written_is_refused_at_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"jsonl:.*cannot write there: File exists"):
        opened(tmp_path / "file" / "log.jsonl")
    with pytest.raises(UsageError, match="cannot write there: Is a directory"):
        opened(tmp_path)
