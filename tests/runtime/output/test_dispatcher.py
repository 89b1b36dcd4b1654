"""Several sinks at once: none delays a decision or another sink, and each failure is said once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from tests.support.sinks import Kept
from tests.support.waiting import wait_until
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.output.dispatcher import FRAMES, QUEUE, Fanout, reason
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks.base import Message, RunInfo
from tgkt_edge.sensor import PRESETS

INFO = RunInfo("camera", "engine", ("a", "b"), PRESETS["depth"], 8, 0.0)
FRAME = np.zeros((2, 2), np.uint16)


class Slow(Kept):
    """Takes a while for each message."""

    def write(self, message: Message) -> None:
        time.sleep(0.01)
        super().write(message)


def numbers(sink: Kept) -> list[int]:
    return [frame_of(message) for message in sink.messages]


def frame_of(message: Message) -> int:
    assert isinstance(message.record, Decision)
    return message.record.frame


def test_every_sink_gets_every_message_in_order() -> None:
    one, other = Kept(), Kept()
    with Fanout([one, other], pytest.fail) as fanout:
        fanout.open(INFO)
        for number in range(200):
            fanout.write(Message(Decision("a", 0.5, frame=number), FRAME))
    assert numbers(one) == numbers(other) == list(range(200))
    assert (one.state, other.state) == ("closed", "closed")
    assert fanout.counts() == {"kept": (0, 0)}


def test_a_sink_that_hangs_holds_up_neither_the_run_nor_another_sink() -> None:
    messages: list[str] = []
    gate = threading.Event()
    hung, well = Kept("hung", gate=gate), Kept("well")
    fanout = Fanout([hung, well], messages.append)
    fanout.open(INFO)
    for number in range(1000):
        fanout.write(Message(Decision("a", 0.5, frame=number), FRAME))
    wait_until(lambda: len(well.messages) == 1000, "every message")
    fanout.patience = 0.05
    fanout.close()
    assert well.state == "closed"
    assert messages == ["hung: did not finish in time; 999 messages lost"]  # one is in its hands
    assert fanout.counts()["hung"][0] == 999
    gate.set()


def test_a_slow_page_is_told_every_event_before_the_frames_that_it_concerns() -> None:
    gate = threading.Event()
    page = Kept("page", lossless=False, gate=gate)
    with Fanout([page], pytest.fail) as fanout:
        fanout.open(INFO)
        for number in range(50):
            if number in (10, 20):
                fanout.write(Message(StateEvent(1.0, "lost", str(number))))
            fanout.write(Message(Decision("a", 0.5, frame=number), FRAME))
        gate.set()
    records = [message.record for message in page.messages]
    assert [one.detail for one in records if isinstance(one, StateEvent)] == ["10", "20"]
    frames = [one.frame for one in records if isinstance(one, Decision)]
    assert frames == sorted(frames)
    assert frames[-1] == 49
    assert len(records) <= FRAMES + 1


def test_a_slow_log_loses_nothing_and_a_slow_page_gets_the_newest() -> None:
    gate = threading.Event()
    log, page = Kept("log", gate=gate), Kept("page", lossless=False, gate=gate)
    with Fanout([log, page], pytest.fail) as fanout:
        fanout.open(INFO)
        for number in range(500):
            fanout.write(Message(Decision("a", 0.5, frame=number), FRAME))
        gate.set()
    assert numbers(log) == list(range(500))
    assert numbers(page)[-FRAMES:] == list(range(500 - FRAMES, 500))
    assert len(page.messages) <= FRAMES + 1
    assert fanout.counts()["page"] == (500 - len(page.messages), 0)


@pytest.mark.slow
def test_a_source_that_can_wait_waits_for_the_slowest_sink_but_not_for_one_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tgkt_edge.runtime.output.dispatcher._GRACE", 0.2)
    slow, hung = Slow("film", lossless=False), Kept("hung", lossless=False, gate=threading.Event())
    fanout = Fanout([slow, hung], print)
    fanout.open(INFO)
    fanout.patience = 0.5
    began = time.monotonic()
    with fanout:
        for number in range(40):
            fanout.write(Message(Decision("a", 0.5, frame=number), FRAME), patient=True)
        wait_until(lambda: len(slow.messages) == 40, "every message")
    assert numbers(slow) == list(range(40))
    assert all(message.frame is not None for message in slow.messages)
    assert time.monotonic() - began < 12  # it was waited for once: forty waits would be twenty seconds
    assert fanout.counts()["hung"][0] > 30
    assert hung.gate is not None
    hung.gate.set()


def test_a_run_that_is_told_to_end_waits_for_no_sink() -> None:
    hung = Kept("hung", lossless=False, gate=threading.Event())
    fanout = Fanout([hung], print, stopping=lambda: True)
    fanout.open(INFO)
    fanout.patience = 1.0
    began = time.monotonic()
    with fanout:
        for number in range(20):
            fanout.write(Message(Decision("a", 0.5, frame=number), FRAME), patient=True)
    assert time.monotonic() - began < 12  # twenty waits would be twenty seconds
    assert hung.gate is not None
    hung.gate.set()


def test_what_waits_is_bounded_and_old_messages_wait_without_their_picture() -> None:
    messages: list[str] = []
    gate = threading.Event()
    log = Kept("log", gate=gate)
    with Fanout([log], messages.append) as fanout:
        fanout.open(INFO)
        for number in range(QUEUE + 100):
            fanout.write(Message(Decision("a", 0.5, frame=number), FRAME))
        gate.set()
    pictures = [frame_of(message) for message in log.messages if message.frame is not None]
    assert set(pictures[-FRAMES:]) == set(range(QUEUE + 100 - FRAMES, QUEUE + 100))
    assert len(pictures) <= FRAMES + 1  # and the one that was in its hands
    lost = fanout.counts()["log"][0]
    assert 0 < lost <= 100
    assert len(log.messages) == QUEUE + 100 - lost
    assert messages == [f"log: too slow: {QUEUE} messages wait, and the oldest are lost from now on"]


def test_a_failure_is_said_once_and_so_is_its_end() -> None:
    messages: list[str] = []
    sink = Kept("disk")
    sink.broken = True
    with Fanout([sink], messages.append) as fanout:
        fanout.open(INFO)
        for number in range(5):
            fanout.write(Message(Decision("a", 0.5, frame=number)))
        wait_until(lambda: fanout.counts()["disk"][1] == 5, "five failures")
        sink.broken = False
        for number in range(5, 8):
            fanout.write(Message(Decision("a", 0.5, frame=number)))
    assert messages == [
        "disk: no space left. The run continues; this is printed once until it works again.",
        "disk: works again, after 5 messages that it could not write at once",
    ]
    assert numbers(sink) == [5, 6, 7]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "/data/log.jsonl: no space left; 1 line waits"),
        ConnectionError("jsonl:/data/log.jsonl: no space left; 1 line waits."),
        OSError("no space left; 1 line waits."),
    ],
)
def test_whose_trouble_it_is_stands_in_front_once(error: OSError) -> None:
    assert reason(error, "jsonl:/data/log.jsonl") == "no space left; 1 line waits"


def test_if_one_sink_refuses_the_others_are_closed_again() -> None:
    class Refuses(Kept):
        def open(self, info: RunInfo) -> None:
            raise UsageError("`sinks=x`: the port is in use")

    one = Kept()
    with pytest.raises(UsageError, match="port is in use"):
        Fanout([one, Refuses()], pytest.fail).open(INFO)
    assert one.state == "closed"


def test_sinks_that_delivered_nothing_are_told_from_those_that_lost_some() -> None:
    names = ("nothing", "some", "all", "untouched page")
    sinks = [Kept(name, lossless=name != "untouched page") for name in names]
    nothing, some, _, page = sinks
    nothing.broken, nothing.dropped, nothing.trouble = True, 2, "no such host."
    some.dropped = 1
    page.dropped = 2
    with Fanout(sinks, lambda line: None) as fanout:
        fanout.open(INFO)
        assert fanout.undelivered() == {}  # nobody was given anything yet
        for number in range(2):
            fanout.write(Message(Decision("a", 0.5, frame=number)))
    assert fanout.undelivered() == {"nothing": "no such host"}
    nothing.trouble = ""
    assert fanout.undelivered() == {"nothing": "no space left"}  # else what it said when it refused
