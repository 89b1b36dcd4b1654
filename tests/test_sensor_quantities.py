"""Floating-point frames, temperatures, disparities and intrinsics: what they mean, what is refused, what travels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tgkt_edge.data.levels import QUANTILES, measure_levels
from tgkt_edge.data.value_checks import check_values
from tgkt_edge.errors import ConfigError, DataError, FrameError
from tgkt_edge.preprocess import encode, invalid_share, make_ready, preprocess
from tgkt_edge.sensor import PRESETS, Intrinsics, SensorSpec, load_sensor, positions

METRES, LEPTON = PRESETS["depth-m"], PRESETS["lepton"]
CELSIUS = SensorSpec("thermal", "float32", unit_k=1.0, offset_k=273.15, cold_c=10.0, hot_c=40.0)
STEREO = SensorSpec(
    "depth", encoding="disparity", unit_px=0.25, baseline_m=0.5, focal_px=600.0, near_m=0.0, far_m=100.0
)


@pytest.mark.parametrize(
    ("spec", "raw", "expected"),
    [
        (METRES, [0.5, 8.0], [0.5, 8.0]),
        (LEPTON, [27315, 30315], [0.0, 30.0]),  # 273.15 K, 303.15 K
        (PRESETS["flir-tiff"], [7000], [6.85]),  # 280 K
        (CELSIUS, [36.5, -10.0], [36.5, -10.0]),
        (STEREO, [4, 40], [300.0, 30.0]),  # 1 and 10 pixels: 0.5 m x 600 px / px
        (PRESETS["kitti"], [256, 2560], [1.0, 10.0]),
        (PRESETS["tum"], [5000], [1.0]),
        (PRESETS["matterport"], [4000], [1.0]),
        (PRESETS["scannet"], [1000], [1.0]),
        (PRESETS["hypersim"], [2.5], [2.5]),
        (PRESETS["boson"], [27315], [0.0]),
    ],
)
def test_numbers_decode_to_what_was_computed_by_hand(
    spec: SensorSpec, raw: list[float], expected: list[float]
) -> None:
    decoded = spec.decode(np.array(raw, spec.numpy_dtype))
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_floats_and_counts_of_one_quantity_become_the_same_codes(dtype: Any) -> None:
    """The same scene as whole millimetres in uint16, and as floating-point millimetres."""
    counts = (
        np.random.default_rng(2).integers(0, 2049, (60, 80)).astype(np.uint16)
    )  # float16 holds these exactly
    whole = SensorSpec("depth", "uint16", unit_m=0.001, near_m=0.3, far_m=1.9, invalid=(0,))
    real = SensorSpec("depth", dtype, unit_m=0.001, near_m=0.3, far_m=1.9)
    for side in (20, 73, 100):
        np.testing.assert_array_equal(encode(counts.astype(dtype), real, side), encode(counts, whole, side))
    np.testing.assert_array_equal(preprocess(counts.astype(dtype), real, 32), preprocess(counts, whole, 32))
    assert invalid_share(counts.astype(dtype), real) == invalid_share(counts, whole)
    np.testing.assert_allclose(
        measure_levels(counts.astype(dtype), real)[: len(QUANTILES)],
        measure_levels(counts, whole)[: len(QUANTILES)],
    )


def test_a_float_is_rounded_once_to_the_nearest_code() -> None:
    """Between two codes the nearer one; exactly between, the even one: the position in float64, rounded at once."""
    values = np.linspace(0.001, 7.999, 200_003).astype(np.float32)
    codes, valid = positions(values, METRES)
    assert valid.all()
    np.testing.assert_array_equal(codes, np.rint(values.astype(np.float64) / 8 * 65535))
    half_way = np.array([8 * 0.5 / 65535, 8 * 1.5 / 65535, 8 * 2.5 / 65535])
    spec = SensorSpec("depth", "float32", unit_m=1.0, near_m=0.0, far_m=65535.0)
    np.testing.assert_array_equal(positions((half_way * 65535 / 8).astype(np.float32), spec)[0], [0, 2, 2])


def test_what_is_no_measurement() -> None:
    raw = np.array([1, np.nan, np.inf, -np.inf, 0, -0.0, -1, 2, 0.1], np.float32)
    spec = SensorSpec("depth", "float32", unit_m=1, near_m=0, far_m=8, invalid=(2, 0.1))
    assert spec.valid(raw).tolist() == [True] + [False] * 8  # 0.1 as float32 has it
    assert METRES.valid(raw).tolist() == [True] + [False] * 6 + [True, True]
    warm = np.array([0, -1, -300, np.nan, 20], np.float32)
    assert CELSIUS.valid(warm).tolist() == [True, True, False, False, True]  # -300 degrees are none
    assert STEREO.valid(np.array([0, 1], np.uint16)).tolist() == [False, True]
    assert LEPTON.valid(np.array([0, 1], np.uint16)).tolist() == [False, True]


def test_a_hole_of_nan_does_not_spread() -> None:
    frame = np.full((64, 64), 2.0, np.float32)
    frame[10:20, 10:20] = np.nan
    frame[40, 40] = np.inf
    codes = encode(frame, METRES, 32)
    assert set(np.unique(codes)) == {round(2 / 8 * 65535)}
    with pytest.raises(
        FrameError, match="every pixel is invalid \\(NaN, infinite, 0 or less\\): nothing was"
    ):
        encode(np.zeros((8, 8), np.float32), METRES, 8)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_made_ready(name: str) -> None:
    make_ready(PRESETS[name], 28)


def test_a_camera_of_another_writing_feeds_a_model_of_the_same_kind() -> None:
    fed = STEREO.with_range_of(PRESETS["depth"])
    assert fed.range == (0.0, 8.0)
    metres = np.array([[3.0]])
    stereo = np.rint(0.5 * 600 / metres / 0.25).astype(np.uint16)
    assert encode(stereo, fed, 1)[0, 0] == encode(metres.astype(np.float32), METRES, 1)[0, 0]
    assert CELSIUS.with_range_of(LEPTON).range == LEPTON.range
    with pytest.raises(ConfigError, match="a thermal sensor cannot feed a model adapted to depth"):
        LEPTON.with_range_of(METRES)


@pytest.mark.parametrize(
    ("base", "change", "named"),
    [
        (LEPTON, {"unit_k": None}, "unit_k = None: a thermal sensor needs a finite number"),
        (LEPTON, {"unit_k": -1}, "unit_k = -1: expected a positive number of kelvin per count"),
        (LEPTON, {"hot_c": 5}, "range 10.0 to 5.0: expected -273.15 <= cold_c < hot_c"),
        (LEPTON, {"cold_c": -300}, "range -300.0 to 40.0: expected -273.15 <= cold_c"),
        (LEPTON, {"far_m": 3}, "far_m has no meaning for a thermal sensor"),
        (LEPTON, {"encoding": "disparity"}, "encoding disparity has no meaning for a thermal sensor"),
        (STEREO, {"unit_m": 1}, "unit_m has no meaning with encoding disparity"),
        (STEREO, {"baseline_m": None}, "baseline_m = None: a depth sensor needs"),
        (STEREO, {"focal_px": 0}, "focal_px = 0: expected a positive number of pixels"),
        (METRES, {"focal_px": 500}, "focal_px has no meaning with encoding linear"),
        (METRES, {"invalid": [float("nan")]}, "invalid = nan: expected finite numbers (float32)"),
        (METRES, {"encoding": "sunrgbd"}, "it needs dtype uint16"),
        (METRES, {"dtype": "float64"}, "dtype = 'float64': expected one of uint8, uint16, float32, float16"),
        (METRES, {"intrinsics": {"fx": 1, "fy": 1, "cx": 0}}, "intrinsics: cy missing"),
        (METRES, {"intrinsics": {"fx": 0, "fy": 1, "cx": 0, "cy": 0}}, "fx = 0: expected a positive number"),
        (METRES, {"intrinsics": {"fx": 1, "fy": 1, "cx": 0, "cy": 0, "k": 1}}, "unknown field 'k'"),
        (METRES, {"intrinsics": [1, 1, 0, 0]}, "intrinsics = [1, 1, 0, 0]: expected fx, fy, cx, cy"),
        (
            METRES,
            {"intrinsics": {"fx": 1, "fy": 1, "cx": 0, "cy": 0, "distortion": [1, 2]}},
            "distortion has 2 numbers: expected 4, 5, 8, 12, 14",
        ),
    ],
)
def test_a_contradiction_is_refused_and_named(base: SensorSpec, change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SensorSpec.from_dict({**base.to_dict(), **change}, where="camera.yaml")
    assert str(caught.value).startswith("camera.yaml: ")
    assert named in str(caught.value)


@pytest.mark.slow
def test_intrinsics_travel_with_the_sensor_and_change_no_frame(tmp_path: Path) -> None:
    camera = Intrinsics(525.0, 525.0, 319.5, 239.5, (0.1, -0.2, 0.0, 0.0, 0.3), "plumb_bob")
    with_camera = SensorSpec("depth", unit_m=0.001, near_m=0, far_m=8, invalid=(0,), intrinsics=camera)
    (tmp_path / "sensor.yaml").write_text(yaml.safe_dump(with_camera.to_dict()), encoding="utf-8")
    loaded = load_sensor(str(tmp_path / "sensor.yaml"))
    assert loaded == with_camera
    assert loaded.intrinsics == camera
    assert hash(loaded) == hash(with_camera)
    frame = np.random.default_rng(0).integers(0, 9000, (48, 64)).astype(np.uint16)
    np.testing.assert_array_equal(encode(frame, loaded, 32), encode(frame, PRESETS["depth"], 32))


def levels_of(spec: SensorSpec, celsius: float) -> Any:
    """Of thirty frames around one temperature, as a camera of ``spec`` writes them."""
    random = np.random.default_rng(1)
    assert spec.unit_k is not None
    frames = random.normal(celsius + 273.15, 3, (30, 48, 64)) / spec.unit_k
    return np.stack([measure_levels(frame.astype(np.uint16), spec) for frame in frames])


def test_kelvin_for_degrees_celsius_and_other_units_are_refused_with_the_unit_that_fits() -> None:
    centikelvin = levels_of(LEPTON, 22)
    check_values(centikelvin, LEPTON, "--target t")
    wrong = SensorSpec("thermal", "uint16", unit_k=0.01, offset_k=273.15, cold_c=10, hot_c=40, invalid=(0,))
    frames = np.random.default_rng(1).normal(29515, 300, (30, 48, 64)).astype(np.uint16)
    levels = np.stack([measure_levels(frame, wrong) for frame in frames])
    with pytest.raises(DataError, match=r"100% of the valid pixels lie at or beyond hot_c = 40.*°C.*0\.01 K"):
        check_values(levels, wrong, "--target t")
    coarse = PRESETS["flir-tiff"]
    levels = np.stack([measure_levels(frame, coarse) for frame in frames])
    with pytest.raises(DataError, match=r"counts look like 0\.01 K \(unit_k: 0\.01, offset_k: 0\)"):
        check_values(levels, coarse, "--target t")


def test_metres_read_as_millimetres_are_refused_with_the_unit() -> None:
    frames = np.random.default_rng(1).uniform(1, 4, (30, 48, 64)).astype(np.float32)
    millimetres = SensorSpec("depth", "float32", unit_m=0.001, near_m=0, far_m=8)
    levels = np.stack([measure_levels(frame, millimetres) for frame in frames])
    with pytest.raises(DataError, match=r"a network would learn nothing.*1 m \(unit_m: 1\)"):
        check_values(levels, millimetres, "--target t")
