"""The live page of several cameras: a wall, each alone, the worst of their states, and metrics by camera."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.live import Live, Tab
from tgkt_edge.runtime.events import UpdateEvent
from tgkt_edge.runtime.sinks import Message


@pytest.fixture
def two() -> Iterator[Live]:
    with closing(Live(cameras=("door", "hall"))) as one:
        yield one


def decide(live: Live, camera: str, number: int, label: str = "bedroom") -> None:
    live.write(Live.decision(number, label, camera=camera))


def test_each_camera_is_told_alone_and_with_the_others(two: Live) -> None:
    two.write(Live.state("live", "opened", "door"))
    decide(two, "door", 0)
    decide(two, "door", 3)
    decide(two, "hall", 0, "kitchen")
    latest = two.ask_json("/api/latest")["cameras"]
    assert {name: one["latest"]["label"] for name, one in latest.items()} == {
        "door": "bedroom",
        "hall": "kitchen",
    }
    assert latest["door"]["counts"] == {"frames": 2, "errors": 0, "dropped": 2}
    assert two.ask_json("/camera/door/api/latest")["latest"]["camera"] == "door"
    assert two.ask_json("/camera/hall/api/latest")["counts"]["frames"] == 1
    assert two.ask_json("/camera/hall/api/timeline")["rows"][0][1] == "kitchen"
    assert set(two.ask_json("/api/timeline")["cameras"]) == {"door", "hall"}
    info = two.ask_json("/api/info")
    assert [(one["camera"], one["source"]) for one in info["cameras"]] == [
        ("door", "v4l2:///dev/door"),
        ("hall", "v4l2:///dev/hall"),
    ]
    assert info["cameras"][0]["sensor"]["kind"] == "depth"
    assert two.ask_json("/camera/door/api/info")["source"] == "v4l2:///dev/door"
    for path, code in (
        ("/camera/attic/api/latest", 404),
        ("/api/frame", 404),
        ("/camera/door/api/frame", 200),
    ):
        assert two.ask(path)[0] == code, path
    assert b"camera/door/api/frame" in two.ask("/api/frame")[2]


def test_health_is_that_of_the_worst_and_of_each(two: Live) -> None:
    two.write(Live.state("live", camera="door"))
    two.write(Live.state("lost", "unplugged", "hall"))
    code, _, _ = two.ask("/healthz")
    assert code == 503
    assert two.ask("/camera/hall/healthz")[0] == 503
    assert two.ask("/camera/door/healthz")[0] == 200
    two.write(Live.state("live", camera="hall"))
    both = two.ask_json("/healthz")
    assert (both["ok"], both["state"]) == (True, "live")
    assert {name: one["state"] for name, one in both["cameras"].items()} == {"door": "live", "hall": "live"}


def test_the_worst_state_names_its_camera(two: Live) -> None:
    two.write(Live.state("stalled", "no frame for 5 s", "door"))
    two.write(Live.state("lost", "unplugged", "hall"))
    _, _, body = two.ask("/healthz")
    assert b'"state": "lost"' in body or b'"state":"lost"' in body
    assert b'"camera": "hall"' in body or b'"camera":"hall"' in body


def test_metrics_have_the_camera_as_a_label(two: Live, live: Live) -> None:
    for number in (0, 1, 2):
        decide(two, "door", number)
    decide(two, "hall", 0, "kitchen")
    two.write(Live.state("lost", camera="hall"))
    text = two.ask("/metrics")[2].decode()
    assert 'tgkt_edge_frames_total{camera="door"} 3.0' in text
    assert 'tgkt_edge_decisions_total{camera="hall",label="kitchen"} 1.0' in text
    assert 'tgkt_edge_source_state{camera="hall",tgkt_edge_source_state="lost"} 1.0' in text
    assert 'tgkt_edge_source_state{camera="door",tgkt_edge_source_state="live"} 1.0' in text
    live.write(Live.decision(0))
    alone = live.ask("/metrics")[2].decode()
    assert "tgkt_edge_frames_total 1.0" in alone
    assert "camera=" not in alone


def test_one_stream_brings_all_cameras_and_one_brings_one(two: Live) -> None:
    decide(two, "door", 0)
    with closing(two.stream()) as stream:
        first = next(Live.events(stream))
    assert set(first["cameras"]) == {"door", "hall"}
    assert first["cameras"]["door"]["latest"]["frame"] == 0
    with closing(two.stream("/camera/door/api/events")) as stream:
        assert next(Live.events(stream))["latest"]["frame"] == 0


@pytest.mark.parametrize("path", ["/", "/camera/door/", "/camera/door/api/latest", "/camera/door/healthz"])
def test_without_the_token_no_camera_is_told_of(path: str) -> None:
    with closing(Live(token=Live.TOKEN, cameras=("door",))) as locked:
        decide(locked, "door", 0)
        code, _, body = locked.ask(path)
        assert code == 401
        assert b"bedroom" not in body
        code, headers, _ = locked.ask(f"/camera/door/?token={Live.TOKEN}")
        assert (code, headers["location"]) == (
            303,
            "./",
        )  # the token leaves the address; the cookie is of this folder


@pytest.mark.slow
@pytest.mark.slow
def test_the_form_of_a_camera_s_page_logs_in_for_all_and_leads_back() -> None:
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    with closing(Live(token=Live.TOKEN, cameras=("door", "hall"))) as locked:
        decide(locked, "door", 0)
        code, headers, body = locked.ask("/camera/door/")
        assert (code, headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert b'action="../../login?next=camera/door/"' in body
        code, _, body = locked.ask("/login?next=camera/door/", "POST", "token=wrong", **form)
        assert code == 401
        assert b'action="login?next=camera/door/"' in body  # another try leads back as well
        assert b'action="login?next=camera/door/"' in locked.ask("/login?next=camera/door/")[2]
        right = f"token={Live.TOKEN}"
        code, headers, _ = locked.ask("/login?next=camera/door/", "POST", right, **form)
        assert (code, headers["location"]) == (303, "./camera/door/")
        cookie = headers["set-cookie"].partition(";")[0]
        for path in ("/", "/camera/door/", "/camera/hall/api/latest"):
            assert locked.ask(path, Cookie=cookie)[0] == 200
        for odd in (
            "https://evil.example/",
            "//evil.example/",
            "camera/../../x/",
            "camera/a%22b/",
            "camera/door",
        ):
            code, headers, _ = locked.ask(f"/login?next={odd}", "POST", right, **form)
            assert (code, headers["location"]) == (303, "./"), odd
            assert b'action="login"' in locked.ask(f"/login?next={odd}", "POST", "token=x", **form)[2], odd


@pytest.mark.slow
def test_the_wall_shows_every_camera_and_leads_to_each(browser: Any, two: Live) -> None:
    with closing(Tab(browser, two.url)) as tab:
        for camera in ("door", "hall"):
            two.write(Live.state("live", camera=camera))
        for number in range(3):
            message = Live.ramp(number)
            two.write(Live.decision(number, camera="door"))
            two.write(type(message)(Live.decision(number, "kitchen", camera="hall").record, message.frame))
        tab.wait("document.querySelectorAll('.tile').length === 2")
        tab.wait("[...document.querySelectorAll('.tile .label')].every((one) => one.textContent.length > 1)")
        texts = [text.split("\n") for text in tab.page.locator(".tile").all_inner_texts()]
        assert [(text[0], text[1], text[2]) for text in texts] == [
            ("door", "live", "bedroom"),
            ("hall", "live", "kitchen"),
        ]
        tab.wait("[...document.querySelectorAll('.tile canvas')].every((one) => one.width === 64)")
        assert tab.page.title() == "2 of 2 live \u00b7 tgkt-edge"
        two.write(Live.state("lost", "unplugged", "hall"))
        tab.wait("document.getElementById('state-text').textContent === 'lost'")
        assert "unplugged" in tab.page.locator(".tile").nth(1).inner_text()
        tab.page.locator(".tile").first.click()
        tab.wait("document.getElementById('label')?.textContent === 'bedroom'")
        assert tab.text("#source") == "door: v4l2:///dev/door"
        assert tab.page.url == f"{two.url}/camera/door/"
        tab.page.locator("#wall").click()
        tab.wait("document.querySelectorAll('.tile').length === 2")
        assert tab.messages == []


def test_after_an_update_the_metrics_still_name_every_camera(two: Live) -> None:
    def run() -> dict[str, str]:
        (line,) = re.findall(r"^tgkt_edge_run_info\{(.*)\}", two.ask("/metrics")[2].decode(), re.MULTILINE)
        return dict(re.findall(r'(\w+)="([^"]*)"', line))

    before = run()
    two.write(Message(UpdateEvent(1.0, "refused", "c" * 64, "a" * 64, "x", "damaged")))
    assert run() == before
    two.write(Message(UpdateEvent(1.0, "accepted", "b" * 64, "a" * 64, "y", engine="another")))
    assert run() == {**before, "bundle": "b" * 64, "engine": "another"}
