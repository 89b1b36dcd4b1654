"""What a raw frame means: decoding, the range, what is refused, and what travels in YAML and JSON."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from tgkt_edge.errors import ConfigError, FrameError
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor, unit_table

DEPTH, NIR, NIR8, NYU, SUN = (PRESETS[name] for name in ("depth", "nir", "nir8", "nyuv2", "sunrgbd"))
METRES, LEPTON = PRESETS["depth-m"], PRESETS["lepton"]


@pytest.mark.parametrize(
    ("spec", "counts", "expected"),
    [
        (DEPTH, [0, 1, 1500, 65535], [0.0, 0.001, 1.5, 65.535]),  # millimetres
        (NIR, [0, 512, 1023], [0.0, 512.0, 1023.0]),  # counts stay counts
        (NIR8, [0, 128, 255], [0.0, 128.0, 255.0]),
        (NYU, [0, 51, 255], [0.0, 1.999, 9.995]),  # 51 / 255 is a fifth of 9.995 m
        # 1000 << 3 = 8000; 8193 = 0b10_0000_0000_0001 loses no bit: rotated left by 3 it is 0b1_0000_0000_0000_1001.
        (SUN, [8000, 9, 1, 7], [1.0, 8.193, 8.192, 57.344]),
    ],
    ids=["depth", "nir", "nir8", "nyuv2", "sunrgbd"],
)
def test_each_preset_decodes_hand_computed_counts(
    spec: SensorSpec, counts: list[int], expected: list[float]
) -> None:
    decoded = spec.decode(np.array(counts, dtype=spec.numpy_dtype))
    assert decoded.dtype == np.float64
    np.testing.assert_allclose(decoded, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("near", "far", "expected"), [(0.0, 8.0, 0.0), (0.5, 4.5, 0.125), (6.0, 9.0, 2.0)])
def test_code_0_of_depth_lies_so_many_code_ranges_away(near: float, far: float, expected: float) -> None:
    assert dataclasses.replace(PRESETS["depth"], near_m=near, far_m=far).near_offset == expected
    assert PRESETS["nir"].near_offset is None


def test_rotated_bits_are_a_permutation_of_all_counts() -> None:
    metres = SUN.decode(np.arange(65536, dtype=np.uint16))
    np.testing.assert_array_equal(np.sort(np.rint(metres * 1000)), np.arange(65536))


def test_real_sunrgbd_files_are_scenes_of_a_few_metres(data_dir: Path) -> None:
    files = sorted((data_dir / "SUNRGBD").glob("*/*/*/depth/*.png"))
    assert len(files) == 2
    for file in files:
        raw: Any = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        SUN.check(raw, str(file))
        wide = raw.astype(np.int64)
        metres = (((wide >> 3) | (wide << 13)) & 0xFFFF) / 1000.0  # the toolbox's read3dPoints.m
        np.testing.assert_allclose(SUN.decode(raw), metres, rtol=0, atol=1e-12)
        measured = metres[wide != 0]
        assert 0.4 < measured.min() < np.median(measured) < measured.max() < 12.0


@pytest.mark.parametrize(("name", "near"), [("near", "near_m"), ("kinds", "kind"), ("unit", "unit_m")])
def test_an_unknown_field_is_named_and_the_nearest_is_suggested(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SensorSpec.from_dict({**DEPTH.to_dict(), name: 1}, where="camera.yaml")
    assert str(caught.value) == f"camera.yaml: unknown field '{name}'. Did you mean '{near}'?"


def test_an_unknown_field_like_no_other_lists_all_fields() -> None:
    with pytest.raises(ConfigError, match="unknown field 'zzz'") as caught:
        SensorSpec.from_dict({**DEPTH.to_dict(), "zzz": 1})
    for field in dataclasses.fields(SensorSpec):
        assert field.name in str(caught.value)


@pytest.mark.parametrize(
    ("base", "change", "named"),
    [
        (DEPTH, {"kind": "radar"}, "kind = 'radar': expected one of depth, nir, thermal"),
        (DEPTH, {"dtype": "int16"}, "dtype = 'int16': expected one of uint8, uint16, float32, float16"),
        (DEPTH, {"encoding": "log"}, "encoding = 'log'"),
        (DEPTH, {"unit_m": None}, "unit_m = None: a depth sensor needs a finite number"),
        (DEPTH, {"unit_m": "1 mm"}, "unit_m = '1 mm'"),
        (DEPTH, {"unit_m": True}, "unit_m = True"),
        (DEPTH, {"unit_m": 0.0}, "unit_m = 0.0: expected a positive number"),
        (DEPTH, {"unit_m": -0.001}, "unit_m = -0.001: expected a positive number"),
        (DEPTH, {"far_m": float("nan")}, "far_m = nan"),
        (DEPTH, {"far_m": float("inf")}, "far_m = inf"),
        (DEPTH, {"near_m": 8.0}, "range 8.0 to 8.0: expected 0 <= near_m < far_m"),
        (DEPTH, {"near_m": -1.0}, "range -1.0 to 8.0"),
        (DEPTH, {"black": 0}, "black has no meaning for a depth sensor"),
        (NIR, {"unit_m": 0.001}, "unit_m has no meaning for a nir sensor"),
        (NIR, {"white": None}, "white = None: a nir sensor needs a finite number"),
        (NIR, {"black": 2000}, "range 2000.0 to 1023.0: expected 0 <= black < white"),
        (NYU, {"encoding": "sunrgbd"}, "it needs dtype uint16"),
        (NYU, {"invalid": [256]}, "invalid = 256: expected raw counts from 0 to 255 (uint8)"),
        (DEPTH, {"invalid": [-1]}, "invalid = -1"),
        (DEPTH, {"invalid": [0.5]}, "invalid = 0.5"),
        (DEPTH, {"invalid": 0}, "invalid = 0: expected a list of raw counts"),
        (DEPTH, {"size": [640]}, "size = (640,): expected [width, height]"),
        (DEPTH, {"size": [640, 0]}, "size = (640, 0)"),
        (DEPTH, {"size": 640}, "size = 640"),
        (DEPTH, {"size": "all"}, "size = 'all': expected one of any"),
    ],
)
def test_a_bad_value_is_refused_and_named(base: SensorSpec, change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SensorSpec.from_dict({**base.to_dict(), **change}, where="camera.yaml")
    assert str(caught.value).startswith("camera.yaml: ")
    assert named in str(caught.value)


def test_what_is_no_mapping_or_has_no_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="found list, expected the fields of a SensorSpec"):
        SensorSpec.from_dict([1, 2])
    with pytest.raises(ConfigError, match="'kind' is missing"):
        SensorSpec.from_dict({"unit_m": 0.001})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_yaml(name: str, tmp_path: Path) -> None:
    for spec in (PRESETS[name], PRESETS[name].with_size(640, 480)):
        file = tmp_path / "sensor.yaml"
        file.write_text(yaml.safe_dump(spec.to_dict()), encoding="utf-8")
        assert load_sensor(str(file)) == spec
    assert load_sensor(name) is PRESETS[name]


def test_numbers_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    file = tmp_path / "sensor.yaml"
    file.write_text("{kind: depth, unit_m: 1e-3, near_m: 3e-1, far_m: 6E0}", encoding="utf-8")
    assert load_sensor(str(file)) == SensorSpec("depth", unit_m=0.001, near_m=0.3, far_m=6.0)
    file.write_text("{kind: nir, black: 0, white: 1e3}", encoding="utf-8")
    assert load_sensor(str(file)) == SensorSpec("nir", black=0, white=1000.0)
    for bad in ("1e-3 m", "nan", "1e999", "yes"):
        file.write_text(f"{{kind: depth, unit_m: {bad}, near_m: 0, far_m: 6}}", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"unit_m = .*: a depth sensor needs a finite number here"):
            load_sensor(str(file))


def test_load_sensor_names_what_is_no_preset_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`sensor=kinect`: neither a preset .*sunrgbd.* nor a YAML file"):
        load_sensor("kinect")
    broken = tmp_path / "broken.yaml"
    broken.write_text("kind: [depth", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not valid YAML"):
        load_sensor(str(broken))
    broken.write_bytes(b"kind: \xff\xfe")
    with pytest.raises(ConfigError, match=r"broken\.yaml: not valid YAML"):
        load_sensor(str(broken))


def test_check_accepts_what_fits() -> None:
    DEPTH.check(np.zeros((480, 640), np.uint16))
    DEPTH.with_size(640, 480).check(np.zeros((480, 640), np.uint16))
    NYU.check(np.zeros((1, 1), np.uint8))


@pytest.mark.parametrize(
    ("spec", "frame", "messages"),
    [
        (
            DEPTH,
            np.zeros((480, 640), np.uint8),
            [
                "uint8 pixels, but the sensor is uint16",
                "8 were lost on the way",
                "gray16le",
                "`sensor` with nyuv2 (depth), nir8 (nir)",
            ],
        ),
        (NYU, np.zeros((480, 640), np.uint16), ["uint16 pixels, but the sensor is uint8", "`sensor`"]),
        (
            DEPTH,
            np.zeros((480, 640), np.float32),
            [
                "float32 pixels, but the sensor is uint16",
                "`sensor` with depth-m (depth)",
                "dtype: float32, and unit_m: 1",
            ],
        ),
        (
            METRES,
            np.zeros((480, 640), np.uint16),
            ["uint16 pixels, but the sensor is float32", "`sensor` with depth"],
        ),
        (METRES, np.zeros((480, 640), np.float16), ["Write 'dtype: float16' in the SensorSpec"]),
        (METRES, np.zeros((480, 640), np.float64), ["float64 pixels", "astype('float32')"]),
        (DEPTH, np.zeros((480, 640), np.float64), ["float64 pixels", "astype('float32')"]),
        (DEPTH, np.zeros((480, 640), np.int32), ["int32 pixels", "values.astype('uint16')"]),
        (DEPTH, np.zeros((480, 640, 3), np.uint16), ["(480, 640, 3)", "one channel", "colour map"]),
        (DEPTH, np.zeros(640, np.uint16), ["(640,)", "one channel"]),
        (DEPTH.with_size(640, 480), np.zeros((640, 480), np.uint16), ["480x640", "the sensor is 640x480"]),
        (DEPTH, np.zeros((0, 640), np.uint16), ["holds no pixel"]),
        (DEPTH, None, ["NoneType"]),
    ],
    ids=[
        "8-for-16",
        "16-for-8",
        "float",
        "whole-for-float",
        "half",
        "double-for-float",
        "double",
        "signed",
        "colour",
        "one-axis",
        "turned",
        "empty",
        "nothing",
    ],
)
def test_check_says_what_is_wrong_and_names_the_frame(
    spec: SensorSpec, frame: Any, messages: list[str]
) -> None:
    with pytest.raises(FrameError) as caught:
        spec.check(frame, "frames/7.png")
    assert str(caught.value).startswith("frames/7.png: ")
    for part in messages:
        assert part in str(caught.value)


def test_another_depth_camera_takes_the_range_of_the_model_and_keeps_its_own_writing() -> None:
    tenths = SensorSpec(
        "depth", "uint16", unit_m=0.0001, near_m=0.2, far_m=3.0, invalid=(0, 65535), size=(320, 240)
    )
    model = SensorSpec("depth", "uint8", unit_m=9.995 / 255, near_m=0.0, far_m=9.995)
    fed = tenths.with_range_of(model)
    assert fed.range == (0.0, 9.995)
    assert dataclasses.replace(fed, near_m=0.2, far_m=3.0) == tenths


def test_a_nir_camera_keeps_its_own_range_and_cannot_feed_a_depth_model() -> None:
    assert NIR.with_range_of(NIR8) == NIR
    for camera, model in ((NIR, DEPTH), (DEPTH, NIR)):
        with pytest.raises(
            ConfigError, match=f"a {camera.kind} sensor cannot feed a model adapted to {model.kind}"
        ):
            camera.with_range_of(model)


def test_unit_table_clips_at_the_range_and_marks_invalid_counts() -> None:
    spec = SensorSpec("depth", "uint16", unit_m=0.001, near_m=1.0, far_m=3.0, invalid=(0, 65535))
    values, valid = unit_table(spec)
    #      invalid, below near, near, middle, far, beyond, invalid
    counts = [0, 500, 1000, 2000, 3000, 9000, 65535]
    assert values[counts].tolist() == [0, 0, 0, 32768, 65535, 65535, 0]
    assert valid[counts].tolist() == [False, True, True, True, True, True, False]
    assert int((~valid).sum()) == 2
    assert not values.flags.writeable  # it is shared by all frames
    assert not valid.flags.writeable
