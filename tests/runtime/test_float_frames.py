"""Floating-point and thermal frames through the device's half: files, records, flags, recordings, the live page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from tests.support.bundles import save_bundle
from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.errors import UsageError
from tgkt_edge.preprocess import encode
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.health.sensor_flags import Measurer, flags_of
from tgkt_edge.runtime.recorder.record import record
from tgkt_edge.runtime.sinks.colormaps import INVALID, colourise
from tgkt_edge.runtime.sinks.live.counts import coding_of, counts_of
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

METRES = PRESETS["depth-m"]


def scene(count: int = 6, shape: tuple[int, int] = (48, 64)) -> NDArray[Any]:
    """Metres of a few scenes, with holes."""
    random = np.random.default_rng(9)
    frames: NDArray[Any] = random.uniform(0.5, 7.5, (count, *shape)).astype(np.float32)
    frames[:, :5, :9] = np.nan
    return frames


@pytest.mark.slow
def test_files_of_metres_are_answered_as_frames_of_millimetres_are(tmp_path: Path) -> None:
    """A bundle adapted with one camera takes metres from another; whole millimetres give the same decisions."""
    bundle = save_bundle(tmp_path / "bundle")
    counts = make_frames(4)
    (tmp_path / "npy").mkdir()
    for number, frame in enumerate(counts):
        np.save(tmp_path / "npy" / f"{number}.npy", frame.astype(np.float32))
    save_frames(tmp_path / "png", counts)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(counts).astype(np.float32), photometric="minisblack")
    np.savez(tmp_path / "stack.npz", ir=np.zeros(3), depth=np.stack(counts).astype(np.float32))
    (tmp_path / "mm.yaml").write_text("{kind: depth, dtype: float32, unit_m: 0.001, near_m: 0, far_m: 8}")
    plain = run_cli("run", bundle.path, "--camera", tmp_path / "png", "--no-live")
    assert plain.code == 0, plain.stderr
    expected = [(record["label"], record["probability"]) for record in plain.records]
    assert len(expected) == 4
    for camera in ("npy", "stack.tif", "stack.npz?array=depth"):
        found = run_cli(
            "run", bundle.path, "--camera", tmp_path / camera, "--sensor", tmp_path / "mm.yaml", "--no-live"
        )
        assert found.code == 0, found.stderr
        assert [(record["label"], record["probability"]) for record in found.records] == expected
    one = run_cli(
        "run",
        bundle.path,
        "--camera",
        f"{tmp_path}/stack.tif?page=2",
        "--sensor",
        tmp_path / "mm.yaml",
        "--no-live",
    )
    assert [(record["label"], record["probability"]) for record in one.records] == expected[2:3]


@pytest.mark.slow
def test_floats_for_an_integer_sensor_are_refused_with_what_fits(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    np.save(tmp_path / "a.npy", scene(1)[0])
    done = run_cli("run", bundle.path, "--camera", tmp_path / "a.npy", "--no-live")
    assert done.code == 5
    assert (
        "float32 pixels, but the sensor is uint16. For float32 frames: --sensor with depth-m (depth)"
        in done.stderr
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_recording_of_floats_is_bit_exact(dtype: Any, tmp_path: Path) -> None:
    frames = scene().astype(dtype)
    np.save(tmp_path / "a.npy", frames)
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"{{kind: depth, dtype: {dtype}, unit_m: 1, near_m: 0, far_m: 8}}")
    summary = record(str(tmp_path / "a.npy"), tmp_path / "out", sensor=str(spec), live=False)
    assert summary.frames == 6
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [f"frame/{number:06d}.npy" for number in range(6)]
    with open_source(str(tmp_path / "out"), load_sensor(str(tmp_path / "out/sensor.yaml"))) as source:
        replayed = list(iter(source.read, None))
    assert [captured.error for captured in replayed] == [None] * 6
    for captured, frame in zip(replayed, frames, strict=True):
        assert captured.frame is not None
        assert captured.frame.tobytes() == frame.tobytes()
    held = bytearray((tmp_path / "out/frame/000002.npy").read_bytes())
    held[-1] ^= 1
    (tmp_path / "out/frame/000002.npy").write_bytes(held)
    with open_source(str(tmp_path / "out"), load_sensor(str(spec))) as source:
        errors = [captured.error for captured in iter(source.read, None)]
    assert "is not what was recorded" in str(errors[2])
    assert errors[:2] + errors[3:] == [None] * 5


def test_video_holds_no_floats(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", scene())
    with pytest.raises(UsageError, match=r"`form=ffv1`: video holds no float32 frames.*\.npy"):
        record(str(tmp_path / "a.npy"), tmp_path / "out", sensor="depth-m", form="ffv1", live=False)


def test_flags_of_floats_are_those_of_counts() -> None:
    frame = scene(1)[0]
    assert flags_of(frame, METRES) == ()
    holes = np.full_like(frame, np.nan)
    holes[0, 0] = 2
    assert flags_of(holes, METRES) == ("invalid",)
    assert flags_of(frame + 100, METRES) == ("saturated",)
    measurer = Measurer(METRES)
    assert [measurer.measure(frame.copy()).repeats for _ in range(3)] == [0, 1, 2]  # holes are equal to holes


def test_pictures_show_holes_and_the_range() -> None:
    frame = np.array([[0.001, 8.0, np.nan, -1.0]], np.float32)
    whole = SensorSpec("depth", unit_m=0.001, near_m=0, far_m=8, invalid=(0,))
    colours = colourise(frame, METRES, "viridis")
    np.testing.assert_array_equal(
        colours[:, :2], colourise(np.array([[1, 8000]], np.uint16), whole, "viridis")
    )
    assert (colours[0, 2:] == INVALID).all()


def test_the_page_gets_floats_as_counts_that_it_can_turn_into_values() -> None:
    frame = scene(1)[0]
    coding = coding_of(METRES)
    assert coding is not None
    counts = counts_of(frame, METRES)
    assert counts.dtype == np.dtype("<u2")
    assert ((counts == 0) == np.isnan(frame)).all()
    seen = counts > 0
    values = coding["low"] + (counts[seen].astype(np.float64) - 1) * coding["step"]
    np.testing.assert_allclose(values, frame[seen], rtol=0, atol=8 / 65534)
    assert coding_of(PRESETS["depth"]) is None
    raw = np.array([[0, 65535]], np.uint16)
    np.testing.assert_array_equal(counts_of(raw, PRESETS["depth"]), raw)


@pytest.mark.slow
def test_a_thermal_bundle_runs_and_codes_are_the_training_s(tmp_path: Path) -> None:
    spec = PRESETS["lepton"]
    bundle = save_bundle(tmp_path / "bundle", spec)
    frames = np.random.default_rng(3).integers(28500, 31000, (3, 60, 80)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "thermal.tif", frames, photometric="minisblack")
    done = run_cli("run", bundle.path, "--camera", tmp_path / "thermal.tif", "--no-live")
    assert done.code == 0, done.stderr
    assert len(done.records) == 3
    middle = np.full((8, 8), 29815, np.uint16)  # 25 degrees: half of 10 to 40
    assert set(np.unique(encode(middle, spec, 8))) <= {32767, 32768}
