"""``tgkt-edge run --camera NAME=URI``: real processes, records, tables and exit codes."""

from __future__ import annotations

import csv
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

import tgkt_edge
from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.cli.main import app
from tgkt_edge.runtime.records import Decision


def frames_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decisions without what differs from run to run."""
    return [
        {key: value for key, value in one.items() if key not in ("time", "ms", "camera")}
        for one in records
        if "label" in one
    ]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of frames, ``a`` of 6 and ``b`` of 4."""
    folder = tmp_path_factory.mktemp("clips")
    save_frames(folder / "a", make_frames(6))
    save_frames(folder / "b", make_frames(4))
    return folder


def test_two_recordings_are_answered_as_each_alone(clips: Path, depth_bundle: Bundle, tmp_path: Path) -> None:
    table, out = tmp_path / "table.csv", io.StringIO()
    summary = tgkt_edge.run(
        depth_bundle.path,
        {"one": str(clips / "a"), "two": str(clips / "b")},
        sinks=["jsonl:-", f"csv:{table}"],
        out=out,
        log=io.StringIO(),
    )
    start, *records = [json.loads(line) for line in out.getvalue().splitlines()]
    schema = json.loads(files("tgkt_edge.runtime").joinpath("records.schema.json").read_text("utf-8"))
    for record in (start, *records):
        jsonschema.Draft202012Validator(schema).validate(record)
    assert start["camera"] == f"one={clips / 'a'}, two={clips / 'b'}"
    assert [(one["camera"], one["source"]) for one in start["cameras"]] == [
        ("one", str(clips / "a")),
        ("two", str(clips / "b")),
    ]
    for name, folder in (("one", "a"), ("two", "b")):
        alone = io.StringIO()
        tgkt_edge.run(depth_bundle.path, str(clips / folder), out=alone, log=io.StringIO())
        lines = [json.loads(line) for line in alone.getvalue().splitlines()]
        assert not any("camera" in line for line in lines[1:])
        assert frames_of([one for one in records if one["camera"] == name]) == frames_of(lines)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["camera"] for row in rows] == [one["camera"] for one in records if "label" in one]
    assert {name: one.frames for name, one in summary.cameras.items()} == {"one": 6, "two": 4}
    assert (summary.frames, summary.stopped) == (10, "end")
    assert "  camera one: 6 frames (0 bad, 0 dropped)" in summary.text()


def test_a_table_without_the_column_of_cameras_is_not_appended_to(
    clips: Path, depth_bundle: Bundle, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    tgkt_edge.run(depth_bundle.path, str(clips / "a"), sinks=[f"csv:{table}"], log=io.StringIO())
    before = table.read_bytes()
    with pytest.raises(tgkt_edge.TgktEdgeError, match="with 'camera', since cameras have names"):
        tgkt_edge.run(depth_bundle.path, f"one={clips / 'a'}", sinks=[f"csv:{table}"], log=io.StringIO())
    assert table.read_bytes() == before


def test_a_model_streams_several_cameras_by_name(clips: Path, depth_bundle: Bundle) -> None:
    with tgkt_edge.load(depth_bundle.path) as model:
        found = list(model.stream({"one": str(clips / "a"), "two": str(clips / "b")}))
        alone = list(model.stream(str(clips / "b")))
    assert all(isinstance(one, Decision) for one in found)
    two = [one for one in found if one.camera == "two"]
    assert [(one.frame, one.label, one.probability) for one in two] == [
        (one.frame, one.label, one.probability) for one in alone
    ]
    assert {one.camera for one in alone} == {""}


@pytest.mark.slow
def test_the_command_line_takes_names_and_says_what_is_wrong(clips: Path, depth_bundle: Bundle) -> None:
    bundle = depth_bundle.path
    done = run_cli("run", bundle, "--camera", f"one={clips / 'a'}", "--camera", f"two={clips / 'b'}")
    assert done.code == 0, done.stderr
    assert len(frames_of(done.records)) == 10
    assert "camera two: 4 frames" in done.stderr
    for arguments, code, words in (
        (["--camera", "a=0", "--camera", "1"], 2, "--camera 1 has no name: several cameras need one each"),
        (["--camera", "a=0", "--camera", "a=1"], 2, "--camera: the name a is given to two cameras"),
        (["--camera", "a=0", "--camera", "b=0"], 2, "are one device"),
        (["--camera", "a=0", "--sensor", "b=nir"], 2, "no camera of this name. Cameras: a"),
        (["--camera", "a=0", "--sensor", "a=nir"], 2, "camera a: --sensor: a nir sensor cannot feed"),
        (["--camera", "a=x", "--sink", "mqtt://h/t", "--camera", "info=y"], 2, "is a topic that the sink itself uses"),
        (["--camera", "0", "--max-wait-ms", "5"], 2, "--max-wait-ms 5 waits for frames of other cameras"),
        (["--camera", "a=0", "--camera", "b=1", "--max-wait-ms", "-1"], 2, "expected 0 to 10000 milliseconds"),
    ):  # fmt: skip
        refused = CliRunner().invoke(app, ["run", str(bundle), *arguments])
        assert refused.exit_code == code, refused.stderr
        assert words in " ".join(refused.stderr.split())
        assert refused.stdout == ""


@pytest.mark.slow
def test_a_camera_that_is_missing_is_named_and_the_others_are_answered(
    clips: Path, depth_bundle: Bundle
) -> None:
    done = run_cli("run", depth_bundle.path, "--camera", f"one={clips / 'a'}", "--camera", "two=/no/folder")
    assert done.code == 5
    assert len(frames_of(done.records)) == 6
    lost = [one for one in done.records if one.get("event") == "state"]
    assert [(one["camera"], one["state"]) for one in lost] == [("two", "lost")]
    assert "two: lost: /no/folder does not exist" in done.stderr
    assert "error: camera two: /no/folder does not exist" in done.stderr


def test_a_named_camera_s_advice_is_a_sensor_of_its_own(
    clips: Path, depth_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "rgb").mkdir()
    assert cv2.imwrite(str(tmp_path / "rgb/0.png"), np.zeros((24, 32, 3), np.uint8))
    done = run_cli(
        "run", depth_bundle.path, "--camera", f"one={clips / 'a'}", "--camera", f"two={tmp_path / 'rgb'}"
    )
    assert done.code == 5
    lines = [line for line in done.stderr.splitlines() if "say how with" in line]
    assert "error" in [line.split(":")[0] for line in lines]
    assert all("say how with --sensor two=PRESET_OR_FILE:" in line for line in lines)
