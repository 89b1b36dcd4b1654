"""`predict` that is killed, stopped, or runs out of disk: what is whole stays, and the same call goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import tgkt_edge
from tests.support.cli import cli_command, cli_environment
from tests.support.images import make_frames, save_frames
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.runtime.predict.journal import Journal
from tgkt_edge.runtime.predict.rows import Csv, Row


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A list of 3000 frames: the same 30 files again and again."""
    save_frames(tmp_path / "f", make_frames(30))
    rows = "".join(f"f/frame_{number % 30}.png\n" for number in range(3000))
    (tmp_path / "many.csv").write_text("frame\n" + rows)
    return tmp_path / "many.csv"


def start(bundle: Bundle, source: Path, out: Path, **more: object) -> subprocess.Popen[str]:
    words = cli_command("predict", bundle.path, source, "-o", out, "--no-live")
    return subprocess.Popen(words, env=cli_environment(), stderr=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload, no-any-return]


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def wait_for_rows(process: subprocess.Popen[str], path: Path, size: int) -> None:
    """Until a file is longer than ``size`` bytes, or the process that writes it has ended."""
    wait_until(lambda: size_of(path) > size or process.poll() is not None, f"rows in {path}")


def without_times(path: Path) -> list[str]:
    """The rows of a CSV without the time at which each file was read."""
    return [
        ",".join(cells[:1] + cells[2:])
        for line in path.read_text().splitlines()
        if (cells := line.split(","))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_killed_again_and_again_it_ends_with_every_frame_once(
    tmp_path: Path, depth_bundle: Bundle, many: Path, name: str
) -> None:
    out, kills = tmp_path / name, 0
    partial_table = tmp_path / f"{name}.partial"
    while True:
        before = size_of(partial_table)
        process = start(depth_bundle, many, out)
        if kills < 3:
            wait_for_rows(process, partial_table, before + 20_000)
            process.kill()
            kills += 1
        text = process.communicate(timeout=60)[1]
        if process.returncode != -signal.SIGKILL:
            break
        with partial_table.open("ab") as file:  # what a cut write may leave
            file.write(b'{"frame": 17')
    assert process.returncode == 0, text
    assert kills == 3
    assert "going on at frame" in text
    whole = tmp_path / f"whole{out.suffix}"
    tgkt_edge.predict(depth_bundle.path, str(many), whole, live=False)
    if out.suffix == ".csv":
        assert without_times(out) == without_times(whole)
        assert len(without_times(out)) == 3001
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        tables = [parquet.read_table(path).drop_columns("time") for path in (out, whole)]
        assert tables[0].num_rows == 3000
        assert tables[0].equals(tables[1])


@pytest.mark.alone
@pytest.mark.slow
def test_sigterm_ends_within_two_seconds_and_a_second_process_is_refused(
    tmp_path: Path, depth_bundle: Bundle, many: Path
) -> None:
    out = tmp_path / "t.jsonl"
    process = start(depth_bundle, many, out)
    wait_for_rows(process, tmp_path / "t.jsonl.partial", 0)
    process.send_signal(signal.SIGSTOP)  # else it may have ended before the second has loaded its engine
    try:
        with pytest.raises(UsageError, match="another process is writing it"):
            tgkt_edge.predict(depth_bundle.path, str(many), out, live=False)
    finally:
        process.send_signal(signal.SIGCONT)
    process.terminate()
    asked = time.monotonic()
    text = process.communicate(timeout=60)[1]
    assert time.monotonic() - asked < 2
    assert process.returncode == 130
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl.partial").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(len(rows)))
    assert f"the same command continues at frame {len(rows)}" in text
    assert not out.exists()
    assert tgkt_edge.predict(depth_bundle.path, str(many), out, live=False).resumed == len(rows)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_table_that_another_process_writes_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    out, form, job = tmp_path / "t.csv", Csv(["a", "b"]), {"bundle": "x"}
    with Journal(out, form, job, overwrite=False) as first:
        first.add([Row(0, 0.0, "0.png", np.array([0.25, 0.75], np.float32))])
        held, state = first.partial.read_bytes(), first.state.read_bytes()
        with pytest.raises(UsageError, match="another process is writing it"):
            Journal(out, form, job, overwrite=overwrite)
        assert first.partial.read_bytes() == held
        assert first.state.read_bytes() == state
    with Journal(out, form, job, overwrite=overwrite) as second:  # once it has ended, it may be
        assert second.rows == 1


def test_what_is_to_replace_a_table_goes_on_where_it_ended_and_another_job_begins_again(
    tmp_path: Path,
) -> None:
    out, form, job = tmp_path / "t.csv", Csv(["a", "b"]), {"bundle": "x"}
    row = Row(0, 0.0, "0.png", np.array([0.25, 0.75], np.float32))
    out.write_text("a table of somebody else\n")
    for before in (0, 1):
        with Journal(out, form, job, overwrite=True) as journal:
            assert journal.rows == before
            journal.add([row] if before == 0 else [])
    assert out.read_text() == "a table of somebody else\n"  # until the new one is whole
    with Journal(out, form, {"bundle": "y"}, overwrite=True) as other:
        assert other.rows == 0
        other.add([row])
        other.finish()
    os.replace(other.partial, out)
    with Journal(out, form, {"bundle": "y"}, overwrite=True) as again:  # a whole table is begun again
        assert again.rows == 0
        assert not again.complete


@pytest.mark.slow
def test_a_full_disk_is_said_and_what_is_whole_stays(
    tmp_path: Path, depth_bundle: Bundle, many: Path
) -> None:
    out = tmp_path / "t.csv"
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (100_000, 100_000))
    process = start(depth_bundle, many, out, preexec_fn=limit)
    text = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "cannot write" in text
    assert "rows are whole in t.csv.partial. Make room, then the same command continues at frame" in text
    assert "Traceback" not in text
    held = (tmp_path / "t.csv.partial").read_bytes()
    assert held.endswith(b"\n")
    rows = held.count(b"\n") - 1
    assert rows > 100
    summary = tgkt_edge.predict(depth_bundle.path, str(many), out, live=False)
    assert (summary.resumed, summary.frames) == (rows, 3000)


def test_a_disk_that_has_room_for_the_rows_but_not_for_the_parquet(
    tmp_path: Path, depth_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    folder, out = save_frames(tmp_path / "f", make_frames(4)), tmp_path / "t.parquet"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(
        "tgkt_edge.runtime.predict.parquet.GROUP", 1
    )  # so that the Parquet is the larger file
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(TgktEdgeError, match=r"All 4 rows are in t\.parquet\.partial: make room"):
            tgkt_edge.predict(depth_bundle.path, str(folder), out, live=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not out.exists()
    summary = tgkt_edge.predict(depth_bundle.path, str(folder), out, live=False)
    assert (summary.resumed, summary.frames) == (4, 4)
    assert out.exists()
    assert not (tmp_path / "t.parquet.partial").exists()


def test_a_size_that_was_pinned_stays_so_when_it_goes_on(tmp_path: Path, depth_bundle: Bundle) -> None:
    """A frame of another size than the first is bad, also where it is the first that the second process reads."""
    frames = make_frames(4)
    frames[2] = frames[2][:, :40]
    folder, out = save_frames(tmp_path / "f", frames), tmp_path / "t.csv"
    tgkt_edge.predict(depth_bundle.path, str(folder), out, live=False)
    whole = without_times(out)
    lines = out.read_bytes().splitlines(keepends=True)
    state = json.loads((tmp_path / "t.csv.job.json").read_text())
    (tmp_path / "t.csv.job.json").write_text(json.dumps({**state, "finished": False}))
    (tmp_path / "t.csv.partial").write_bytes(b"".join(lines[:3]))  # as a process that was killed leaves it
    out.unlink()
    summary = tgkt_edge.predict(depth_bundle.path, str(folder), out, live=False)
    assert (summary.resumed, summary.frames, summary.bad) == (2, 4, 1)
    assert without_times(out) == whole


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_frames(
    tmp_path: Path, depth_bundle: Bundle, many: Path
) -> None:
    def peak(source: Path, out: str) -> float:
        code = (
            "import resource, sys, tgkt_edge; tgkt_edge.predict(*sys.argv[1:], live=False); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        words = [cli_command()[0], "-c", code, str(depth_bundle.path), str(source), str(tmp_path / out)]
        done = subprocess.run(words, env=cli_environment(), capture_output=True, text=True, check=True)
        return float(done.stdout)

    few = tmp_path / "few.csv"
    few.write_text("\n".join(many.read_text().splitlines()[:301]) + "\n")
    assert (
        peak(many, "many.csv.jsonl") - peak(few, "few.jsonl") < 12
    )  # MiB; 2700 frames are 16 MiB, their input 11
