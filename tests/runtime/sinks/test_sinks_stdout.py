"""JSON lines to a reader that is slow, stopped or gone: through real pipes."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TextIO

import pytest

from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import stdout
from tgkt_edge.runtime.sinks.base import Message, ReaderGoneError
from tgkt_edge.runtime.sinks.stdout import StdoutSink

PIPE = 64 * 1024  # bytes that Linux keeps in a pipe


def record(number: int, length: int = 0) -> Message:
    return Message(Decision("a", 0.5, frame=number, source="x" * length))


def read_late(reader: TextIO, out: StdoutSink, writer: TextIO) -> list[int]:
    """The frames of every line, by a reader that begins only now."""
    got: list[int] = []
    taking = threading.Thread(target=lambda: got.extend(json.loads(line)["frame"] for line in reader))
    taking.start()
    out.finish(30)
    writer.close()
    taking.join(60)
    return got


def test_a_reader_that_stopped_holds_up_no_frame_of_a_camera_and_gets_every_line_later(
    pipe: tuple[TextIO, TextIO],
) -> None:
    reader, writer = pipe
    out = StdoutSink(writer)
    for number in range(300):
        out.write(record(number, 1000), patient=False)  # five times what the pipe holds; none waits
    got = read_late(reader, out, writer)
    assert got == list(range(300))
    assert out.lost == 0


def test_the_oldest_lines_are_lost_when_too_many_wait_and_are_counted(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    monkeypatch.setattr(stdout, "QUEUE", 10)
    out = StdoutSink(writer)
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
    out = StdoutSink(writer, stop.is_set)
    threading.Timer(0.3, stop.set).start()
    begin, number = time.monotonic(), 0
    while not stop.is_set():
        out.write(record(number, 1000), patient=True)
        number += 1
    assert PIPE // 2 < number * 1000 < 2 * PIPE
    assert time.monotonic() - begin < 10


def test_a_line_longer_than_a_piece_of_the_pipe_arrives_whole(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    out = StdoutSink(writer)
    for number in range(3):
        out.write(record(number, 15_000), patient=False)
    writer.close()
    assert [json.loads(line) for line in reader] == [
        record(number, 15_000).record.to_dict() for number in range(3)
    ]


def test_a_reader_that_is_gone_is_told_apart(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    reader.close()
    with pytest.raises(ReaderGoneError):
        StdoutSink(writer).write(record(0), patient=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer.fileno())  # what Python still holds may go


def test_a_live_line_that_nobody_reads_holds_up_nothing(pipe: tuple[TextIO, TextIO]) -> None:
    _, writer = pipe
    line = LiveLine(writer, period=0.0)
    for _ in range(300):
        line.say("x" * 1000)
        line.show("y" * 1000)


def test_a_long_line_that_was_begun_is_never_dropped_for_a_newer_one(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    monkeypatch.setattr(stdout, "QUEUE", 3)
    out = StdoutSink(writer)
    for number in range(40):
        out.write(record(number, 15_000), patient=False)
    got = read_late(reader, out, writer)
    assert got[-3:] == [37, 38, 39]
    assert len(got) + out.lost == 40


def test_a_terminal_that_nobody_drains_holds_up_no_camera() -> None:
    main, end = os.openpty()
    with os.fdopen(end, "w") as terminal:
        out = StdoutSink(terminal)
        for number in range(300):  # far more than a terminal holds
            out.write(record(number, 1000), patient=False)
        got = bytearray()

        def read() -> None:
            while got.count(b"\n") < 300:
                got.extend(os.read(main, 65536))

        taking = threading.Thread(target=read)
        taking.start()
        out.finish(30)
        taking.join(60)
    os.close(main)
    assert [json.loads(text)["frame"] for text in bytes(got).splitlines()] == list(range(300))


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
    taking.join(60)
    assert len(got) == 101
    assert got[-1] == "the summary\n"


def test_a_signal_shortens_the_wait_for_a_reader(pipe: tuple[TextIO, TextIO]) -> None:
    _, writer = pipe
    stop = threading.Event()
    out = StdoutSink(writer, stop.is_set)
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
