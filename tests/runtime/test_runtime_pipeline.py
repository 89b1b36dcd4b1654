"""Dropping, stopping and reporting, with sources and engines whose timing is known."""

from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.capture.frame import Frame
from tgkt_edge.runtime.capture.reader import Capture
from tgkt_edge.runtime.capture.retry import NEVER
from tgkt_edge.runtime.infer.preprocess_stage import Pending, prepare
from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.sensor import PRESETS

CLASSES = ("a", "b")


class Frames(FrameSource):
    """``count`` frames, one every ``period`` seconds; frame n is filled with n + 1."""

    def __init__(self, count: int, period: float = 0.0, *, live: bool = False, lost: bool = False) -> None:
        self.live = live
        self.count, self.period, self.lost = count, period, lost
        self.given = 0
        self.closed_by: str | None = None

    def read(self) -> Captured | None:
        time.sleep(self.period)
        if self.given == self.count:
            if self.lost:
                raise SourceLostError("camera: unplugged")
            return None
        self.given += 1
        frame = np.full((8, 8), self.given, np.uint16)
        return Captured(frame, self.given - 1, time.time(), "camera")

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


class Slow:
    """An engine that takes ``seconds`` and always answers the same."""

    name = "slow"
    lanes = 1

    def __init__(self, seconds: float = 0.0, answer: float = 0.75) -> None:
        self.seconds, self.answer = seconds, answer

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        time.sleep(self.seconds)
        answer = np.array([[self.answer, 1 - self.answer]], np.float32)
        return np.log(answer), answer

    def close(self) -> None:
        pass


def go(source: FrameSource, engine: Slow, **more: Any) -> tuple[Any, list[dict[str, Any]], str]:
    out, log = io.StringIO(), io.StringIO()
    summary = classify(lambda: source, engine, PRESETS["depth"], CLASSES, 8, out=out, log=log, **more)
    return summary, decisions(out), log.getvalue()


def decisions(out: io.StringIO) -> list[dict[str, Any]]:
    """Answers about frames, without the events between them."""
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    return [record for record in records if "event" not in record]


@pytest.mark.alone
def test_live_source_drops_old_frames_for_the_newest() -> None:
    source = Frames(60, 0.01, live=True)
    summary, records, log = go(source, Slow(0.05))
    numbers = [record["frame"] for record in records]
    assert numbers == sorted(set(numbers))
    assert summary.frames == len(records) < 30
    assert summary.frames + summary.dropped == 60  # every frame is accounted for
    assert numbers[-1] == 59  # the newest one is never the one that is dropped
    assert max(record["ms"]["total"] for record in records) < 1500  # no queue builds up: that would be 3 s
    assert f"{summary.dropped} dropped" in log


def test_recording_drops_nothing() -> None:
    summary, records, _ = go(Frames(20), Slow(0.005))
    assert [record["frame"] for record in records] == list(range(20))
    assert (summary.dropped, summary.stopped, summary.labels) == (0, "end", {"a": 20})
    assert summary.fps == pytest.approx(20 / summary.seconds)


def test_drop_can_be_chosen() -> None:
    summary, _, _ = go(Frames(20, live=True), Slow(0.002), drop="none")
    assert (summary.frames, summary.dropped) == (20, 0)
    summary, _, _ = go(Frames(20), Slow(0.002), drop="latest")
    assert summary.frames + summary.dropped == 20
    assert summary.dropped > 0
    with pytest.raises(UsageError, match="`drop="):
        go(Frames(1), Slow(), drop="oldest")


def test_reading_ahead_is_bounded() -> None:
    source = Frames(1000)
    summary, _, _ = go(source, Slow(0.01), max_frames=5)
    assert (summary.frames, summary.stopped) == (5, "max-frames")
    assert source.given <= 5 + 4


def test_source_is_closed_by_the_thread_that_reads_it() -> None:
    source = Frames(3)
    go(source, Slow())
    assert source.closed_by == "tgkt-edge capture"


def test_lost_source_still_answers_what_arrived_and_reports() -> None:
    out, log = io.StringIO(), io.StringIO()
    with pytest.raises(SourceLostError, match="unplugged"):
        classify(
            lambda: Frames(4, 0.02, live=True, lost=True),
            Slow(),
            PRESETS["depth"],
            CLASSES,
            8,
            out=out,
            log=log,
        )
    assert len(decisions(out)) == 4
    assert "4 frames (0 bad, 0 dropped)" in log.getvalue()
    assert "ended by: failed" in log.getvalue()


def test_source_without_a_frame() -> None:
    with pytest.raises(SourceLostError, match="not a single frame came"):
        go(Frames(0), Slow())


def test_model_that_answers_nan_gives_bad_frames() -> None:
    out = io.StringIO()
    with pytest.raises(SourceLostError, match="not finite"):
        classify(
            lambda: Frames(2),
            Slow(answer=float("nan")),
            PRESETS["depth"],
            CLASSES,
            8,
            out=out,
            log=io.StringIO(),
        )
    assert ["error" in record for record in decisions(out)] == [True, True]


@pytest.mark.slow
@pytest.mark.alone
def test_stop_request_ends_a_source_that_delivers_nothing() -> None:
    stop = StopRequest()
    timer = threading.Timer(0.2, lambda: setattr(stop, "reason", "terminated"))
    timer.start()
    began = time.monotonic()
    summary, records, _ = go(Frames(1, 1.0, live=True), Slow(), stop=stop)
    timer.join()
    assert (summary.stopped, records) == ("terminated", [])
    assert time.monotonic() - began < 3


def test_hanging_driver_is_left_behind() -> None:
    release = threading.Event()

    class Hangs(Frames):
        def read(self) -> Captured | None:
            release.wait(20)
            return None

    source = Hangs(1)
    capture = Capture(lambda: source, "latest", NEVER)
    capture.__enter__()
    assert capture.take(0.01) is None
    assert capture.ended is False
    assert capture.stop(timeout=0.05) is False
    assert source.closed_by is None  # closing it under the driver's feet would crash the process
    release.set()
    assert capture.stop(timeout=5.0) is True
    assert source.closed_by == "tgkt-edge capture"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_live_line_is_rewritten_in_place_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    line = LiveLine(stream)
    assert line.due()
    line.show("office 0.91 | 30.0 fps | 12.1 ms")
    assert stream.getvalue() == "\roffice 0.91 | 30.0 \x1b[K"  # 19 columns: the 20th would wrap
    assert not line.due()  # at most ten times a second
    line.say("summary")
    assert stream.getvalue().endswith("\r\x1b[Ksummary\n")


def test_live_line_is_a_plain_line_now_and_then_elsewhere() -> None:
    stream = io.StringIO()
    line = LiveLine(stream, period=0.05)
    assert not line.due()
    time.sleep(0.06)
    assert line.due()
    line.show("office")
    assert stream.getvalue() == "office\n"
    assert not line.due()


def test_live_line_reports_while_running_and_can_be_switched_off() -> None:
    for live, expected in ((True, True), (False, False)):
        log = Terminal()
        classify(
            lambda: Frames(5), Slow(0.03), PRESETS["depth"], CLASSES, 8, out=io.StringIO(), log=log, live=live
        )
        assert ("a 0.75 | " in log.getvalue()) is expected
        assert "5 frames (0 bad" in log.getvalue()


def test_closed_stderr_does_not_end_the_run() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    out = io.StringIO()
    summary = classify(lambda: Frames(3), Slow(), PRESETS["depth"], CLASSES, 8, out=out, log=Gone())
    assert summary.frames == len(decisions(out)) == 3


@pytest.mark.parametrize(("drop", "ahead"), [("none", True), ("latest", False)])
def test_only_frames_that_cannot_be_dropped_are_prepared_ahead(drop: Any, ahead: bool) -> None:
    threads: list[str] = []

    def noted(captured: Captured) -> Pending:
        threads.append(threading.current_thread().name)
        assert captured.frame is not None
        ready = prepare(captured.frame, PRESETS["depth"], 8, captured.name)
        return lambda: ready

    with Capture(lambda: Frames(3, 0.01, live=True), drop, NEVER, noted) as capture:
        taken = []
        while not capture.ended:
            item = capture.take(5.0)
            if isinstance(item, Frame):
                taken.append(item)
    assert taken
    assert threads == (["tgkt-edge capture"] * 3 if ahead else [])
    for item in taken:
        assert (item.prepared is not None) is ahead
        if item.prepared is not None:
            assert item.captured.frame is not None
            np.testing.assert_array_equal(
                item.prepared().unit, preprocess(item.captured.frame, PRESETS["depth"], 8)
            )


class Late(Frames):
    """Its frames were taken half a second before they arrive; or an hour later, by a clock that was set back."""

    def __init__(self, count: int, late: float, *, live: bool) -> None:
        super().__init__(count, live=live)
        self.late = late

    def read(self) -> Captured | None:
        captured = super().read()
        return None if captured is None else replace(captured, time=time.time() - self.late)


def test_the_age_of_a_cameras_decision_counts_from_the_frames_timestamp() -> None:
    summary, records, log = go(Late(3, 0.5, live=True), Slow(0.02), drop="none")
    for record in records:
        assert record["ms"]["age"] >= 520
        assert record["ms"]["age"] > record["ms"]["total"]
    assert summary.ms["age"]["p50"] >= 515  # within 1 %
    assert "\n  age " in log
    _, records, _ = go(Late(1, -3600, live=True), Slow(), drop="none")
    assert records[0]["ms"]["age"] == 0
    summary, records, log = go(Late(3, 0.5, live=False), Slow())  # recorded who knows when
    assert all("age" not in record["ms"] for record in records)
    assert "age" not in summary.ms
