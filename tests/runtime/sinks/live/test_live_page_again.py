"""The live page when the line, the run or its token is lost: it comes back, and shows nothing that is not so."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from typing import Any

import pytest

from tests.support.live import Live, Tab

pytestmark = pytest.mark.slow


def test_it_says_when_the_source_or_the_run_is_gone_and_comes_back(browser: Any) -> None:
    first = Live()
    with closing(Tab(browser, first.url)) as tab:
        first.write(Live.ramp(500))
        tab.wait("document.getElementById('label').textContent === 'bedroom'")
        first.write(Live.state("lost", "unplugged"))
        tab.wait("document.getElementById('notice').textContent === 'The source is lost: unplugged'")
        assert tab.page.locator("#notice").is_visible()
        first.close()
        tab.wait("document.getElementById('state-text').textContent === 'no connection'")
        with closing(Live(first.url)) as second:
            second.write(Live.ramp(0, "kitchen"))
            tab.wait("document.getElementById('label').textContent === 'kitchen'")
            assert tab.text("#state-text") == "live"
            assert tab.page.locator("#notice").is_hidden()


def test_another_run_at_the_same_address_begins_with_nothing_of_the_one_before(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Live()
    with closing(Tab(browser, first.url)) as tab:
        first.write(Live.ramp(7))
        first.write(Live.health("frozen", 9))
        tab.wait("document.getElementById('empty').hidden && document.querySelector('#health .raised')")
        first.close()
        tab.wait("document.getElementById('state-text').textContent === 'no connection'")
        other = dataclasses.replace(Live.INFO, started=Live.INFO.started + 60, classes=("cafe", "church"))
        monkeypatch.setattr(Live, "INFO", other)
        with closing(Live(first.url)) as second:
            second.write(Live.state("lost", "unplugged"))
            tab.wait("document.getElementById('state-text').textContent === 'lost'")
            assert "2 classes" in tab.text("#about")
            assert (tab.text("#label"), tab.text("#probability")) == ("\u2013", "")
            assert tab.page.locator("#top li").count() == 0
            assert tab.text("#health") == "nothing reported yet"
            assert "frozen" not in tab.text("#events")
            assert tab.page.locator("#empty").is_visible()
            assert tab.text("#silent") == "\u2013"


def test_a_held_picture_and_its_colours_outlast_a_lost_connection(tab: Tab, live: Live) -> None:
    live.write(Live.ramp(0))
    tab.wait("document.getElementById('empty').hidden")
    tab.page.locator("#colours").select_option("turbo")
    tab.page.get_by_role("button", name="Hold").click()
    tab.page.evaluate("leave(); info.seen = true; listen()")
    tab.wait("!info.seen")  # told again by the server
    assert tab.page.locator("#colours").input_value() == "turbo"
    tab.page.locator("#picture").press("ArrowRight")
    assert "column 33" in tab.text("#probe-said")


def test_the_past_comes_after_the_newest_minute(browser: Any, live: Live) -> None:
    live.write(Live.decision(0, "kitchen"))
    sink: Any = live.sink
    sink._states[""]._begin -= 600  # ten minutes later
    live.write(Live.decision(1))
    stream = live.stream()
    first = next(Live.events(stream))
    stream.close()
    assert [(row[1], row[3]) for row in first["timeline"]] == [("bedroom", 1)]
    with closing(Tab(browser, live.url)) as tab:
        tab.wait("timeline.rows.size === 2")
        rows = tab.page.evaluate("[...timeline.rows.values()].map((row) => row[1])")
        assert rows == [
            "kitchen",
            "bedroom",
        ]  # in order, so that what is older than an hour is found and dropped


def test_a_new_token_is_asked_for(browser: Any) -> None:
    first = Live(token=Live.TOKEN)
    with closing(Tab(browser, f"{first.url}/?token={Live.TOKEN}")) as tab:
        tab.page.locator("#state-text").wait_for()
        first.close()
        tab.wait("document.getElementById('state-text').textContent === 'no connection'")
        with closing(Live(first.url, token="another-token-of-this-run")):
            tab.page.get_by_label("Token").fill("another-token-of-this-run")
            tab.page.keyboard.press("Enter")
            tab.page.locator("#state-text", has_text="connecting").wait_for()
