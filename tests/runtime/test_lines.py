"""JSON lines to a reader that is slow, stopped or gone: through real pipes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.bundle import Bundle
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import Captured, FrameSource, classify, lines
from tgkt_edge.runtime.lines import JsonLines, ReaderGoneError
from tgkt_edge.runtime.output import LiveLine
from tgkt_edge.runtime.sinks.jsonl import JsonlSink
from tgkt_edge.sensor import PRESETS

PIPE = 64 * 1024  # bytes that Linux keeps in a pipe


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The reading and the writing end of a pipe."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as taken, os.fdopen(writer, "w") as given:
        yield taken, given


def record(number: int, length: int = 0) -> dict[str, Any]:
    return {"frame": number, "pad": "x" * length}


def test_a_reader_that_stopped_holds_up_no_frame_of_a_camera_and_gets_every_line_later(
    pipe: tuple[TextIO, TextIO],
) -> None:
    reader, writer = pipe
    out = JsonLines(writer)
    for number in range(300):
        out.write(record(number, 1000), patient=False)  # five times what the pipe holds; none waits
    got: list[int] = []
    taking = threading.Thread(target=lambda: got.extend(json.loads(line)["frame"] for line in reader))
    taking.start()
    out.finish(30)
    writer.close()
    taking.join(30)
    assert got == list(range(300))
    assert out.lost == 0


def test_the_oldest_lines_are_lost_when_too_many_wait_and_are_counted(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    monkeypatch.setattr(lines, "QUEUE", 10)
    out = JsonLines(writer)
    for number in range(200):
        out.write(record(number, 1000), patient=False)
    out.finish(0.01)
    writer.close()
    got = [json.loads(line)["frame"] for line in reader]  # every line whole
    assert got == list(range(len(got)))  # what the pipe took at first
    assert out.lost == 200 - len(got)


def test_frames_of_files_wait_for_the_reader_until_the_run_is_told_to_end(
    pipe: tuple[TextIO, TextIO],
) -> None:
    _, writer = pipe
    stop = threading.Event()
    out = JsonLines(writer, stop.is_set)
    threading.Timer(0.3, stop.set).start()
    begin, number = time.monotonic(), 0
    while not stop.is_set():
        out.write(record(number, 1000), patient=True)
        number += 1
    assert PIPE // 2 < number * 1000 < 2 * PIPE
    assert time.monotonic() - begin < 10


def test_a_line_longer_than_a_piece_of_the_pipe_arrives_whole(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    out = JsonLines(writer)
    for number in range(3):
        out.write(record(number, 15_000), patient=False)
    writer.close()
    assert [json.loads(line) for line in reader] == [record(number, 15_000) for number in range(3)]


def test_a_reader_that_is_gone_is_told_apart(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    reader.close()
    with pytest.raises(ReaderGoneError):
        JsonLines(writer).write(record(0), patient=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer.fileno())  # what Python still holds may go


def test_a_live_line_that_nobody_reads_holds_up_nothing(pipe: tuple[TextIO, TextIO]) -> None:
    _, writer = pipe
    line = LiveLine(writer, period=0.0)
    for _ in range(300):
        line.say("x" * 1000)
        line.show("y" * 1000)


class Camera(FrameSource):
    """Five hundred frames, as fast as they are taken."""

    live, number = True, 0

    def read(self) -> Captured | None:
        self.number += 1
        frame = np.full((8, 8), self.number, np.uint16)
        return Captured(frame, self.number - 1, time.time(), "camera") if self.number <= 500 else None

    def close(self) -> None:
        pass


class Instant:
    name, lanes = "instant", 1

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        answer = np.array([[0.75, 0.25]], np.float32)
        return np.log(answer), answer

    def close(self) -> None:
        pass


def test_another_sink_gets_every_decision_on_a_camera_while_the_reader_of_stdout_hangs(
    tmp_path: Path, pipe: tuple[TextIO, TextIO], kit: Any
) -> None:
    reader, writer = pipe
    log, got = tmp_path / "log.jsonl", list[str]()

    def frames() -> list[int]:
        found = map(json.loads, log.read_text().splitlines() if log.exists() else ())
        return [record["frame"] for record in found if "frame" in record]

    def read_late() -> None:
        kit.until(lambda: len(frames()) == 500, "the other sink to have everything")
        got.extend(reader)

    late = threading.Thread(target=read_late)
    late.start()
    summary = classify(
        Camera, Instant(), PRESETS["depth"], ("a", "b"), 8,
        drop="none", sinks=[JsonlSink(log)], out=writer, log=io.StringIO(), live=False,
    )  # fmt: skip
    writer.close()
    late.join(30)
    assert frames() == list(range(500))
    shown = [json.loads(line) for line in got]
    assert sum(map(len, got)) > PIPE
    assert [record["frame"] for record in shown if "frame" in record] == list(range(500))
    assert summary.sinks["jsonl:-"] == (0, 0)


def test_a_long_line_that_was_begun_is_never_dropped_for_a_newer_one(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    monkeypatch.setattr(lines, "QUEUE", 3)
    out = JsonLines(writer)
    for number in range(40):
        out.write(record(number, 15_000), patient=False)
    got: list[int] = []
    taking = threading.Thread(target=lambda: got.extend(json.loads(line)["frame"] for line in reader))
    taking.start()
    out.finish(30)
    writer.close()
    taking.join(30)
    assert got[-3:] == [37, 38, 39]
    assert len(got) + out.lost == 40


def test_a_terminal_that_nobody_drains_holds_up_no_camera() -> None:
    main, end = os.openpty()
    with os.fdopen(end, "w") as terminal:
        out = JsonLines(terminal)
        for number in range(300):  # far more than a terminal holds
            out.write(record(number, 1000), patient=False)
        got = bytearray()

        def read() -> None:
            while got.count(b"\n") < 300:
                got.extend(os.read(main, 65536))

        taking = threading.Thread(target=read)
        taking.start()
        out.finish(30)
        taking.join(30)
    os.close(main)
    assert [json.loads(text)["frame"] for text in bytes(got).splitlines()] == list(range(300))


def test_a_camera_that_is_given_up_loses_no_line_to_a_slow_reader(pipe: tuple[TextIO, TextIO]) -> None:
    class Lost(Camera):
        def read(self) -> Captured | None:
            captured = super().read()
            if captured is None:
                raise SourceLostError("unplugged")
            return captured

    reader, writer = pipe
    got: list[str] = []

    def read_slowly() -> None:
        time.sleep(0.5)
        got.extend(reader)

    taking = threading.Thread(target=read_slowly)
    taking.start()
    with pytest.raises(SourceLostError):
        classify(
            Lost, Instant(), PRESETS["depth"], ("a", "b"), 8,
            drop="none", out=writer, log=io.StringIO(), live=False,
        )  # fmt: skip
    writer.close()
    taking.join(30)
    frames = [json.loads(line).get("frame") for line in got]
    assert [number for number in frames if number is not None] == list(range(500))


def test_what_is_said_at_the_end_waits_for_a_slow_reader(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    line = LiveLine(writer)
    for _ in range(100):
        line.say("x" * 1000)
    line.say("the summary")
    got: list[str] = []
    taking = threading.Thread(target=lambda: got.extend(reader))
    taking.start()
    line.finish(30)
    writer.close()
    taking.join(30)
    assert len(got) == 101
    assert got[-1] == "the summary\n"


def test_a_signal_shortens_the_wait_for_a_reader(pipe: tuple[TextIO, TextIO]) -> None:
    _, writer = pipe
    stop = threading.Event()
    out = JsonLines(writer, stop.is_set)
    for number in range(100):
        out.write(record(number, 1000), patient=False)
    threading.Timer(0.2, stop.set).start()
    begin = time.monotonic()
    out.finish(300)
    assert time.monotonic() - begin < 100
    assert out.lost > 0


def test_several_sinks_may_complain_at_once(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    line = LiveLine(writer, period=0.0)

    def complain() -> None:  # an exception in it fails this test
        for _ in range(2000):
            line.say("no space left")

    threads = [threading.Thread(target=complain) for _ in range(8)]
    drain = threading.Thread(target=lambda: [None for _ in reader])
    for thread in (drain, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    drain.join()


def test_a_run_whose_reader_hangs_ends_on_sigterm_with_every_line_of_its_log(
    tmp_path: Path, kit: Any, depth_bundle: Bundle
) -> None:
    folder, log = kit.save_frames(tmp_path / "f", kit.make_frames(3)), tmp_path / "log.jsonl"
    process = subprocess.Popen(
        kit.command("run", depth_bundle.path, "--camera", folder, "--loop", "--sink", "jsonl:-",
                    "--sink", f"jsonl:{log}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kit.environment(),
    )  # fmt: skip
    try:
        kit.until(lambda: log.exists() and log.stat().st_size > PIPE // 2, "the pipe to be full")
        kit.until(lambda: unchanged(log), "the frames to wait")
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert time.monotonic() - begin < 2
        stdout, stderr = process.communicate()
    finally:
        process.kill()
    assert "ended by: terminated" in stderr
    shown = [json.loads(line)["frame"] for line in stdout.splitlines()]
    kept = [json.loads(line)["frame"] for line in log.read_text().splitlines()]
    assert shown == list(range(len(shown)))
    assert kept == list(range(len(kept)))
    assert len(kept) - len(shown) == 1  # the one that waited
    assert "jsonl:-: 1 messages lost" in stderr


def unchanged(file: Path) -> bool:
    size = file.stat().st_size
    time.sleep(0.5)
    return file.stat().st_size == size


def test_a_closed_stdout_is_said(tmp_path: Path, kit: Any, depth_bundle: Bundle) -> None:
    folder = kit.save_frames(tmp_path / "f", kit.make_frames(1))
    words = " ".join(kit.command("run", depth_bundle.path, "--camera", folder))
    run = ["bash", "-c", f"{words} >&-"]
    done = subprocess.run(run, capture_output=True, text=True, env=kit.environment(), timeout=60, check=False)
    assert done.returncode == 2
    assert "stdout is closed" in done.stderr
    assert "Traceback" not in done.stderr
