"""The fast preprocessing equals the plain one, bit for bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge import preprocess as module
from tgkt_edge.preprocess import CODE_MAX, encode, look_up, preprocess
from tgkt_edge.sensor import PRESETS, RawFrame, SensorSpec, unit_table

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
