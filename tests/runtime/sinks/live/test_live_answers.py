"""What the live page's server answers: JSON, frames, health, metrics."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_metrics

from tests.support.live import Live
from tests.support.waiting import wait_until
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import BadFrame
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.sensor import PRESETS


def test_json_tells_the_newest_decision_the_figures_and_the_past(live: Live) -> None:
    assert live.name == f"http://127.0.0.1:{live.port}"
    before = live.ask_json("/api/latest")
    assert before["latest"] is None
    assert before["state"]["state"] == "connecting"
    for number in (0, 1, 4):  # 2 and 3 were replaced by newer ones
        live.write(Live.decision(number, "kitchen" if number == 1 else "bedroom"))
    live.write(Message(BadFrame("cannot be decoded", time=1_700_000_009.0, frame=5, source="x")))
    live.write(Live.health("frozen", 12, 10))
    after = live.ask_json("/api/latest")
    assert after["latest"] == Live.decision(4).record.to_dict()
    assert after["state"]["state"] == "live"  # frames are proof enough
    assert after["counts"] == {"frames": 4, "errors": 1, "dropped": 2}
    assert after["error"]["error"] == "cannot be decoded"
    assert after["ms"]["total"] == {"p50": 13.5, "p90": 13.5}
    (flag,) = after["health"]
    assert (flag["flag"], flag["active"], flag["value"], flag["limit"]) == ("frozen", True, 12, 10)
    assert after["image"]["number"] == 4
    past = live.ask_json("/api/timeline")
    assert past["columns"] == ["second", "label", "probability", "decisions", "errors"]
    assert sum(row[3] for row in past["rows"]) == 3
    assert sum(row[4] for row in past["rows"]) == 1
    assert {row[2] for row in past["rows"] if row[3]} == {0.75}
    info = live.ask_json("/api/info")
    assert info["classes"] == ["bedroom", "kitchen"]
    assert info["sensor"]["unit_m"] == 0.001
    assert info["range"] == list(PRESETS["depth"].range)


def test_what_a_camera_delivers_and_what_its_driver_lost(live: Live) -> None:
    assert live.ask_json("/api/info")["format"] == ""
    live.write(Message(StateEvent(1_700_000_000.0, "live", format="Z16 640x480")))
    live.write(Live.decision(0))
    for number, lost in ((1, 3), (2, 3), (3, 5)):
        live.write(Live.decision(number, lost=lost))
    live.write(Live.state("stalled"))
    assert live.ask_json("/api/info")["format"] == "Z16 640x480"
    assert live.ask_json("/api/latest")["counts"] == {"frames": 4, "errors": 0, "dropped": 0, "lost": 5}
    assert values(live.ask("/metrics")[2].decode())["tgkt_edge_frames_lost_total{}"] == 5


def test_a_password_in_a_record_is_not_shown(live: Live) -> None:
    live.write(Live.decision(0, source="rtsp://cam:hunter2@10.0.0.5/stream"))
    for path in ("/api/latest", "/metrics", "/api/info", "/"):
        assert b"hunter2" not in live.ask(path)[2]
    assert live.ask_json("/api/latest")["latest"]["source"] == "rtsp://***@10.0.0.5/stream"


def test_frames_are_the_raw_counts_of_every_nth_pixel(live: Live) -> None:
    assert live.ask("/api/frame")[0] == 204
    raw = np.arange(480 * 1300, dtype=np.uint32).reshape(480, 1300).astype(np.uint16)
    live.write(Message(Live.decision(7).record, raw))
    code, headers, body = live.ask("/api/frame?width=640")
    assert code == 200
    words = {name: int(headers[f"x-frame-{name}"]) for name in ("number", "width", "height", "step")}
    assert words == {"number": 7, "width": 434, "height": 160, "step": 3}
    shown = np.frombuffer(body, "<u2").reshape(160, 434)
    assert np.array_equal(shown, raw[::3, ::3])
    code, _, body = live.ask("/api/frame?width=9999999")
    assert code == 400
    assert b"expected one of 160, 320, 640" in body


def test_frames_of_eight_bits_are_sent_as_sixteen() -> None:
    eight = np.arange(48 * 64, dtype=np.uint32).reshape(48, 64).astype(np.uint8)
    with closing(Live(sensor=PRESETS["nir8"])) as live:
        live.write(Message(Live.decision(8).record, eight))
        body = live.ask("/api/frame?width=160")[2]
    assert np.array_equal(np.frombuffer(body, "<u2").reshape(48, 64), eight)


def test_a_frame_that_is_not_the_sensors_is_not_shown(live: Live) -> None:
    live.write(Message(Live.decision(8).record, np.ones((48, 64), np.uint8)))
    assert live.ask("/api/frame")[0] == 204


def test_healthz_follows_the_source() -> None:
    with closing(Live("http://127.0.0.1:0?stale=0.3")) as live:
        assert live.ask("/healthz")[0] == 200  # connecting
        live.write(Live.decision(0))
        live.write(Live.state("stalled", "no frame for 5 s"))
        code, _, body = live.ask("/healthz")
        assert code == 503
        assert json.loads(body)["detail"] == "no frame for 5 s"
        live.write(Live.state("lost", "unplugged"))
        assert live.ask("/healthz")[0] == 503
        live.write(Live.state("live"))
        live.write(Live.decision(1))
        wait_until(lambda: live.ask("/healthz")[0] == 503, "silence to be noticed")
        assert json.loads(live.ask("/healthz")[2])["state"] == "silent"
        live.write(Live.state("lost", "unplugged"))
        live.write(Live.state("connecting", "attempt 2"))  # which may take a minute
        assert live.ask("/healthz")[0] == 503
        live.write(Live.decision(2))
        assert live.ask("/healthz")[0] == 200


def values(text: str, parse: Callable[[str], Any] = parse_metrics) -> dict[str, float]:
    """``name{label=value}`` to value, by prometheus-client's own parser."""
    found = {}
    for family in parse(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_metrics_parse_and_count(live: Live) -> None:
    for number in (0, 1, 5):
        live.write(Live.decision(number, ms={**Live.MS, "age": 40.0}))
    live.write(Message(BadFrame("broken", time=1.0, frame=6, source="x")))
    live.write(Live.decision(7, "a label of no class"))
    live.write(Live.health('odd "flag"\n', 0.5))
    live.write(Live.state("stalled"))
    code, headers, body = live.ask("/metrics")
    assert code == 200
    assert headers["content-type"].startswith("text/plain; version=")
    found = values(body.decode())
    assert found["tgkt_edge_frames_total{}"] == 5
    assert found["tgkt_edge_frame_errors_total{}"] == 1
    assert found["tgkt_edge_frames_dropped_total{}"] == 3
    assert found["tgkt_edge_decisions_total{label=bedroom}"] == 3
    assert found["tgkt_edge_decisions_total{label=other}"] == 1
    assert found["tgkt_edge_stage_seconds_count{stage=inference}"] == 4
    assert found["tgkt_edge_stage_seconds_sum{stage=inference}"] == pytest.approx(0.04)
    assert found["tgkt_edge_stage_seconds_bucket{le=0.01,stage=inference}"] == 4
    assert found["tgkt_edge_stage_seconds_bucket{le=0.005,stage=inference}"] == 0
    assert found["tgkt_edge_decision_age_seconds_sum{}"] == pytest.approx(0.12)
    assert found["tgkt_edge_source_state{tgkt_edge_source_state=stalled}"] == 1
    assert found["tgkt_edge_source_state{tgkt_edge_source_state=live}"] == 0
    assert found['tgkt_edge_health_active{flag=odd "flag"\n}'] == 1
    code, headers, body = live.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert values(body.decode(), parse_openmetrics)["tgkt_edge_frames_total{}"] == 5


def test_metrics_of_a_source_whose_name_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Live, "INFO", replace(Live.INFO, source=os.fsdecode(b"/data/b\xfcro")))
    with closing(Live()) as live:
        for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
            code, _, body = live.ask("/metrics", Accept=accept)
            assert code == 200
            assert rb'source="/data/b\\xfcro"' in body
        assert live.ask_json("/api/info")["source"] == r"/data/b\xfcro"


def test_distances_from_the_adaptation_frames_are_gauges_and_shown_before_a_flag_is_raised(
    live: Live,
) -> None:
    live.write(Live.decision(0))
    assert not any("drift" in name for name in values(live.ask("/metrics")[2].decode()))
    assert live.ask_json("/api/latest")["health"] == []
    live.write(Live.decision(1, drift={"input": 0.5, "classes": 0.25, "of no kind": 1}))
    found = values(live.ask("/metrics")[2].decode())
    assert {name: value for name, value in found.items() if "drift" in name} == {
        "tgkt_edge_drift{of=input}": 0.5,
        "tgkt_edge_drift{of=classes}": 0.25,
    }
    calm = {"active": False, "limit": 1.0}
    assert live.ask_json("/api/latest")["health"] == [
        {"flag": "class_drift", "value": 0.25, **calm},
        {"flag": "input_drift", "value": 0.5, **calm},
    ]
    live.write(Live.health("input_drift", 1.01))
    live.write(Live.decision(2, drift={"input": 1.5, "classes": 0.25}, health=("input_drift",)))
    found = values(live.ask("/metrics")[2].decode())
    assert found["tgkt_edge_health_active{flag=input_drift}"] == 1
    assert found["tgkt_edge_health_value{flag=input_drift}"] == 1.01  # when it went on
    assert found["tgkt_edge_drift{of=input}"] == 1.5  # now
    (flag,) = [flag for flag in live.ask_json("/api/latest")["health"] if flag["active"]]
    assert (flag["flag"], flag["value"], flag["limit"]) == ("input_drift", 1.5, 1.0)


def test_ever_new_names_do_not_fill_the_memory(live: Live) -> None:
    for number in range(500):
        live.write(Live.decision(number, f"label {number}"))
        live.write(Live.health(f"flag {number}"))
    found = values(live.ask("/metrics")[2].decode())
    assert sum("decisions_total" in name for name in found) == 4
    assert found["tgkt_edge_decisions_total{label=other}"] == 500
    assert sum("health_active" in name for name in found) == 64
    latest = live.ask_json("/api/latest")
    assert len(latest["health"]) == 64
    assert len(latest["events"]) == 50
