"""The fast preprocessing equals the plain one, bit for bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge import area_averages
from tgkt_edge import preprocess as module
from tgkt_edge.area_averages import area
from tgkt_edge.preprocess import CODE_MAX, center_crop, encode, look_up, preprocess, resize_side, to_unit
from tgkt_edge.sensor import PRESETS, RawFrame, SensorSpec, positions, unit_table

THREE_INVALID = SensorSpec("depth", "uint16", unit_m=0.001, near_m=0.2, far_m=9, invalid=(0, 7, 65535))


def plain(frame: RawFrame, spec: SensorSpec, side: int) -> NDArray[np.uint16]:
    """:func:`encode` as its module describes it, one thing at a time."""

    def area(image: NDArray[np.float32]) -> NDArray[Any]:
        height, width = image.shape
        if (height < side) != (width < side):
            image = cv2.resize(image, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)

    values, valid = unit_table(spec)
    mean, mask = area(values[frame]), valid[frame]
    if not mask.all():
        cover = area(mask.astype(np.float32))
        hole = cover < 1e-3
        mean = mean / np.maximum(cover, 1e-3)
        _, labels = cv2.distanceTransformWithLabels(
            hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        own = [mean[~hole & (labels == label)][0] for label in range(1, labels.max() + 1)]
        mean = np.array(own)[labels - 1]
    codes: NDArray[np.uint16] = np.clip(np.rint(mean), 0, CODE_MAX).astype(np.uint16)
    return codes


@pytest.fixture(params=["opencv", "numpy"])
def looked_up_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With OpenCV where it looks 16 bits up (5), else as if it were OpenCV 4."""
    if request.param == "numpy":
        monkeypatch.setattr(module, "_opencv_looks_up_16_bits", lambda: False)
    elif not module._opencv_looks_up_16_bits():
        pytest.skip("this OpenCV looks up 8 bits only")
    return str(request.param)


@pytest.mark.parametrize("spec", [*(spec for spec in PRESETS.values() if not spec.is_float), THREE_INVALID])
@pytest.mark.parametrize("shape", [(48, 64), (128, 96), (61, 17), (23, 90), (30, 30), (12, 9)])
@pytest.mark.parametrize("holes", [0.0, 0.02, 0.6])
@pytest.mark.usefixtures("looked_up_by")
def test_fused_is_bit_for_bit_plain(spec: SensorSpec, shape: tuple[int, int], holes: float) -> None:
    rng = np.random.default_rng(int(holes * 100) + shape[0])
    frame = rng.integers(1, min(9000, np.iinfo(spec.numpy_dtype).max), shape).astype(spec.numpy_dtype)
    for invalid in spec.invalid:
        frame[rng.random(shape) < holes] = invalid
        frame[: int(shape[0] * holes), : shape[1] // 2] = invalid
    np.testing.assert_array_equal(encode(frame, spec, 30), plain(frame, spec, 30))


@pytest.mark.parametrize("top", [0, 3, 20, 58])
@pytest.mark.parametrize("left", [0, 1, 30, 60])
@pytest.mark.parametrize("others", [0.0, 0.001, 0.3])
def test_holes_are_filled_as_if_the_whole_frame_were_looked_at(top: int, left: int, others: float) -> None:
    random = np.random.default_rng(top * 100 + left)
    frame = random.integers(1, 8000, (64, 64)).astype(np.uint16)
    frame[top : top + 17, left : left + 5] = 0
    frame[random.random(frame.shape) < others] = 0
    spec = PRESETS["depth"]
    assert (frame == 0).any()
    np.testing.assert_array_equal(encode(frame, spec, 64), plain(frame, spec, 64))
    crop = plain(frame, spec, 64)[4:60, 4:60].astype(np.float32) / np.float32(CODE_MAX)
    np.testing.assert_array_equal(preprocess(frame, spec, 56)[0], crop)


def whole_at_once(frame: RawFrame, spec: SensorSpec, side: int) -> NDArray[np.uint16]:
    """As :func:`plain`, of every sensor and quick, for large frames."""
    values, valid = positions(frame, spec)
    mean = area(values, side, side)
    if not valid.all():
        cover = area(valid.astype(np.float32), side, side)
        hole = cover < 1e-3
        mean = mean / np.maximum(cover, 1e-3)
        _, labels = cv2.distanceTransformWithLabels(
            hole.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        own = np.empty(labels.max() + 1, np.float32)
        own[labels[~hole]] = mean[~hole]
        mean = own[labels]
    codes: NDArray[np.uint16] = np.clip(np.rint(mean), 0, CODE_MAX).astype(np.uint16)
    return codes


HOLES: dict[str, tuple[int, int, int, int]] = {
    "nowhere": (0, 0, 0, 0),
    "in the middle": (40, 40, 60, 70),
    "over the crop's corner": (0, 0, 30, 40),
    "over its left edge": (30, 0, 60, 20),
    "from edge to edge": (45, 0, 55, 100),
    "just inside the crop": (7, 7, 12, 90),
    "all but a column": (0, 3, 100, 100),
    "all but the rows below": (0, 0, 98, 100),
}
"""Per cent of height and width: top, left, bottom, right."""


@pytest.mark.parametrize("where", HOLES)
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((480, 640), 224), ((480, 640), 112), ((424, 512), 224), ((720, 1280), 112), ((512, 512), 224),
        ((256, 256), 224), ((240, 320), 64), ((120, 160), 112), ((100, 300), 112),
    ],
)  # fmt: skip
@pytest.mark.parametrize("sensor", ["depth", "depth-m"])
def test_the_part_that_is_computed_is_that_of_the_whole(
    where: str, shape: tuple[int, int], size: int, sensor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the crop is averaged, with what holes at its edges need beyond it, some rows at a time: bit for bit."""
    random, spec = np.random.default_rng(shape[0] + size), PRESETS[sensor]
    frame: Any = random.integers(1, 9000, shape).astype(np.uint16)
    frame[random.random(shape) < 0.02] = 0
    top, left, bottom, right = HOLES[where]
    frame[
        top * shape[0] // 100 : bottom * shape[0] // 100, left * shape[1] // 100 : right * shape[1] // 100
    ] = 0
    if where == "nowhere":
        frame[frame == 0] = 1234
    frame = frame if sensor == "depth" else frame.astype(np.float32) / 1000
    side = resize_side(size)
    expected = whole_at_once(frame, spec, side)
    for block in (1, 1 << 20):
        monkeypatch.setattr(area_averages, "_BLOCK", block)
        np.testing.assert_array_equal(encode(frame, spec, side), expected)
        np.testing.assert_array_equal(preprocess(frame, spec, size)[0], to_unit(center_crop(expected, size)))


def test_of_common_sensors_only_the_crop_is_read() -> None:
    """640 x 480 to 256: an output pixel is 2.5 by 1.875, so the crop of 224 begins at column 40 and row 30."""
    read = []

    def rows_and_columns(part: tuple[slice, slice]) -> NDArray[np.float32]:
        read.append((part[0].start, part[0].stop, part[1].start, part[1].stop))
        return np.ones((480, 640), np.float32)[part]

    averages = area_averages.Averages(rows_and_columns, (480, 640), 256)
    crop = area_averages.Box(16, 16, 240, 240)
    assert averages.around(crop) == crop
    averages.of(crop)
    assert (read[0][0], read[-1][1], read[0][2], read[0][3]) == (30, 450, 40, 600)
    read.clear()
    averages.of(area_averages.Box(16, 0, 240, 240))  # further to the left: only what is new
    assert read == [(30, 450, 0, 40)]
    # 73 output pixels of 480 rows have no edge in common with them inside: all or nothing.
    odd = area_averages.Averages(rows_and_columns, (480, 640), 73)
    assert odd.around(area_averages.Box(4, 4, 68, 68)) == (0, 0, 73, 73)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.usefixtures("looked_up_by")
def test_a_look_up_is_indexing(dtype: type, bits: int) -> None:
    random = np.random.default_rng(bits)
    table = random.integers(0, 256, 2**bits).astype(dtype)
    table.flags.writeable = False
    every: Any = np.arange(2**bits).astype(np.dtype(f"uint{bits}")).reshape(16, -1)
    every.flags.writeable = False
    for frame in (every, np.asfortranarray(every), every[::-1, ::3], every[:1], every[:, :1], every[:1, :1]):
        found = look_up(table, frame)
        assert (found.shape, found.dtype) == (frame.shape, table.dtype)
        np.testing.assert_array_equal(found, table[frame])
