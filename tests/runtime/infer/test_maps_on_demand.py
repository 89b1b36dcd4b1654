"""The engine is asked for maps only where somebody wants them: records, a viewer, a program."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tgkt_edge
from tests.support.bundles import CLASSES, save_bundle, save_model
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import IncompatibleError
from tgkt_edge.runtime import classify
from tgkt_edge.runtime.cameras.batches import infer_together
from tgkt_edge.runtime.infer.evidence import share_unmeasured, unmeasured
from tgkt_edge.runtime.infer.preprocess_stage import Prepared
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, Sink
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS

DEPTH = PRESETS["depth"]


class Counting:
    """Two classes by four places; counts how it was asked."""

    name, lanes, grid = "counting", 1, (2, 2)

    def __init__(self) -> None:
        self.plain = self.mapped = 0

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.plain += 1
        return self._answer(len(batch))

    def infer_maps(self, batch: NDArray[np.float32]) -> tuple[Any, Any, Any]:
        self.mapped += 1
        maps = np.array([[[4, 0], [0, 0]], [[0, 0], [0, 0]]], np.float32)
        return *self._answer(len(batch)), np.repeat(maps[np.newaxis], len(batch), 0)

    def _answer(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return np.tile(np.array([1, 0], np.float32), (count, 1)), np.tile(
            np.array([0.75, 0.25], np.float32), (count, 1)
        )

    def close(self) -> None:
        pass


class Looking(Sink):
    """Wants maps of every other frame."""

    def __init__(self) -> None:
        self.taken: list[Decision] = []

    @property
    def wants_maps(self) -> bool:
        return len(self.taken) % 2 == 1

    def open(self, info: RunInfo) -> None:
        self.info = info

    def write(self, message: Message) -> None:
        if isinstance(message.record, Decision):
            self.taken.append(message.record)

    def close(self) -> None:
        pass


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    kept = make_frames(4)
    for frame in kept:
        frame[:24, :32] = 0  # the upper left place, nearly
    save_frames(folder, kept)
    return folder


def run(frames: Path, engine: Counting, **more: Any) -> None:
    classify(
        lambda: open_source(str(frames), DEPTH), engine, DEPTH, ("a", "b"), 32, stdout=False, live=False,
        log=io.StringIO(), **more,
    )  # fmt: skip


def test_nobody_asks_and_nobody_pays(frames: Path) -> None:
    engine = Counting()
    run(frames, engine)
    assert (engine.plain, engine.mapped) == (4, 0)


def test_a_viewer_gets_maps_while_it_looks(frames: Path) -> None:
    engine, sink = Counting(), Looking()
    run(frames, engine, sinks=[sink])
    assert sink.info.maps == (2, 2)
    assert engine.plain + engine.mapped == 4
    for decision in sink.taken:
        assert decision.maps is None or decision.maps.shape == (2, 2, 2)
        assert "maps" not in decision.to_dict()


@pytest.fixture
def mapped(tmp_path: Path) -> Bundle:
    bundle = save_bundle(tmp_path / "mapped")
    save_model(bundle.path / "model.onnx", maps=True)
    return Bundle(path=bundle.path, classes=CLASSES, sensor=DEPTH, size=32, maps=(7, 7)).write()


def test_records_tell_the_share_of_the_evidence_on_holes(mapped: Bundle, frames: Path) -> None:
    out = io.StringIO()
    tgkt_edge.run(
        mapped.path, str(frames), evidence=True, engine="cpu", out=out, live=False, log=io.StringIO()
    )
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    decided = [record for record in records if "label" in record]
    assert len(decided) == 4
    with tgkt_edge.load(mapped.path, engine="cpu") as model:
        from tgkt_edge.io.images import read_frame

        for record in decided:
            frame = read_frame(Path(record["source"]))
            decision = model(frame, maps=True)
            assert decision.maps is not None
            assert decision.maps.shape == (3, 7, 7)
            evidence = decision.maps[CLASSES.index(decision.label)]
            expected = share_unmeasured(evidence, unmeasured(frame, DEPTH, 32, (7, 7)))
            assert record.get("evidence_invalid") == decision.evidence_invalid == expected
            assert model(frame).maps is None
    assert any(record.get("evidence_invalid", 0) > 0 for record in decided)


def test_a_stream_of_decisions_with_maps(mapped: Bundle, frames: Path) -> None:
    with tgkt_edge.load(mapped.path, engine="cpu") as model:
        for decision in model.stream(str(frames), maps=True):
            assert decision.maps is not None
            top = [candidate.label for candidate in decision.top]
            assert CLASSES[int(decision.maps.mean((1, 2)).argmax())] == top[0]


def test_a_bundle_without_maps_refuses_what_asks_for_them(tmp_path: Path, frames: Path) -> None:
    plain = save_bundle(tmp_path / "plain")
    with pytest.raises(IncompatibleError, match=r"`evidence=True`: the graphs of this bundle have no maps"):
        tgkt_edge.run(plain.path, str(frames), evidence=True, engine="cpu", live=False, log=io.StringIO())
    with tgkt_edge.load(plain.path, engine="cpu") as model:
        with pytest.raises(IncompatibleError, match=r"`maps=True`"):
            model(make_frames(1)[0], maps=True)
        assert model(make_frames(1)[0]).label in CLASSES


def test_of_frames_that_are_answered_together_each_gets_what_was_asked_for_it() -> None:
    engine = Counting()
    unit = np.zeros((1, 32, 32), np.float32)
    found = infer_together(
        [Prepared(unit=unit, mapped=True), Prepared(unit=unit), Prepared(problem="bad")], engine
    )
    assert (engine.plain, engine.mapped) == (0, 1)
    assert found[0].maps is not None
    assert found[0].maps.shape == (1, 2, 2, 2)
    assert found[1].maps is None
    assert found[1].answer is not None
    assert found[2].answer is None
    infer_together([Prepared(unit=unit)], engine)
    assert (engine.plain, engine.mapped) == (1, 1)
