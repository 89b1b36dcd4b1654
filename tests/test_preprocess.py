"""Raw frame to network input: hand-checked values, holes, clipping, and a plain float64 reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError
from tgkt_edge.preprocess import (
    CODE_MAX,
    center_crop,
    encode,
    encode_rgb,
    make_ready,
    preprocess,
    resize_side,
    to_unit,
)
from tgkt_edge.sensor import PRESETS, RawFrame, SensorSpec, paired_table, unit_table

# 1 m to 5 m in millimetres: a metre is a quarter of the range.
DEPTH = SensorSpec("depth", "uint16", unit_m=0.001, near_m=1.0, far_m=5.0, invalid=(0,))
NIR = SensorSpec("nir", "uint16", black=100, white=1100)


def u16(rows: list[list[int]]) -> NDArray[np.uint16]:
    return np.array(rows, dtype=np.uint16)


def codes_of(*metres: float) -> list[int]:
    """Codes of depths under DEPTH, from the definition."""
    return [round((m - 1.0) / 4.0 * 65535) for m in metres]


def reference(frame: RawFrame, spec: SensorSpec, side: int) -> NDArray[np.float64]:
    """The docstring of preprocess.py in plain float64: blocks of whole pixels, nearest filled pixel by search."""
    low, high = spec.range
    unit = np.clip((spec.decode(frame) - low) / (high - low), 0.0, 1.0) * 65535
    valid = ~np.isin(frame, spec.invalid)
    fy, fx = frame.shape[0] // side, frame.shape[1] // side
    assert (fy * side, fx * side) == frame.shape
    out = np.full((side, side), np.nan)
    for y in range(side):
        for x in range(side):
            block = (slice(y * fy, (y + 1) * fy), slice(x * fx, (x + 1) * fx))
            if valid[block].any():
                out[y, x] = unit[block][valid[block]].mean()
    return out


@pytest.mark.parametrize(("size", "side"), [(224, 256), (112, 128), (96, 110), (64, 73), (7, 8), (1, 1)])
def test_the_side_before_the_crop_keeps_the_papers_ratio(size: int, side: int) -> None:
    assert resize_side(size) == side


def test_near_is_0_far_is_1_and_beyond_is_clipped() -> None:
    frame = u16([[1000, 5000], [400, 9000]])
    assert encode(frame, DEPTH, 2).tolist() == [[0, CODE_MAX], [0, CODE_MAX]]
    assert encode(u16([[3000, 2000], [1001, 4000]]), DEPTH, 2).tolist() == [
        codes_of(3.0, 2.0),
        codes_of(1.001, 4.0),
    ]


def test_nir_black_is_0_white_is_1_and_an_unlit_pixel_is_no_hole() -> None:
    assert encode(u16([[100, 1100], [0, 65535]]), NIR, 2).tolist() == [[0, CODE_MAX], [0, CODE_MAX]]
    assert encode(u16([[600, 350], [101, 1099]]), NIR, 2).tolist() == [[32768, 16384], [66, 65469]]
    eight = SensorSpec("nir", "uint8", black=0, white=255)
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(encode(every, eight, 16), every.astype(np.uint16) * 257)


def test_pixels_are_averaged_over_the_area_under_them() -> None:
    frame = u16([[1000, 2000, 5000, 5000], [3000, 2000, 1000, 1000]])  # blocks of 1 row, 2 columns
    assert encode(frame, DEPTH, 2).tolist() == [codes_of(1.5, 5.0), codes_of(2.5, 1.0)]
    # Three columns onto two: half of the middle one goes to either side, with a weight of 1 to 2.
    three = u16([[1000, 4000, 2500]] * 3)
    expected = codes_of((1.0 + 0.5 * 4.0) / 1.5, (0.5 * 4.0 + 2.5) / 1.5)
    assert encode(three, DEPTH, 2).tolist() == [expected, expected]


def test_rows_stay_rows_and_columns_columns() -> None:
    frame = np.repeat(np.repeat(u16([[1000, 2000], [3000, 4000]]), 3, axis=0), 5, axis=1)  # (6, 10)
    assert encode(frame, DEPTH, 2).tolist() == [codes_of(1.0, 2.0), codes_of(3.0, 4.0)]


def test_a_hole_does_not_drag_its_neighbours() -> None:
    frame = u16([[0, 2000, 0, 0], [0, 0, 4000, 3000]])
    assert encode(frame, DEPTH, 1).tolist() == [codes_of(3.0)]
    wide = u16([[0, 2000, 2000, 2000], [2000, 2000, 0, 2000], [2000, 0, 2000, 2000]])  # 4 x 3 onto 2 x 2
    np.testing.assert_array_equal(encode(wide, DEPTH, 2), np.full((2, 2), codes_of(2.0)[0]))


def test_every_count_named_invalid_is_a_hole_before_decoding() -> None:
    spec = SensorSpec("depth", "uint16", unit_m=0.001, near_m=1.0, far_m=5.0, invalid=(0, 65535, 2047))
    assert encode(u16([[65535, 2047], [0, 4000]]), spec, 1).tolist() == [codes_of(4.0)]
    rotated = SensorSpec(
        "depth", "uint16", unit_m=0.001, near_m=1.0, far_m=5.0, invalid=(0,), encoding="sunrgbd"
    )
    assert encode(u16([[0, 2000 << 3], [4000 << 3, 0]]), rotated, 1).tolist() == [codes_of(3.0)]


def test_clipping_comes_before_averaging() -> None:
    # 60 m counts as 5 m, the end of the range: (1 + 5) / 2. Averaged first it would be 30.5 m, hence the far end.
    assert encode(u16([[1000, 60000], [1000, 60000]]), DEPTH, 1).tolist() == [codes_of(3.0)]


def test_a_hole_takes_the_nearest_pixel() -> None:
    frame = np.zeros((9, 9), np.uint16)
    frame[4, 0], frame[4, 8] = 2000, 4000
    coded = encode(frame, DEPTH, 9)
    assert coded[4].tolist()[:4] == codes_of(2.0) * 4
    assert coded[4].tolist()[5:] == codes_of(4.0) * 4
    assert set(coded.ravel().tolist()) == set(codes_of(2.0, 4.0))
    assert (coded[:, 0] == codes_of(2.0)[0]).all()
    assert (coded[:, 8] == codes_of(4.0)[0]).all()


def test_nearest_is_by_distance_within_opencvs_approximation() -> None:
    random = np.random.default_rng(5)
    frame = np.zeros((40, 40), np.uint16)
    ys, xs = random.integers(0, 40, (2, 12))
    frame[ys, xs] = random.integers(1000, 5001, 12)
    coded = encode(frame, DEPTH, 40)
    rows, columns = np.mgrid[0:40, 0:40]
    distances = np.hypot(rows[..., None] - ys, columns[..., None] - xs)  # (40, 40, 12)
    taken = coded[..., None] == coded[ys, xs]  # which measured pixel it took its value from
    assert taken.any(axis=2).all()
    chosen = np.where(taken, distances, np.inf).min(axis=2)
    assert (chosen <= distances.min(axis=2) * 1.05 + 1e-9).all()


def test_a_frame_without_any_measurement_is_refused_by_name() -> None:
    with pytest.raises(FrameError, match=r"^frames/3\.png: every pixel is invalid \(raw counts \[0\]\)"):
        encode(np.zeros((480, 640), np.uint16), DEPTH, 256, "frames/3.png")
    one = np.zeros((480, 640), np.uint16)
    one[479, 639] = 2000
    np.testing.assert_array_equal(encode(one, DEPTH, 256), np.full((256, 256), codes_of(2.0)[0]))


def test_a_frame_that_contradicts_its_spec_is_refused() -> None:
    with pytest.raises(FrameError, match=r"a\.png: uint8 pixels, but the sensor is uint16"):
        preprocess(np.zeros((480, 640), np.uint8), DEPTH, 224, "a.png")
    with pytest.raises(FrameError, match="frame: shape"):
        preprocess(np.zeros((480, 640, 3), np.uint16), DEPTH, 224)


@pytest.mark.parametrize(
    "shape", [(480, 640), (240, 320), (720, 1280), (37, 53), (1, 1), (257, 255), (3, 900)]
)
@pytest.mark.parametrize("size", [224, 96, 33])
def test_the_network_input_is_the_crop_of_the_codes_bit_for_bit(shape: tuple[int, int], size: int) -> None:
    frame = np.random.default_rng(1).integers(0, 6000, shape).astype(np.uint16)
    frame[0, 0] = 3000
    ready = preprocess(frame, DEPTH, size)
    assert (ready.shape, ready.dtype, ready.flags.c_contiguous) == (
        (1, size, size),
        np.dtype(np.float32),
        True,
    )
    side = resize_side(size)
    margin = (side - size) // 2
    codes = encode(frame, DEPTH, side)
    assert (codes.shape, codes.dtype) == ((side, side), np.dtype(np.uint16))
    crop = codes[margin : margin + size, margin : margin + size].astype(np.float64)
    np.testing.assert_array_equal(ready[0], (crop / CODE_MAX).astype(np.float32))  # correctly rounded
    assert 0.0 <= ready.min() <= ready.max() <= 1.0


def test_an_odd_margin_leaves_more_below() -> None:
    image = np.arange(25).reshape(5, 5)
    assert center_crop(image, 2).tolist() == [[6, 7], [11, 12]]
    assert center_crop(np.zeros((5, 5, 3)), 3).shape == (3, 3, 3)


def test_all_codes_are_distinct_network_inputs_from_0_to_1() -> None:
    unit = to_unit(np.arange(65536, dtype=np.uint16))
    assert (unit[0], unit[-1], unit.dtype) == (0.0, 1.0, np.dtype(np.float32))
    assert (np.diff(unit) > 0).all()


@pytest.mark.parametrize(
    "spec", [*(spec for spec in PRESETS.values() if not spec.is_float), NIR.with_size(20, 10)]
)
def test_once_made_ready_no_frame_waits_for_a_table(spec: SensorSpec) -> None:
    unit_table.cache_clear()
    paired_table.cache_clear()
    make_ready(spec, 28)
    made = [table.cache_info().misses for table in (unit_table, paired_table)]
    assert made[0] == 1
    frame = np.full((10, 20), 200, spec.numpy_dtype)
    frame[0, :5] = spec.invalid[0] if spec.invalid else 200
    preprocess(frame, spec, 28)
    assert [table.cache_info().misses for table in (unit_table, paired_table)] == made


def test_a_sensor_without_a_valid_count_is_made_ready_all_the_same() -> None:
    make_ready(SensorSpec("nir", "uint8", black=0, white=255, invalid=tuple(range(256))), 7)


@pytest.mark.parametrize(
    ("shape", "side"), [((480, 640), 32), ((64, 64), 64), ((96, 32), 16), ((240, 320), 80)]
)
@pytest.mark.parametrize("holes", [0.0, 0.3, 0.9])
def test_random_frames_agree_with_the_reference_within_one_code(
    shape: tuple[int, int], side: int, holes: float
) -> None:
    random = np.random.default_rng(7)
    frame = random.integers(1, 65536, shape).astype(np.uint16)
    frame[random.random(shape) < holes] = 0
    for spec in (DEPTH, PRESETS["depth"], PRESETS["sunrgbd"], NIR):
        expected = reference(frame, spec, side)
        coded = encode(frame, spec, side).astype(np.float64)
        measured = ~np.isnan(expected)
        assert measured.mean() > 0.05
        assert np.abs(coded - expected)[measured].max() <= 1.0
        assert np.isin(coded[~measured], coded[measured]).all()  # a filled pixel copies a measured one


def test_the_path_for_whole_frames_agrees_with_the_general_path() -> None:
    random = np.random.default_rng(3)
    for shape in ((480, 640), (240, 320), (100, 90), (719, 1277)):
        frame = random.integers(1000, 5001, shape).astype(np.uint16)
        punctured = frame.copy()
        punctured[0, 0] = 0  # sends the whole frame through the general path
        whole, general = (encode(f, DEPTH, 128).astype(np.int64) for f in (frame, punctured))
        differs = np.abs(whole - general) > 1
        reach = -(-128 // min(shape)) + 1  # how many output pixels, at most, see the corner
        assert not differs[reach:, :].any()
        assert not differs[:, reach:].any()


def test_small_frames_are_enlarged_between_the_values_they_hold() -> None:
    coded = encode(u16([[1000, 5000], [1000, 5000]]), DEPTH, 64).astype(np.int64)
    assert (coded == coded[0]).all()  # all rows alike
    assert (np.diff(coded[0]) >= 0).all()
    assert (coded[0, 0], coded[0, -1]) == (0, CODE_MAX)
    holed = encode(u16([[0, 3000], [3000, 3000]]), DEPTH, 64)
    assert np.abs(holed.astype(np.int64) - codes_of(3.0)[0]).max() <= 1


@pytest.mark.parametrize("column", range(4))
def test_a_frame_wider_but_lower_than_the_square_is_still_averaged_across(column: int) -> None:
    # 128 columns onto 32, 8 rows onto 32: OpenCV alone would read one or two of every four columns.
    frame = np.full((8, 128), 1000, np.uint16)
    frame[:, column::4] = 5000
    np.testing.assert_array_equal(encode(frame, DEPTH, 32), np.full((32, 32), codes_of(2.0)[0]))
    np.testing.assert_array_equal(encode(frame.T.copy(), DEPTH, 32), np.full((32, 32), codes_of(2.0)[0]))
    holed = np.where(frame == 5000, 0, 3000).astype(np.uint16)
    np.testing.assert_allclose(encode(holed, DEPTH, 32), codes_of(3.0)[0], atol=1)
    colour = np.zeros((8, 128, 3), np.uint8)
    colour[:, column::4] = (200, 100, 40)
    np.testing.assert_array_equal(encode_rgb(colour, 32), np.broadcast_to([50, 25, 10], (32, 32, 3)))


def test_the_frame_itself_is_not_touched() -> None:
    frame = np.random.default_rng(2).integers(0, 6000, (48, 64)).astype(np.uint16)
    before = frame.copy()
    frame.flags.writeable = False
    preprocess(frame, DEPTH, 28)
    np.testing.assert_array_equal(frame, before)
    turned = np.asfortranarray(frame)
    np.testing.assert_array_equal(encode(turned, DEPTH, 32), encode(frame, DEPTH, 32))
    np.testing.assert_array_equal(encode(frame[:, ::-1], DEPTH, 16), encode(frame[:, ::-1].copy(), DEPTH, 16))


@pytest.mark.slow
def test_real_16_bit_depth_frames_agree_with_the_reference(data_dir: Path) -> None:
    files = sorted((data_dir / "sensor16" / "depth").glob("*.png"))
    assert len(files) == 6
    spec = SensorSpec("depth", "uint16", unit_m=0.001, near_m=0.0, far_m=8.0, invalid=(0,), size=(1280, 720))
    holed = 0
    for file in files:
        raw: Any = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert raw.dtype == np.uint16
        expected = reference(raw, spec, 80)  # blocks of 9 rows, 16 columns
        coded = encode(raw, spec, 80).astype(np.float64)
        measured = ~np.isnan(expected)
        assert np.abs(coded - expected)[measured].max() <= 1.0
        holed += int((raw == 0).any())
        ready = preprocess(raw, spec, 224, str(file))
        assert ready.shape == (1, 224, 224)
        assert ready.std() > 0.01
    assert holed == 6


def test_photographs_are_averaged_in_their_own_channel_order() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = (200, 100, 40)
    image[0, 0] = (100, 0, 0)
    small = encode_rgb(image, 2)
    assert small.dtype == np.uint8
    assert small[0, 0].tolist() == [175, 75, 30]
    assert small[1, 1].tolist() == [0, 0, 0]
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16)):
        with pytest.raises(FrameError, match=r"a\.jpg: shape .* expected \(height, width, 3\) uint8 RGB"):
            encode_rgb(bad, 2, "a.jpg")  # type: ignore[arg-type]
