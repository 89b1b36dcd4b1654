"""The JSON contract: every record of real runs fits ``records.schema.json``, and has no field that is not listed."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

import tgkt_edge
from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tests.support.pipeline import InstantEngine
from tgkt_edge.data.discovery import escape_name
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.capture.retry import Retry
from tgkt_edge.runtime.events import SCHEMA, HealthEvent, StateEvent, UpdateEvent
from tgkt_edge.runtime.records import BadFrame, Candidate, Decision
from tgkt_edge.runtime.sinks.json_encoding import encode
from tgkt_edge.sensor import PRESETS


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """As it is installed."""
    text = files("tgkt_edge.runtime").joinpath("records.schema.json").read_text(encoding="utf-8")
    values: dict[str, Any] = json.loads(text)
    return values


def kind_of(record: dict[str, Any]) -> str:
    return str(record.get("event") or ("bad_frame" if "error" in record else "decision"))


def check(record: dict[str, Any], schema: dict[str, Any]) -> None:
    """That it is one of the kinds, its own, and that no field is undocumented."""
    kind = kind_of(record)
    own = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": f"#/$defs/{kind}"}
    jsonschema.Draft202012Validator(own).validate(record)
    jsonschema.Draft202012Validator(schema).validate(record)
    assert set(record) <= set(schema["$defs"][kind]["properties"]), kind


def test_the_schema_is_one_and_has_the_version_that_records_say(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:tgkt-edge:records:{SCHEMA}"
    assert schema["$defs"]["start"]["properties"]["schema"]["const"] == SCHEMA
    named = {reference["$ref"].rpartition("/")[2] for reference in schema["anyOf"]}
    assert named == {"decision", "bad_frame", "start", "state", "health", "update"}


MS = dict.fromkeys(("capture", "preprocess", "inference", "total"), 1.0)
DECISION = Decision("a", 0.75, (Candidate("a", 0.75),), ms=MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"probability": 1.5},
        {"label": None},
        {"top": []},
        {"frame": -1},
        {"frame": 0.5},
        {"health": []},
        {"drift": {}},
        {"ms": {"capture": 1}},
        {"error": "both"},
    ],
)
def test_what_breaks_the_contract_is_refused(changes: dict[str, Any], schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(DECISION.to_dict())
    assert not validator.is_valid({**DECISION.to_dict(), **changes})
    for needed in ("time", "frame", "source", "label", "probability", "top", "ms"):
        assert not validator.is_valid({k: v for k, v in DECISION.to_dict().items() if k != needed})


def test_records_made_by_hand_fit(schema: dict[str, Any]) -> None:
    for record in (
        DECISION,
        BadFrame("broken", ("invalid",), 1.0, 3, "x.png"),
        StateEvent(1.0, "lost", "unplugged"),
        HealthEvent(1.0, "frozen", True, 5.0, 5.0),
        HealthEvent(1.0, "frozen", True, 5.0, 5.0, camera="door"),
        replace(DECISION, camera="Back_door-2"),
        UpdateEvent(1.0, "refused", None, "a" * 64, "/b", "damaged", comparison={"frames": 0}),
        UpdateEvent(
            1.0, "accepted", "b" * 64, "a" * 64, "/b", "", "cpu", "fp32", {"frames": 4, "agreement": 0.5}
        ),
    ):
        check(record.to_dict(), schema)


@pytest.mark.slow
def test_records_of_a_recording_fit_and_begin_with_what_made_them(
    schema: dict[str, Any], depth_bundle: Any, tmp_path: Path
) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(3))
    for number in range(3, 8):  # beyond the preset's 8 m
        cv2.imwrite(str(folder / f"frame_{number}.png"), np.full((48, 64), 9000, np.uint16))
    (folder / "frame_8.png").write_bytes(b"broken")
    sensor = tmp_path / "sensor.yaml"
    sensor.write_text("{kind: depth, dtype: uint16, unit_m: 0.001, near_m: 0, far_m: 8, invalid: [0]}")
    done = run_cli("run", depth_bundle.path, "--camera", folder, "--sensor", sensor)
    assert {kind_of(record) for record in done.records} == {"decision", "bad_frame", "health"}
    start = done.start
    assert start is not None
    for record in (start, *done.records):
        check(record, schema)
    assert start["bundle"] == depth_bundle.digest
    assert (start["camera"], start["precision"]) == (str(folder), "fp32")
    assert start["classes"] == list(depth_bundle.classes)
    assert start["sensor"]["far_m"] == 8
    assert start["version"] == tgkt_edge.__version__
    again = run_cli("run", depth_bundle.path, "--camera", folder)
    assert again.start is not None
    assert again.start["run"] != start["run"]
    assert again.start["bundle"] == start["bundle"]


class Camera(FrameSource):
    """Two frames, then it is unplugged."""

    live = True

    def __init__(self) -> None:
        self.count = 0

    def read(self) -> Captured | None:
        if self.count == 2:
            raise SourceLostError("unplugged")
        self.count += 1
        return Captured(np.full((8, 8), 2000 + self.count, np.uint16), self.count - 1, 1.5e9, "camera")

    def close(self) -> None:
        pass


def test_records_of_a_camera_fit_and_hide_its_password(schema: dict[str, Any]) -> None:
    out = io.StringIO()
    with pytest.raises(SourceLostError):
        classify(
            Camera,
            InstantEngine(),
            PRESETS["depth"],
            ("a", "b"),
            8,
            name="rtsp://user:secret@host/x",
            drop="none",
            retry=Retry(limit=0),
            out=out,
            log=io.StringIO(),
        )
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [kind_of(record) for record in records][:5] == ["start", "state", "state", "decision", "decision"]
    for record in records:
        check(record, schema)
    assert (records[0]["bundle"], records[0]["precision"]) == (None, None)
    assert "secret" not in out.getvalue()
    assert "age" in records[3]["ms"]


def test_a_file_name_that_is_no_utf_8_is_escaped_as_in_tables() -> None:
    name = os.fsdecode(b"b\xfcro \xf0\x9f\x98\x80.png")  # Latin-1's u umlaut, and a character beyond 16 bits
    for value in (name, {"source": name}, {"files": [name, "plain"]}, {name: 1}):
        text = encode(value)
        text.encode("utf-8")
        json.loads(text).__repr__().encode("utf-8")
        assert r"b\\xfcro" in text
    assert json.loads(encode({"source": name}))["source"] == escape_name(name) == "b\\xfcro \U0001f600.png"
    assert json.loads(encode({"a": "\U0001f600", "b": r"\ud83d"})) == {"a": "\U0001f600", "b": r"\ud83d"}
