"""Evidence over the newest frame: asked for only while somebody looks, on the wire and in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.live import Live, Tab
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.runtime.sinks.live import state

MAPS = np.zeros((2, 2, 3), np.float32)
MAPS[0] = [[4, 0, -2], [1, 1, 2]]  # bedroom: mean 1
MAPS[1] = [[-3, -3, -3], [0, 0, 0]]  # kitchen: mean -1.5


@pytest.fixture
def mapped() -> Iterator[Live]:
    with closing(Live(maps=(2, 3))) as one:
        yield one


def with_maps(number: int, label: str = "bedroom") -> Message:
    message = Live.ramp(number, label)
    assert isinstance(message.record, Decision)
    return Message(replace(message.record, maps=MAPS, evidence_invalid=0.25), message.frame)


def test_nobody_looks_until_a_map_is_asked_for(mapped: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not mapped.sink.wants_maps
    assert mapped.ask("/api/map")[0] == 204  # none yet: the next frames come with them
    assert mapped.sink.wants_maps
    mapped.write(with_maps(7))
    found = mapped.ask_json("/api/map")
    assert found == {
        "id": 1, "number": 7, "label": "bedroom", "logit": 1.0, "rows": 2, "columns": 3,
        "box": [0.05405, 0.05405, 0.86486, 0.86486],  # 32 of 37 pixels, from the third on
        "values": [4.0, 0.0, -2.0, 1.0, 1.0, 2.0],
    }  # fmt: skip
    other = mapped.ask_json("/api/map?label=kitchen")
    assert (other["label"], other["logit"]) == ("kitchen", -1.5)
    monkeypatch.setattr(state, "_LOOKING", 0.0)
    assert not mapped.sink.wants_maps
    assert mapped.ask("/api/map")[0] == 204  # what was kept is old


def test_an_unsure_decision_shows_the_evidence_for_the_likeliest_class(mapped: Live) -> None:
    mapped.ask("/api/map")
    message = with_maps(0, "kitchen")
    assert isinstance(message.record, Decision)
    mapped.write(Message(replace(message.record, label="unknown"), message.frame))
    assert mapped.ask_json("/api/map")["label"] == "kitchen"


def test_what_is_asked_wrongly_is_told(mapped: Live, live: Live) -> None:
    code, _, body = mapped.ask("/api/map?label=attic")
    assert (code, b"expected one of bedroom, kitchen" in body) == (400, True)
    code, _, body = live.ask("/api/map")
    assert (code, b"no maps of evidence" in body) == (404, True)
    assert not live.sink.wants_maps
    assert live.ask_json("/api/info")["maps"] is None
    assert mapped.ask_json("/api/info")["maps"] == {"rows": 2, "columns": 3}


def test_records_tell_the_share_and_leave_the_maps_out(mapped: Live) -> None:
    mapped.write(with_maps(0))
    latest = mapped.ask_json("/api/latest")["latest"]
    assert latest["evidence_invalid"] == 0.25
    assert "maps" not in latest


def test_each_of_several_cameras_has_its_own() -> None:
    with closing(Live(cameras=("door", "hall"), maps=(2, 3))) as live:
        assert live.ask("/api/map")[0] == 404
        assert live.ask("/camera/hall/api/map")[0] == 204
        assert live.sink.wants_maps
        message = with_maps(0)
        assert isinstance(message.record, Decision)
        live.write(Message(replace(message.record, camera="hall"), message.frame))
        assert live.ask_json("/camera/hall/api/map")["values"][0] == 4
        assert live.ask("/camera/door/api/map")[0] == 204


PIXEL = "([x, y]) => [...document.getElementById('evidence').getContext('2d').getImageData(x, y, 1, 1).data]"
SHOWN = "!document.getElementById('evidence').hidden"


@pytest.mark.slow
def test_the_page_lays_it_over_the_frame(browser: Any, mapped: Live) -> None:
    with closing(Tab(browser, mapped.url)) as tab:
        mapped.write(with_maps(0))
        tab.wait("document.getElementById('empty').hidden")
        assert not tab.page.evaluate(SHOWN)
        assert not mapped.sink.wants_maps  # a page that shows none costs nothing
        assert tab.page.locator("#evidence-of option").all_inner_texts() == [
            "off", "for the decision", "bedroom", "kitchen",
        ]  # fmt: skip
        tab.page.locator("#evidence-of").select_option("answer")
        tab.wait("document.getElementById('evidence-of').value === 'answer'")
        for number in range(1, 200):
            mapped.write(with_maps(number))
            if tab.page.evaluate(SHOWN):
                break
            tab.page.wait_for_timeout(50)
        assert tab.text("#evidence-words") == "orange: evidence for bedroom; blue: against it"
        warm, none, cool = (tab.page.evaluate(PIXEL, [x, 0]) for x in range(3))
        assert warm[3] > 150
        assert warm[0] > warm[2]
        assert none[3] == 0
        assert cool[2] > cool[0]
        assert 50 < cool[3] < 120  # half as strong
        frame, over = (tab.page.locator(name).bounding_box() for name in ("#picture", "#evidence"))
        assert over["width"] == pytest.approx(frame["width"] * 32 / 37, abs=1)
        assert over["x"] - frame["x"] == pytest.approx(frame["width"] * 2 / 37, abs=1)
        assert over["y"] - frame["y"] == pytest.approx(frame["height"] * 2 / 37, abs=1)
        tab.page.set_viewport_size({"width": 700, "height": 900})
        tab.page.wait_for_timeout(300)
        frame, over = (tab.page.locator(name).bounding_box() for name in ("#picture", "#evidence"))
        assert over["width"] == pytest.approx(frame["width"] * 32 / 37, abs=1)
        tab.page.locator("#evidence-of").select_option("")
        assert not tab.page.evaluate(SHOWN)
        assert [text for text in tab.messages if "willReadFrequently" not in text] == []


@pytest.mark.slow
def test_a_page_of_a_bundle_without_maps_offers_none(tab: Tab, live: Live) -> None:
    live.write(Live.ramp(0))
    tab.wait("document.getElementById('empty').hidden")
    assert tab.page.locator("#evidence-choice").is_hidden()
    assert not any("api/map" in url for url in tab.asked)
