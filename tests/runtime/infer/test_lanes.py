"""Frames of files are inferred side by side: in order, with the answers that one after the other would give."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import Captured, FrameSource, classify, open_engine, pipeline
from tgkt_edge.runtime.engines.calibrated import CalibratedEngine
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine, lanes_for_files
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.sources import is_files
from tgkt_edge.sensor import PRESETS

SPEC = PRESETS["depth"]
NEAR, FAR = 1000, 8000


class Frames(FrameSource):
    """``frames`` one after the other; None stands for one that could not be read."""

    def __init__(self, frames: list[NDArray[np.uint16] | None], *, live: bool = False) -> None:
        self.live, self.frames, self.number = live, frames, 0

    def read(self) -> Captured | None:
        if self.number == len(self.frames):
            return None
        frame = self.frames[self.number]
        self.number += 1
        return Captured(
            frame,
            self.number - 1,
            time.time(),
            f"frame {self.number - 1}",
            None if frame is not None else "torn",
        )

    def close(self) -> None:
        pass


class Pair:
    """An engine of two lanes that answers "far" for bright inputs; ``during`` runs inside each inference."""

    name = "pair"
    lanes = 2

    def __init__(self, during: Any = lambda brightness: None) -> None:
        self.during = during
        self.inside = self.most = 0
        self.threads: set[str] = set()
        self.lock = threading.Lock()

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.threads.add(threading.current_thread().name)
        try:
            brightness = float(batch.mean())
            self.during(brightness)
        finally:
            with self.lock:
                self.inside -= 1
        far = np.float32(brightness)
        answer = np.array([[1 - far, far]], np.float32)
        return np.log(np.maximum(answer, 1e-6)), answer

    def close(self) -> None:
        pass


def flat(value: int) -> NDArray[np.uint16]:
    return np.full((8, 8), value, np.uint16)


def go(source: FrameSource, engine: Any, **more: Any) -> tuple[Any, list[dict[str, Any]]]:
    out = io.StringIO()
    summary = classify(lambda: source, engine, SPEC, ("near", "far"), 8, out=out, log=io.StringIO(), **more)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    return summary, [record for record in records if "event" not in record]


def test_two_inferences_run_at_once() -> None:
    meeting = threading.Barrier(2)  # nobody gets on before there are two
    engine = Pair(lambda brightness: meeting.wait(60))
    summary, records = go(Frames([flat(NEAR)] * 10), engine)
    assert [record["frame"] for record in records] == list(range(10))
    assert summary.frames == 10
    assert engine.most == 2


def test_never_more_at_once_than_lanes_and_all_frames_in_order() -> None:
    frames: list[Any] = [flat(FAR if number % 3 else NEAR) for number in range(30)]
    # Every third takes ten times as long, so that those after it are done before it.
    engine = Pair(lambda brightness: time.sleep(0.001 if brightness > 0.5 else 0.01))
    _, records = go(Frames(frames), engine)
    assert [record["frame"] for record in records] == list(range(30))
    assert [record["label"] for record in records] == [
        "far" if number % 3 else "near" for number in range(30)
    ]
    assert [record["source"] for record in records] == [f"frame {number}" for number in range(30)]
    assert engine.most <= 2


def test_a_record_of_a_later_frame_counts_the_wait_for_an_earlier_one() -> None:
    engine = Pair(lambda brightness: time.sleep(0.001 if brightness > 0.5 else 0.2))
    _, (slow, fast) = go(Frames([flat(NEAR), flat(FAR)]), engine)
    assert slow["ms"]["inference"] >= 200
    assert fast["ms"]["inference"] < slow["ms"]["inference"]
    assert fast["ms"]["total"] > 100  # it was there all the while


def test_unreadable_and_foreign_frames_between_good_ones() -> None:
    frames: list[Any] = [
        flat(NEAR),
        None,
        flat(FAR),
        np.zeros((8, 8), np.uint16),
        np.full((4, 4), FAR, np.uint16),
    ]
    summary, records = go(Frames([*frames, flat(NEAR)]), Pair())
    labels = [record.get("label") for record in records]
    assert labels == ["near", None, "far", None, None, "near"]
    assert records[1]["error"] == "torn"
    assert "every pixel is invalid" in records[3]["error"]
    assert "4x4" in records[4]["error"]
    assert (summary.frames, summary.bad) == (6, 3)


def test_an_engine_that_fails_ends_the_run_with_its_error_after_the_answers_before() -> None:
    def fail(brightness: float) -> None:
        if brightness > 0.5:
            raise TgktEdgeError("out of memory")

    out = io.StringIO()
    engine = Pair(fail)
    with pytest.raises(TgktEdgeError, match="out of memory"):
        classify(
            lambda: Frames([flat(NEAR), flat(NEAR), flat(FAR), flat(NEAR)]),
            engine, SPEC, ("near", "far"), 8, out=out, log=io.StringIO(),
        )  # fmt: skip
    assert [json.loads(line).get("frame") for line in out.getvalue().splitlines()] == [None, 0, 1]
    assert engine.inside == 0


@pytest.mark.alone
def test_nothing_is_inferred_any_more_once_the_run_is_over() -> None:
    stop = StopRequest()
    count = 0

    def during(brightness: float) -> None:
        nonlocal count
        count += 1
        if count == 5:
            stop.reason = "terminated"
        time.sleep(0.01)

    engine = Pair(during)
    began = time.monotonic()
    summary, _ = go(Frames([flat(NEAR)] * 1000), engine, stop=stop)
    assert summary.stopped == "terminated"
    assert time.monotonic() - began < 5  # a thousand would take as long
    assert engine.inside == 0
    over = count
    time.sleep(0.1)
    assert count == over < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tgkt-edge lane")]


def test_frames_of_a_camera_that_may_be_dropped_do_not_use_lanes() -> None:
    engine = Pair(lambda brightness: time.sleep(0.01))
    go(Frames([flat(NEAR)] * 5, live=True), engine)
    assert engine.threads == {threading.current_thread().name}


def test_lanes_of_onnx_runtime_answer_as_one_after_the_other_bit_for_bit(depth_bundle: Bundle) -> None:
    frames = make_frames(40)
    units = [preprocess(frame, SPEC, depth_bundle.size)[np.newaxis] for frame in frames]
    one = open_engine(depth_bundle)
    expected = [one.infer(unit) for unit in units]
    assert one.lanes == 1
    messages: list[str] = []
    several = open_engine(depth_bundle, lanes=4, say=messages.append)
    assert several.lanes == 4
    assert messages[-1].startswith("engine: onnxruntime, CPU; model.onnx, fp32, 4 frames side by side")

    out = io.StringIO()
    classify(
        lambda: Frames(list(frames)),
        several,
        SPEC,
        depth_bundle.classes,
        depth_bundle.size,
        out=out,
        log=io.StringIO(),
    )
    _, *records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(records) == 40
    for record, (_, probabilities) in zip(records, expected, strict=True):
        found = {entry["label"]: np.float32(entry["probability"]) for entry in record["top"]}
        assert found == dict(zip(depth_bundle.classes, probabilities[0], strict=True))
    assert len({record["label"] for record in records}) > 1  # else the equality would prove little


def test_the_bundles_temperature_leaves_the_lanes(depth_bundle: Bundle) -> None:
    assert CalibratedEngine(open_engine(depth_bundle, lanes=3), 2.0).lanes == 3


@pytest.mark.parametrize(("lanes", "threads"), [(0, None), (2, 2)])
def test_lanes_that_make_no_sense(depth_bundle: Bundle, lanes: int, threads: int | None) -> None:
    with pytest.raises(ValueError, match=f"lanes = {lanes}, threads = {threads}"):
        OnnxRuntimeEngine(
            depth_bundle.model(), depth_bundle.size, depth_bundle.classes, threads=threads, lanes=lanes
        )


@pytest.mark.parametrize(
    ("uri", "files"),
    [
        ("frames", True),
        ("frames/*.png", True),
        ("a.avi", True),
        ("./0", True),
        ("0", False),
        ("/dev/video0", False),
        ("v4l2:///dev/video0", False),
        ("replay:rec", False),  # paced as a camera: its latencies should be a camera's
        ("realsense://x.bag", False),
        ("rtsp://host/a", False),
        ("gst:videotestsrc ! appsink", False),
    ],
)
def test_which_sources_are_files(uri: str, files: bool) -> None:
    assert is_files(uri) is files


@pytest.mark.parametrize(("cores", "lanes"), [(1, 1), (4, 4), (64, 16)])
def test_as_many_lanes_as_cores_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, cores: int, lanes: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(cores)))
    assert lanes_for_files() == lanes


@pytest.mark.parametrize(("drop", "side_by_side"), [(None, True), ("none", True), ("latest", False)])
def test_run_opens_lanes_for_files_of_which_every_frame_counts(
    tmp_path: Path,
    depth_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    drop: Any,
    side_by_side: bool,
) -> None:
    opened = []

    def noted(*arguments: Any, **more: Any) -> Any:
        opened.append(open_engine(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr("tgkt_edge.runtime.model.open_engine", noted)
    folder = save_frames(tmp_path / "f", make_frames(4))
    pipeline.run(depth_bundle.path, str(folder), drop=drop, out=io.StringIO(), log=io.StringIO())
    assert opened[0].lanes == (lanes_for_files() if side_by_side else 1)
