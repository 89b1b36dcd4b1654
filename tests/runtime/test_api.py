"""The Python API: what it loads, one frame and many, threads, streams, and the commands' functions."""

from __future__ import annotations

import inspect
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, redirect_stdout
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tgkt_edge
from tests.support.cli import cli_environment, run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge import Decision, Model
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import FrameError, IncompatibleError, SourceLostError, UsageError
from tgkt_edge.runtime import Captured, FrameSource
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import BadFrame
from tgkt_edge.sensor import PRESETS


@pytest.fixture
def model(depth_bundle: Bundle) -> Iterator[Model]:
    with tgkt_edge.load(depth_bundle.path, engine="cpu") as opened:
        yield opened


def capturing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "capture" in thread.name]


# Loading


@pytest.mark.slow
def test_importing_it_loads_nothing_and_a_model_needs_no_training_library(depth_bundle: Bundle) -> None:
    code = f"""
        import sys
        import tgkt_edge
        assert not {{"numpy", "yaml", "tgkt_edge.runtime", "tgkt_edge.export"}} & set(sys.modules)
        assert "load" in dir(tgkt_edge)
        for name in ("torch", "torchvision", "onnx", "sklearn"):
            sys.modules[name] = None  # importing it fails
        model = tgkt_edge.load({str(depth_bundle.path)!r})
        import numpy as np
        print(model(np.full((48, 64), 2000, np.uint16)).label)
        model.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        env=cli_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in depth_bundle.classes


def test_what_cannot_be_loaded_says_so_as_the_command_does(depth_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="Expected a bundle folder"):
        tgkt_edge.load(tmp_path)
    with pytest.raises(UsageError, match="`engine=warp`: unknown"):
        tgkt_edge.load(depth_bundle.path, engine="warp")
    with pytest.raises(IncompatibleError, match="holds no int8 model"):
        tgkt_edge.load(depth_bundle.path, precision="int8")


# Frames


@pytest.mark.slow
def test_a_decision_is_the_one_that_a_run_writes(model: Model, depth_bundle: Bundle, tmp_path: Path) -> None:
    frames = make_frames(6)
    folder = save_frames(tmp_path / "frames", frames)
    done = run_cli("run", depth_bundle.path, "--camera", folder, "--engine", "cpu")
    decisions = model(frames)
    assert len({decision.label for decision in decisions}) > 1
    for decision, record in zip(decisions, done.records, strict=True):
        written = decision.to_dict()
        assert {key: written[key] for key in ("label", "probability", "top", "frame")} == {
            key: record[key] for key in ("label", "probability", "top", "frame")
        }
        assert decision.health == ()
        assert set(decision.ms) == {"preprocess", "inference", "total"}
        assert decision.ms["total"] >= decision.ms["inference"] > 0


def test_one_frame_gives_one_decision_and_several_a_list(model: Model) -> None:
    frames = make_frames(3)
    one = model(frames[1])
    assert isinstance(one, Decision)
    assert len(one.top) == 3
    assert len(model(frames[1], top_k=99).top) == len(model.classes)
    assert len(model(frames[1], top_k=1).top) == 1
    several, stacked = model(frames), model(np.stack(frames))
    assert [decision.frame for decision in several] == [0, 1, 2]
    assert [decision.top for decision in several] == [decision.top for decision in stacked]
    assert several[1].top == one.top
    assert model([]) == []


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((48, 64), np.uint8), "frame: uint8 pixels, but the sensor is uint16"),
        (np.zeros((48, 64, 4, 3), np.uint16), "frame: shape .48, 64, 4, 3.: a depth frame has one channel"),
        (np.zeros(5, np.uint16), "a depth frame has one channel"),
        (np.zeros((48, 64), np.uint16), "every pixel is invalid"),
        ([np.ones((48, 64), np.uint16), np.ones((48, 64), np.float32)], "frame 1: float32 pixels"),
    ],
)
def test_a_frame_that_contradicts_the_sensor_is_refused_and_never_scaled(
    model: Model, frame: Any, message: str
) -> None:
    with pytest.raises(FrameError, match=message):
        model(frame)


def test_flags_of_one_frame(model: Model) -> None:
    far = np.full((48, 64), 9000, np.uint16)  # beyond the preset's 8 m
    assert model(far).health == ("saturated",)
    dark = far.copy()
    dark[2:] = 0
    assert model(dark).health == ("invalid", "saturated")
    assert model(np.full((48, 64), 2000, np.uint16)).health == ()


def test_another_camera_of_the_same_kind_may_write_otherwise(depth_bundle: Bundle) -> None:
    frame = make_frames(1)[0] // 10 * 10
    tenth = PRESETS["depth"].__class__("depth", "uint16", unit_m=0.01, near_m=0, far_m=8, invalid=(0,))
    with tgkt_edge.load(depth_bundle, sensor=tenth) as other, tgkt_edge.load(depth_bundle) as model:
        assert other(frame // 10).top == model(frame).top


def test_a_closed_model_says_so(depth_bundle: Bundle) -> None:
    model = tgkt_edge.load(depth_bundle.path)
    model.close()
    model.close()
    with pytest.raises(ValueError, match="is closed"):
        model(np.full((48, 64), 2000, np.uint16))


# Threads


@pytest.mark.parametrize("lanes", [1, 3])
def test_threads_get_the_answers_to_their_own_frames(
    depth_bundle: Bundle, tmp_path: Path, lanes: int
) -> None:
    frames = make_frames(24)
    folder = save_frames(tmp_path / "frames", frames, "{:03}.png")
    with tgkt_edge.load(depth_bundle.path, engine="cpu", lanes=lanes) as model:
        expected = [decision.top for decision in model(frames)]
        assert len(set(expected)) == len(frames)
        streamed: list[Any] = []
        beside = threading.Thread(target=lambda: streamed.extend(d.top for d in model.stream(str(folder))))
        beside.start()
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda number: model(frames[number % 24]).top, range(240)))
        beside.join(60)
    assert found == expected * 10
    assert streamed == expected


# Streams


def test_a_stream_ends_with_its_recording_and_tells_of_what_is_no_decision(
    model: Model, tmp_path: Path
) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(4))
    (folder / "frame_2.png").write_bytes(b"broken")
    others: list[Any] = []
    decisions = list(model.stream(str(folder), others=others.append))
    assert [decision.frame for decision in decisions] == [0, 1, 3]
    assert [type(other) for other in others] == [BadFrame]
    assert "frame_2.png" in others[0].source
    assert decisions[0].source.endswith("frame_0.png")
    assert "capture" in decisions[0].ms
    assert not capturing()


def test_leaving_the_loop_closes_the_source(model: Model, tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(3))
    for number, decision in enumerate(model.stream(str(folder), loop=True)):
        assert decision.label in model.classes
        assert capturing()
        if number == 10:
            break
    assert not capturing()
    with closing(model.stream(str(folder), loop=True)) as stream:
        next(stream)
    assert not capturing()
    stream = model.stream(str(folder))  # never asked: nothing is opened
    assert not capturing()
    stream.close()


def test_an_error_within_the_loop_closes_the_source_too(model: Model, tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(3))
    with pytest.raises(ZeroDivisionError), closing(model.stream(str(folder), loop=True)) as stream:
        for _ in stream:
            raise ZeroDivisionError
    assert not capturing()


def test_a_source_that_gives_nothing_usable_is_an_error(model: Model, tmp_path: Path) -> None:
    with pytest.raises(SourceLostError, match="does not exist"):
        next(model.stream(str(tmp_path / "nowhere")))
    folder = save_frames(tmp_path / "dark", [np.zeros((48, 64), np.uint16)] * 2)
    with pytest.raises(SourceLostError, match="none of 2 frames could be classified"):
        list(model.stream(str(folder)))
    with pytest.raises(UsageError, match="`top_k=0`"):
        model.stream(str(folder), top_k=0)
    with pytest.raises(UsageError, match="`smooth=-1"):
        model.stream(str(folder), smooth=-1)


def test_states_of_a_camera_come_before_its_decisions(depth_bundle: Bundle) -> None:
    """With a camera in memory that runs at its own pace."""

    class Camera(FrameSource):
        live = True

        def __init__(self) -> None:
            self.left = 3

        def read(self) -> Captured | None:
            self.left -= 1
            if self.left < 0:
                return None
            return Captured(FRAME, 2 - self.left, 1.5e9, "memory")

        def close(self) -> None:
            pass

    seen: list[Any] = []
    with tgkt_edge.load(depth_bundle) as model, model.records(Camera, drop="none") as records:
        while not records.ended:
            seen += [message.record for message in records.take(0.1)]
    assert [record.state for record in seen if isinstance(record, StateEvent)] == ["connecting", "live"]
    assert [type(record) for record in seen[:3]] == [StateEvent, StateEvent, Decision]
    assert sum(isinstance(record, Decision) for record in seen) == 3


FRAME: NDArray[Any] = np.full((48, 64), 2000, np.uint16)


# The commands' functions


def test_run_and_inspect_are_the_command_s(depth_bundle: Bundle, tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(2))
    out = io.StringIO()
    summary = tgkt_edge.run(depth_bundle.path, str(folder), out=out, log=io.StringIO())
    assert summary.frames == 2
    assert [json.loads(line).get("event") for line in out.getvalue().splitlines()] == ["start", None, None]
    assert tgkt_edge.inspect(depth_bundle.path)["classes"] == list(depth_bundle.classes)


@pytest.mark.slow
def test_export_is_a_package_and_a_function() -> None:
    from tgkt_edge.export.task import Task

    assert callable(tgkt_edge.export)
    assert sys.modules["tgkt_edge.export"].task.Task is Task
    with pytest.raises(UsageError, match="`precisions=fp64`: unknown"):
        tgkt_edge.export(Path("run"), Path("bundle"), precisions=["fp64"])


@pytest.mark.parametrize("name", tgkt_edge.__all__)
def test_every_name_is_there_with_its_documentation(name: str) -> None:
    found = getattr(tgkt_edge, name)
    assert name == "__version__" or inspect.getdoc(found)
    with pytest.raises(AttributeError, match="no attribute 'flie'"):
        _ = tgkt_edge.flie  # type: ignore[attr-defined]


def test_the_example_of_its_documentation_runs(
    depth_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = make_frames(2)
    save_frames(tmp_path / "frames", frames)
    shutil.copytree(depth_bundle.path, tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    assert tgkt_edge.__doc__ is not None
    example = dedent(tgkt_edge.__doc__.partition("::\n")[2].partition("\nThey raise")[0])
    shown = io.StringIO()
    with redirect_stdout(shown):
        exec(example.replace("realsense://", "frames"), {"frame": frames[0]})
    lines = shown.getvalue().splitlines()
    assert len(lines) == 1 + 2
    assert lines[0].split()[0] == lines[1].split()[0]  # the label of the same frame
