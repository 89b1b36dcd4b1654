"""``POST /api/reload``: who may ask for another bundle, and what is answered where nobody can."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing

import pytest

from tests.support.live import Live
from tgkt_edge.runtime.events import UpdateEvent
from tgkt_edge.runtime.sinks import Message, open_sink
from tgkt_edge.runtime.sinks.live.app import News, stream
from tgkt_edge.runtime.sinks.live.state import LiveState


def test_without_a_token_nobody_may(live: Live) -> None:
    code, _, body = live.ask("/api/reload", method="POST")
    assert (code, json.loads(body)) == (403, {"error": "only with a token: start the run with `token`"})


def test_of_a_run_that_does_not_watch_its_bundle_nothing_comes(locked: Live) -> None:
    code, _, body = locked.ask("/api/reload", method="POST", Authorization=f"Bearer {Live.TOKEN}")
    assert code == 409
    assert b"does not watch its bundle: `watch=True`" in body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_asks(locked: Live, method: str) -> None:
    assert locked.ask("/api/reload", method=method, Authorization=f"Bearer {Live.TOKEN}")[0] == 405


@pytest.mark.slow
def test_it_asks_once_a_request_and_only_with_the_token() -> None:
    asked: list[bool] = []
    sink = open_sink("http://127.0.0.1:0", token=Live.TOKEN, update=asked.append)
    sink.open(Live.INFO)
    with closing(sink):
        client = Live.__new__(Live)
        client.port = int(sink.name.rpartition(":")[2])
        for token in ("", "Bearer wrong-wrong-wrong", "Basic x"):
            assert client.ask("/api/reload", method="POST", Authorization=token)[0] == 401
        assert client.ask("/api/reload?to=x", method="POST", Authorization=f"Bearer {Live.TOKEN}")[0] == 400
        assert asked == []
        assert client.ask("/api/reload", method="POST", Authorization=f"Bearer {Live.TOKEN}")[0] == 202
        assert (
            client.ask("/api/reload?to=previous", method="POST", Authorization=f"Bearer {Live.TOKEN}")[0]
            == 202
        )
    assert asked == [False, True]


def test_the_page_and_its_metrics_name_the_bundle_that_took_over(live: Live) -> None:
    with closing(live.stream()) as stream:
        lines = (line.decode() for line in stream)
        assert next(lines) == "event: info\n"
        live.write(Message(UpdateEvent(1.0, "refused", None, None, "/x", "damaged")))
        live.write(Message(UpdateEvent(1.0, "accepted", "b" * 64, None, "/y", "", "tensorrt, Orin", "fp16")))
        again = next(line for line in lines if '"classes"' in line and "b" * 64 in line)
    assert json.loads(again.removeprefix("data: "))["engine"] == "tensorrt, Orin"
    info = live.ask_json("/api/info")
    assert (info["bundle"], info["precision"]) == ("b" * 64, "fp16")
    assert [one["state"] for one in live.ask_json("/api/latest")["events"]] == ["refused", "accepted"]
    assert "b" * 64 in live.ask("/metrics")[2].decode()


def test_a_viewer_hears_of_a_bundle_that_takes_over_between_its_first_two_events() -> None:
    """And needs no frame to come for it."""
    state = LiveState(Live.INFO)

    async def three() -> list[str]:
        events = stream(News(state), lambda: False)
        first = await anext(events)
        state.put(Message(UpdateEvent(1.0, "accepted", "b" * 64, None, "/y", "", "tensorrt, Orin", "fp16")))
        return [first, await anext(events), await anext(events)]

    first, second, third = asyncio.run(asyncio.wait_for(three(), 10))
    assert first.startswith("event: info\n")
    assert "b" * 64 not in first
    assert second.startswith("data: ")
    assert third.startswith("event: info\n")
    assert "b" * 64 in third
