"""What ``record`` writes is taken by ``run`` and by the training data's reader; pairs are matched by time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cli import run_cli
from tests.support.http_camera import http_camera, jpeg, part
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.data.loading import load_frames, load_pairs
from tgkt_edge.data.pair_matcher import Pairing
from tgkt_edge.errors import SourceLostError
from tgkt_edge.preprocess import encode
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources import Captured
from tgkt_edge.runtime.sources.recording import Paced
from tgkt_edge.sensor import PRESETS

DEPTH = PRESETS["depth"]


def write(folder: Path, frames: list[NDArray[Any]], form: str = "png", step: float = 0.1) -> Path:
    with RecordingWriter(folder, DEPTH, form) as writer:
        for number, frame in enumerate(frames):
            writer.add(Captured(frame, number, 1000.0 + step * number, "camera"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "ffv1"])
def test_run_replays_with_the_recorded_times(tmp_path: Path, depth_bundle: Bundle, form: str) -> None:
    frames = make_frames(4)
    folder = write(tmp_path / "rec", frames, form)
    save_frames(tmp_path / "plain", frames)
    replayed = run_cli("run", depth_bundle.path, "--camera", folder)
    plain = run_cli("run", depth_bundle.path, "--camera", tmp_path / "plain")
    assert replayed.code == plain.code == 0, replayed.stderr
    assert [record["top"] for record in replayed.records] == [record["top"] for record in plain.records]
    assert len(replayed.records) == 4


@pytest.mark.parametrize("form", ["png", "ffv1"])
def test_adapt_reads_a_recording_as_its_target(tmp_path: Path, form: str) -> None:
    made = make_frames(5)
    frames, spec = load_frames(write(tmp_path / "rec", made, form), DEPTH, 32)
    assert spec.size == (64, 48)
    np.testing.assert_array_equal(frames.codes, [encode(frame, spec, 32) for frame in made])


def test_recorded_pace(tmp_path: Path) -> None:
    folder = write(tmp_path / "rec", make_frames(4), step=0.05)
    begin = time.monotonic()
    with open_source(f"replay:{folder}", DEPTH) as source:
        found = list(iter(source.read, None))
    assert time.monotonic() - begin >= 0.15  # never faster; how much slower depends on the machine
    assert [captured.time for captured in found] == [1000.0 + 0.05 * number for number in range(4)]


def test_a_loop_at_recorded_pace_does_not_wait_for_the_past(tmp_path: Path) -> None:
    folder = write(tmp_path / "rec", make_frames(2), step=0.01)
    with open_source(f"replay:{folder}", DEPTH, loop=True) as source:
        assert isinstance(source, Paced)
        found = [source.read() for _ in range(5)]
    assert [captured.number for captured in found if captured] == [0, 1, 2, 3, 4]


def test_recorded_pace_needs_recorded_times(tmp_path: Path) -> None:
    save_frames(tmp_path / "plain", make_frames(1))
    with pytest.raises(SourceLostError, match=r"replay:.*plain: holds no times.*`camera=.*plain`"):
        open_source(f"replay:{tmp_path}/plain", DEPTH)


@pytest.mark.slow
def test_run_replays_at_recorded_pace(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = write(tmp_path / "rec", make_frames(5), step=0.4)
    begin = time.monotonic()
    done = run_cli("run", depth_bundle.path, "--camera", f"replay:{folder}")
    assert done.code == 0, done.stderr
    assert time.monotonic() - begin >= 1.6
    assert [record["frame"] for record in done.records] == [0, 1, 2, 3, 4]


def at(*times: float) -> list[Captured]:
    return [Captured(np.zeros((1, 1)), number, t, "camera") for number, t in enumerate(times)]


def match(frames: list[Captured], colours: list[Captured], skew: float) -> list[tuple[float, float | None]]:
    """All in the order of their times, as they would arrive."""
    pairing: Pairing[Captured] = Pairing(skew)
    decided = []
    for captured in sorted([*frames, *colours], key=lambda one: one.time):
        (pairing.add_color if any(captured is c for c in colours) else pairing.add_frame)(captured)
        decided += pairing.resolve()
    return [(frame.time, colour.time if colour else None) for frame, colour in decided]


def test_each_frame_gets_the_nearest_colour_frame_once() -> None:
    # Worked by hand: 1.00 is nearer to 1.01 than to 0.97; 1.04 takes 1.05; 1.30 has none within 20 ms.
    found = match(at(1.00, 1.04, 1.30), at(0.97, 1.01, 1.05, 1.40), 0.02)
    assert found == [(1.00, 1.01), (1.04, 1.05), (1.30, None)]


def test_a_colour_frame_is_used_once() -> None:
    assert match(at(1.0, 1.01), at(1.005, 2.0), 0.02) == [(1.0, 1.005), (1.01, None)]


def test_no_pair_lies_further_apart_than_asked_and_rates_may_differ() -> None:
    rng = np.random.default_rng(2)
    frames = at(*np.cumsum(rng.uniform(0.02, 0.05, 200)))
    colours = at(*np.cumsum(rng.uniform(0.02, 0.08, 200)))
    found = match(frames, colours, 0.015)
    pairs = [(frame, colour) for frame, colour in found if colour is not None]
    assert len(pairs) > 50
    assert all(abs(frame - colour) <= 0.015 for frame, colour in pairs)
    used = [colour for _, colour in pairs]
    assert used == sorted(set(used))


def test_a_silent_colour_camera_does_not_hold_frames_for_ever() -> None:
    pairing: Pairing[Captured] = Pairing(0.02)
    decided = 0
    for captured in at(*np.arange(1000.0)):
        pairing.add_frame(captured)
        decided += len(pairing.resolve())
    assert 700 <= decided < 1000


@pytest.fixture
def colour_camera() -> Iterator[str]:
    """An MJPEG camera, 100 frames a second: red pictures."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:] = (0, 0, 255)  # B, G, R
    with http_camera([part(jpeg(picture))] * 3000, period=0.01) as uri:
        yield uri


@pytest.mark.slow
def test_paired_recording_is_what_adapt_takes(tmp_path: Path, shim: str, colour_camera: str) -> None:
    out = tmp_path / "pairs"
    done = run_cli(
        "record", "--camera", "v4l2:///dev/video42", "-o", out, "--sensor", "depth", "--max-frames", 6,
        "--rgb", colour_camera, "--max-skew-ms", 200,
        LD_PRELOAD=shim, SHIM_FORMATS="Z16 ", SHIM_FPS="30", SHIM_BASE="9",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    lines = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    for line in lines:
        assert abs(line["skew_ms"]) <= 200
        assert line["skew_ms"] == pytest.approx((line["rgb_time"] - line["time"]) * 1e3, abs=0.01)
        assert Path(line["rgb"]).stem == Path(line["file"]).stem
    pairs = load_pairs(out, DEPTH, 32)
    assert len(pairs) == 6
    assert (pairs.rgb[..., 0] > 230).all()  # red, not blue
    assert (pairs.rgb[..., 2] < 30).all()
    listed = load_pairs(out / "pairs.csv", DEPTH, 32)
    np.testing.assert_array_equal(listed.rgb, pairs.rgb)
    np.testing.assert_array_equal(listed.codes, pairs.codes)
    # `adapt --target` and `run` take the same folder: the sensor's half of it.
    assert len(load_frames(out, DEPTH, 32)[0]) == 6
