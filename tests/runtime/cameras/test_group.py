"""Several cameras, one engine: each in its turn, and none held up by another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cameras import (
    SOON,
    SPEC,
    Hanging,
    NotedEngine,
    Ticking,
    group_of,
    missing,
    never_opens,
    records_of,
)
from tests.support.waiting import wait_until
from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime import FrameSource
from tgkt_edge.runtime.cameras.batches import worth_it
from tgkt_edge.runtime.capture.retry import Retry
from tgkt_edge.runtime.events import HealthEvent, StateEvent
from tgkt_edge.runtime.records import BadFrame, Decision, camera_of

INFERENCE = 0.004


def lost_again_and_again() -> FrameSource:
    return Ticking(0.01, 2, lost=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fourth", [Hanging(0.01), never_opens, missing, lost_again_and_again, Ticking(0.2)],
    ids=["hangs in read", "hangs in open", "is missing", "is lost again and again", "is slow"],
)  # fmt: skip
def test_a_camera_that_hangs_is_lost_or_slow_holds_up_no_other(fourth: Callable[[], FrameSource]) -> None:
    engine = NotedEngine(INFERENCE)
    sources = {name: Ticking(0.02) for name in ("a", "b", "c")}
    retry = replace(SOON, wait=60.0, stall=0.2, hung_read=0.3, hung_open=0.3)
    found = records_of(group_of(engine, {"d": fourth, **sources}, retry=retry), seconds=1.2)
    answers = Counter(one.camera for one in found if isinstance(one, Decision))
    begun = [when for when, _ in engine.asked]
    for name, source in sources.items():
        assert answers[name] >= 15, answers  # of at most 60; a busy machine sleeps longer
        own = [one for one in found if isinstance(one, Decision) and one.camera == name]
        for one in own:
            # The frame waits for the inference that runs when it comes, and one of each other camera that works.
            arrived = source.arrived[one.frame]
            done = arrived + one.ms["total"] / 1e3
            assert sum(arrived < when < done for when in begun) <= 1 + 4, one
    states = [one.state for one in found if isinstance(one, StateEvent) and one.camera == "d"]
    if not isinstance(fourth, Ticking) or isinstance(fourth, Hanging):
        assert {"stalled", "lost"} & set(states)


def test_every_camera_has_its_turn_where_all_have_frames_at_any_time() -> None:
    sources = {name: Ticking(0.0005) for name in "abcd"}

    class Patient(NotedEngine):
        """Infers until each camera has delivered a frame since: two reads have begun, so one was handed over."""

        def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            until = {name: source.number + 2 for name, source in sources.items()}
            wait_until(
                lambda: all(sources[name].number >= number for name, number in until.items()), "frames"
            )
            return super().infer(batch)

    order: list[str | None] = []
    with group_of(Patient(), sources) as group:
        while len(order) < 40:
            records = [message.record for message in group.take(5)]
            order += [one.camera for one in records if isinstance(one, Decision)]
    for place in range(len(order) - 3):
        assert set(order[place : place + 4]) == set("abcd"), order


def test_records_of_each_camera_are_its_own_and_in_order() -> None:
    sources = {"near": Ticking(0, 30, 1000, live=False), "far": Ticking(0, 20, 7000, live=False)}
    group = group_of(NotedEngine(), sources)
    found = records_of(group)
    assert {camera_of(one) for one in found} == {"near", "far"}
    for name, count, label in (("near", 30, "a"), ("far", 20, "b")):
        own = [one for one in found if isinstance(one, Decision) and one.camera == name]
        assert [one.frame for one in own] == list(range(count))
        assert {one.label for one in own} == {label}
    assert group.stats.frames == 50
    assert {name: one.frames for name, one in group.summaries().items()} == {"near": 30, "far": 20}


def test_smoothing_health_and_sensor_are_each_cameras_own() -> None:
    sources = {"near": Ticking(0.01, 8, 1000), "holes": Ticking(0.01, 8, 0), "fine": Ticking(0, 8, 3000)}
    sensors = {"fine": replace(SPEC, unit_m=0.002)}
    found = records_of(group_of(NotedEngine(), sources, sensors=sensors, smooth=1e6, drop="none"))
    flags = {(one.camera, one.flag) for one in found if isinstance(one, HealthEvent) and one.active}
    assert {camera for camera, flag in flags if flag == "invalid"} == {"holes"}
    assert {one.camera for one in found if isinstance(one, BadFrame)} == {"holes"}
    labels = {one.camera: one.label for one in found if isinstance(one, Decision)}
    assert labels == {"near": "a", "fine": "b"}  # 3000 counts of 2 mm: beyond the middle of 8 m


def test_a_camera_that_is_given_up_ends_alone_and_the_run_says_so_in_the_end() -> None:
    sources: dict[str, Callable[[], FrameSource]] = {
        "a": Ticking(0.01, 20),
        "b": missing,
        "c": Ticking(0, 5, 200, dtype=np.uint8),
    }
    group = group_of(NotedEngine(), sources)
    found = records_of(group)
    assert Counter(one.camera for one in found if isinstance(one, Decision))["a"] >= 5
    for name in "bc":
        last = [one for one in found if isinstance(one, StateEvent) and one.camera == name][-1]
        assert last.state == "lost"
        assert "given up; the others go on" in last.detail
    with pytest.raises(SourceLostError, match=r"camera b: .*no such device.* camera c: .*uint8") as error:
        group.refuse_empty("a=0, b=1")
    assert "camera a" not in str(error.value)
    assert group.summaries()["b"].failed


def test_the_last_camera_that_is_given_up_does_not_speak_of_others() -> None:
    found = records_of(group_of(NotedEngine(), {"a": missing}))
    assert [camera_of(one) for one in found] == ["a"]
    assert isinstance(found[0], StateEvent)
    assert found[0].detail.endswith("It is given up.")


def test_an_error_that_no_camera_can_help_ends_all_and_names_the_camera() -> None:
    def wrong() -> FrameSource:
        raise UsageError("`loop=True` repeats a recording")

    group = group_of(NotedEngine(), {"a": Ticking(0.01), "b": wrong})
    with pytest.raises(UsageError, match="camera b: `loop=True`"):
        records_of(group)


@pytest.mark.slow
def test_leaving_waits_once_for_all_drivers_that_hang() -> None:
    group = group_of(NotedEngine(), dict.fromkeys("abcd", never_opens), retry=Retry(wait=60))
    with group:
        group.take(0.05)
        group.hurry(2.0)
        begin = time.monotonic()
    assert time.monotonic() - begin < 6  # four waits would be eight seconds


def test_frames_that_wait_together_are_answered_together_and_alike() -> None:
    engine = NotedEngine(0.01)
    sources = {name: Ticking(0.001, 40, 1000 * value) for value, name in enumerate("abcd", 1)}
    found = records_of(group_of(engine, sources, sizes=(4, 2, 1), max_wait=0.05, drop="none"))
    decisions = [one for one in found if isinstance(one, Decision)]
    assert len(decisions) == 160
    sizes = Counter(size for _, size in engine.asked)
    assert sizes[4] >= 35, sizes
    assert set(sizes) <= {4, 2, 1}
    for value, name in enumerate("abcd", 1):
        own = [one for one in decisions if one.camera == name]
        assert [one.frame for one in own] == list(range(40))
        for one in own:
            assert one.top[-1 if value < 4 else 0].probability == pytest.approx(value / 8, abs=0.01)


@pytest.mark.slow
def test_a_frame_waits_for_others_no_longer_than_it_was_allowed() -> None:
    engine = NotedEngine()
    sources = {"a": Ticking(0.02, 20), "b": Ticking(5.0)}
    found = records_of(group_of(engine, sources, sizes=(2, 1), max_wait=0.03), seconds=1.0)
    waited = sorted(one.ms["total"] for one in found if isinstance(one, Decision))
    assert len(waited) >= 10
    assert 25 < waited[len(waited) // 2] < 60


@pytest.mark.parametrize(
    ("seconds", "sizes"),
    [
        ({1: 0.010}, (1,)),
        ({1: 0.010, 2: 0.020, 4: 0.040}, (1,)),  # a processor that is busy already
        ({1: 0.010, 2: 0.012, 4: 0.018}, (4, 2, 1)),
        ({1: 0.010, 2: 0.019, 4: 0.030}, (4, 1)),  # two gain 5 %: not worth the wait
        ({1: 0.0, 2: 0.0}, (1,)),
    ],
)
def test_batches_are_taken_where_they_gain_a_tenth(seconds: dict[int, float], sizes: tuple[int, ...]) -> None:
    assert worth_it(seconds) == sizes
