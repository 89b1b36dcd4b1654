"""The thread that offers new bundles, and the one that takes them, step by step."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.images import make_frames
from tests.support.updates import good_bundle, point
from tests.support.waiting import wait_until
from tgkt_edge.runtime.model import load
from tgkt_edge.runtime.records import Candidate, Decision
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.runtime.updates.gates import parse_gates
from tgkt_edge.runtime.updates.rules import Rules
from tgkt_edge.runtime.updates.updater import Change, Requests, Updater

FRAME = make_frames(1)[0]
SEEN = Message(Decision("bedroom", 1.0, (Candidate("bedroom", 1.0),)), FRAME)


@contextmanager
def updating(folder: Path, **rules: Any) -> Iterator[tuple[Updater, Requests]]:
    """An updater of a link that leads to ``bedroom``; ``kitchen`` lies beside it."""
    for favorite, name in enumerate(("bedroom", "kitchen")):
        good_bundle(folder / name, favorite)
    point(folder / "link", folder / "bedroom")
    model = load(folder / "bedroom", engine="cpu", precision="fp32")
    given = Rules(folder / "link", "cpu", frames=2, poll=0.01, patience=0.2)
    requests = Requests()
    rules = {name: parse_gates(value) if name == "gates" else value for name, value in rules.items()}
    with Updater(_changed(given, rules), model, model.sensor, {"": model.sensor}, requests) as updater:
        yield updater, requests


def _changed(rules: Rules, changes: dict[str, Any]) -> Rules:
    return Rules(**{**vars(rules), **changes})


def taken(updater: Updater) -> Change:
    """The change that comes."""
    found: list[Change] = []

    def look() -> bool:
        change = updater.take()
        if change is not None:
            found.append(change)
        return bool(found)

    wait_until(look, "a change")
    return found[0]


def test_with_a_gate_a_new_bundle_waits_for_a_frame_and_is_then_compared_on_what_there_is(
    tmp_path: Path,
) -> None:
    with updating(tmp_path, gates=["agreement>=0"]) as (updater, _):
        point(tmp_path / "link", tmp_path / "kitchen")
        time.sleep(0.5)
        assert updater.take() is None
        updater.see(SEEN)
        change = taken(updater)
    assert change.event.state == "accepted"
    assert change.event.comparison is not None
    assert (change.event.comparison["frames"], change.event.comparison["agreement"]) == (1, 0)


def test_without_gates_a_new_bundle_needs_no_frame(tmp_path: Path) -> None:
    with updating(tmp_path) as (updater, _):
        point(tmp_path / "link", tmp_path / "kitchen")
        change = taken(updater)
    assert (change.event.state, change.event.comparison) == ("accepted", {"frames": 0})


def test_the_old_model_is_closed_when_the_new_one_is_taken_and_the_new_one_in_the_end(tmp_path: Path) -> None:
    batch = np.zeros((1, 1, 32, 32), np.float32)
    with updating(tmp_path) as (updater, _):
        old = updater.model
        point(tmp_path / "link", tmp_path / "kitchen")
        change = taken(updater)
        assert change.model is updater.model is not old
        new = updater.model
        assert new.engine.infer(batch)[1].argmax() == 1
        assert _is_closed(old, batch)
    assert _is_closed(new, batch)


def _is_closed(model: Any, batch: Any) -> bool:
    try:
        model.engine.infer(batch)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("asked", [False, True])
def test_a_damaged_copy_of_the_bundle_that_answers_is_refused(tmp_path: Path, asked: bool) -> None:
    with updating(tmp_path) as (updater, requests):
        shutil.copytree(tmp_path / "bedroom", tmp_path / "copy")
        damaged = bytearray((tmp_path / "copy" / "model.onnx").read_bytes())
        damaged[len(damaged) // 2] ^= 1
        (tmp_path / "copy" / "model.onnx").write_bytes(damaged)
        point(tmp_path / "link", tmp_path / "copy")
        event = taken(updater).event
        assert event.state == "refused"
        assert "model.onnx was altered" in event.detail
        if asked:
            requests.hang_up()
            assert taken(updater).event.state == "refused"


def test_a_whole_copy_of_the_bundle_that_answers_is_where_the_run_looks_from_then_on(tmp_path: Path) -> None:
    with updating(tmp_path) as (updater, requests):
        shutil.copytree(tmp_path / "bedroom", tmp_path / "copy")
        point(tmp_path / "link", tmp_path / "copy")
        requests.hang_up()
        assert taken(updater).event.state == "unchanged"
        shutil.rmtree(tmp_path / "bedroom")
        point(tmp_path / "link", tmp_path / "kitchen")
        assert taken(updater).event.state == "accepted"
        requests.ask(back=True)
        assert taken(updater).event.state == "accepted"  # the copy, which is still there
    assert (updater.accepted, updater.refused) == (2, 0)


def test_a_bundle_that_answers_already_is_no_change_unless_it_is_asked_for(tmp_path: Path) -> None:
    with updating(tmp_path) as (updater, requests):
        (tmp_path / "bedroom" / "notes.txt").write_text("beside the bundle's own files")
        time.sleep(0.3)
        assert updater.take() is None
        requests.hang_up()
        assert taken(updater).event.state == "unchanged"
    assert (updater.accepted, updater.refused) == (0, 0)
