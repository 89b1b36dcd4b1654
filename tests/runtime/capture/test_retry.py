"""A camera that goes away: found again, never invented, and the run says what happens."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.support.pipeline import InstantEngine
from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.capture.buffer import Mailbox
from tgkt_edge.runtime.capture.frame import Frame
from tgkt_edge.runtime.capture.reader import Capture
from tgkt_edge.runtime.capture.retry import Backoff, Retry
from tgkt_edge.sensor import PRESETS

SOON = Backoff(first=0.001, most=0.002)
SPEC = PRESETS["depth"]


class Camera:
    """Opened again and again; each session gives ``frames`` and is then lost. ``refuse`` openings fail first."""

    def __init__(self, sessions: int, frames: int, refuse: int = 0) -> None:
        self.sessions, self.frames, self.refuse = sessions, frames, refuse
        self.opened = self.asked = self.given = 0
        self.threads: set[str] = set()

    def __call__(self) -> FrameSource:
        self.asked += 1
        if self.asked <= self.refuse or self.opened == self.sessions:
            raise SourceLostError("/dev/video9: no such device.")
        self.opened += 1
        return Session(self)


class Session(FrameSource):
    live = True

    def __init__(self, camera: Camera) -> None:
        self.camera, self.left = camera, camera.frames

    def read(self) -> Captured | None:
        if not self.left:
            raise SourceLostError("/dev/video9: unplugged.")
        self.left -= 1
        self.camera.given += 1
        number = self.camera.frames - self.left - 1  # counts from 0 in every session, as a driver does
        return Captured(np.full((8, 8), self.camera.given, np.uint16), number, time.time(), "camera")

    def close(self) -> None:
        self.camera.threads.add(threading.current_thread().name)


def go(camera: Callable[[], FrameSource], retry: Retry, **more: Any) -> tuple[list[dict[str, Any]], str]:
    """Every record until the run gives the camera up, and why it did."""
    out, log = io.StringIO(), io.StringIO()
    with pytest.raises(SourceLostError) as lost:
        classify(
            camera,
            InstantEngine(),
            SPEC,
            ("a", "b"),
            8,
            drop="none",
            retry=retry,
            out=out,
            log=log,
            live=False,
            **more,
        )
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    after = [record for record in records if record.get("event") != "start"]
    return after, f"{lost.value}\n{log.getvalue()}"


def test_two_hundred_unplugged_cameras_lose_no_frame_and_invent_none() -> None:
    camera, before = Camera(sessions=200, frames=3), threading.active_count()
    records, log = go(camera, Retry(limit=3, backoff=SOON))
    decisions = [record for record in records if "event" not in record]
    # Numbers go on over each loss.
    assert [record["frame"] for record in decisions] == list(range(600))
    assert camera.given == 600
    states = [record["state"] for record in records if "event" in record]
    assert states[:6] == ["connecting", "live", "lost", "connecting", "live", "lost"]
    assert states.count("live") == 200
    assert "no such device" in log  # what was wrong at the end, after the limit
    assert camera.threads == {"tgkt-edge capture"}
    assert threading.active_count() == before


def test_failures_count_only_in_a_row() -> None:
    class Flaky(Camera):
        def __call__(self) -> FrameSource:
            if self.asked % 3 != 2:  # two failures before each opening
                self.asked += 1
                raise SourceLostError("/dev/video9: no such device.")
            return super().__call__()

    camera = Flaky(sessions=10, frames=1)
    records, _ = go(camera, Retry(limit=3, wait=60, backoff=SOON))
    assert len([record for record in records if "event" not in record]) == 10


def test_a_camera_that_is_late_is_waited_for_only_if_that_was_asked_for() -> None:
    records, log = go(Camera(1, 1, refuse=2), Retry(backoff=SOON))
    assert (records, "no such device" in log) == ([], True)
    records, _ = go(Camera(1, 1, refuse=2), Retry(limit=0, wait=60, backoff=SOON))
    assert [record["state"] for record in records if "event" in record] == [
        "connecting", "lost", "connecting", "lost", "connecting", "live",
    ]  # fmt: skip


def test_without_retries_a_loss_ends_the_run() -> None:
    camera = Camera(2, 4)
    records, log = go(camera, Retry(limit=0))
    assert camera.opened == 1
    assert len([record for record in records if "event" not in record]) == 4
    assert log.startswith("/dev/video9: unplugged.")


def test_a_recording_that_breaks_off_is_not_begun_again() -> None:
    class Recording(Session):
        live = False

    camera = Camera(5, 2)

    def opened() -> FrameSource:
        camera()
        return Recording(camera)

    records, _ = go(opened, Retry(backoff=SOON))
    assert camera.opened == 1
    assert not [record for record in records if "event" in record]


@pytest.mark.slow
@pytest.mark.alone
def test_a_driver_that_hangs_is_left_behind_and_the_camera_opened_anew() -> None:
    release, camera = threading.Event(), Camera(sessions=3, frames=2)

    class Hangs(Session):
        def read(self) -> Captured | None:
            if not self.left and self.camera.opened < 3:
                release.wait(60)
                raise SourceLostError("too late to matter")
            return super().read()

    def opened() -> FrameSource:
        camera()
        return Hangs(camera)

    records, _ = go(opened, Retry(limit=1, stall=0.05, hung_read=0.6, backoff=SOON))
    decisions = [record for record in records if "event" not in record]
    assert [record["frame"] for record in decisions] == list(range(6))
    events = [(record["state"], record["detail"]) for record in records if "event" in record]
    assert [state for state, _ in events][:4] == ["connecting", "live", "stalled", "lost"]
    assert "has not come back from 'read' for 0.6 s" in events[3][1]
    release.set()


@pytest.mark.slow
def test_hung_threads_are_bounded() -> None:
    release, camera = threading.Event(), Camera(sessions=99, frames=0)

    class Hangs(Session):
        def read(self) -> Captured | None:
            release.wait(60)
            return None

    def opened() -> FrameSource:
        camera()
        return Hangs(camera)

    _, log = go(opened, Retry(stall=0.01, hung_read=0.03, most_hung=2, backoff=SOON))
    assert camera.opened == 3
    assert "3 of its threads hang. Unplug the camera or restart the program" in log
    release.set()


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_device_that_a_hung_thread_holds_ends_the_run_so_that_a_new_process_may_have_it(
    comes_back: bool,
) -> None:
    release, camera = threading.Event(), Camera(sessions=1 + comes_back, frames=1)

    class Hangs(Session):
        def read(self) -> Captured | None:
            if not self.left and self.camera.opened == 1:
                release.wait(60)
            return super().read()

    def opened() -> FrameSource:
        camera()
        return Hangs(camera)

    # It hangs, and nobody else can open it: "no such device", again and again. No limit of attempts is set.
    retry = Retry(limit=300 if comes_back else None, stall=0.01, hung_read=0.05, held=0.3, backoff=SOON)
    begin = time.monotonic()
    records, log = go(opened, retry)
    decisions = [record for record in records if "event" not in record]
    if comes_back:  # the thread that still hangs holds nothing: the loss after that is as any other
        assert len(decisions) == 2
        assert camera.asked > 300
        assert "no such device" in log
        assert "still hangs" not in log
    else:
        assert len(decisions) == 1
        assert camera.asked > 10
        assert time.monotonic() - begin > 0.3
        assert "no such device. A thread still hangs in the driver and may hold the device" in log
    release.set()


def test_a_frame_is_answered_once_whatever_is_lost_around_it() -> None:
    capture = Capture(Camera(sessions=3, frames=2), "none", Retry(limit=0, backoff=SOON))
    with capture:
        seen = []
        with pytest.raises(SourceLostError):
            while True:
                item = capture.take(5.0)
                if isinstance(item, Frame):
                    seen.append(int(item.captured.frame[0, 0]))  # type: ignore[index]
    assert seen == [1, 2]


def test_waits_double_up_to_a_limit_and_never_come_in_step() -> None:
    backoff = Backoff(first=0.5, most=30, jitter=0.5)
    assert [backoff.seconds(failures, 0.0) for failures in (1, 2, 3, 7, 8, 500)] == [0.5, 1, 2, 30, 30, 30]
    assert backoff.seconds(2, 0.999) == pytest.approx(0.5, abs=0.01)  # half of it is left to chance


@pytest.mark.parametrize(
    ("more", "text"),
    [({"limit": -1}, "`max_retries=-1`"), ({"wait": -0.5}, "`wait=-0.5`"), ({"stall": 0.0}, "`stall=0.0`")],
)
def test_bad_patience_is_refused(more: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Retry(**more)


# The buffer between two threads


def test_the_newest_replaces_what_waits_but_never_an_event() -> None:
    box: Mailbox[str] = Mailbox(latest=True)
    for item in ("one", "two"):
        box.put(item)
    box.put("event", keep=True)
    box.put("three")
    box.finish()
    assert [box.take(), box.take(), box.take()] == ["event", "three", None]
    assert box.dropped == 2
    assert box.ended


def test_a_full_box_makes_the_writer_wait_until_somebody_takes() -> None:
    box: Mailbox[int] = Mailbox(ahead=1)
    written: list[int] = []

    def write() -> None:
        for number in range(3):
            box.put(number)
            written.append(number)
        box.finish(SourceLostError("gone"))

    thread = threading.Thread(target=write)
    thread.start()
    assert box.take(60.0) == 0
    assert [box.take(60.0), box.take(60.0)] == [1, 2]
    with pytest.raises(SourceLostError, match="gone"):  # what came before it is taken first
        box.take(60.0)
    thread.join(60)
    assert written == [0, 1, 2]
    assert not box.put(9)
