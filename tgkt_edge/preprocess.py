"""Raw frame -> network input. The only such code: training, evaluation and the device all call it.

A frame becomes unsigned 16-bit *codes*, 0 to 65535 for the near to the far end of the SensorSpec's range.
Codes are what training keeps in memory and crops; dividing by 65535 gives the network's [0, 1]. The division of
two float32 numbers is correctly rounded everywhere, so a code is the same network input on every machine.

Steps of :func:`encode`, in this order:

1. the frame is checked against its SensorSpec: one channel, dtype, size (:meth:`SensorSpec.check`);
2. each pixel is decoded, clipped to the range, scaled and rounded to a whole position, integers through one table,
   floating-point numbers by the same arithmetic (:mod:`tgkt_edge.sensor.tables`). Clipping comes before averaging, so
   that a single wild pixel cannot smear over its neighbours;
3. area-averaged to a square, over *valid* pixels only: a hole does not pull its neighbours towards zero;
4. an output pixel without any valid pixel under it takes the nearest output pixel that has one;
5. rounded to whole codes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.area_averages import Averages, Box, area
from tgkt_edge.errors import FrameError
from tgkt_edge.sensor import RawFrame, SensorSpec, paired_table, positions, unit_table

CODE_MAX = 65535
"""The largest code; code / CODE_MAX is the network's input."""

# Below this share of valid area an output pixel counts as a hole: it is float noise of the resize, not coverage.
_MIN_COVER = 1e-3

_ROWS = 32

# Up to so many invalid counts are looked for one by one.
_FEW = 4

# Pixels that one step of the distance transform goes.
_REACH = 2


def resize_side(size: int) -> int:
    """Side in pixels that frames are resized to before the crop of ``size``: 224 -> 256, as the paper's."""
    return round(size * 256 / 224)


def encode(frame: RawFrame, spec: SensorSpec, side: int, name: str = "frame") -> NDArray[np.uint16]:
    """Raw frame to square codes.

    Args:
        frame: (H, W) raw counts of the dtype that ``spec`` says.
        side: width and height of the result, pixels.
        name: what to call the frame in an error, e.g. its path.

    Returns:
        (side, side) uint16 codes, 0 = near end or black, 65535 = far end or white.

    Raises:
        FrameError: the frame contradicts ``spec``, or none of its pixels is valid.
    """
    return _whole(_positions(frame, spec, side, side, name)).astype(np.uint16)


def center_crop(image: NDArray[Any], size: int) -> NDArray[Any]:
    """The central (size, size) of a (S, S) or (S, S, 3) image, without copying. An odd margin leaves more below."""
    top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
    return image[top : top + size, left : left + size]


def to_unit(codes: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Codes of any shape to float32 in [0, 1]."""
    return _divided(codes.astype(np.float32))


def preprocess(
    frame: RawFrame, spec: SensorSpec, size: int, name: str = "frame", *, checked: bool = False
) -> NDArray[np.float32]:
    """Raw frame to the network's input ``frame``, without the batch axis.

    Args:
        frame: (H, W) raw counts of the dtype that ``spec`` says.
        size: the network's input side, pixels (224 in the paper).
        checked: the frame is known to fit ``spec`` (:meth:`SensorSpec.check`): it is not checked again.

    Returns:
        (1, size, size) float32 in [0, 1], contiguous.

    Raises:
        FrameError: see :func:`encode`.
    """
    return _divided(_whole(_positions(frame, spec, resize_side(size), size, name, checked)))[np.newaxis]


def make_ready(spec: SensorSpec, size: int) -> None:
    """Do once what the first :func:`preprocess` would wait for: load OpenCV, make the tables, choose the look-up."""
    width, height = spec.size if isinstance(spec.size, tuple) else (64, 48)
    if spec.is_float:
        frame = np.ones((height, width), spec.numpy_dtype)
        frame[: height // 2] = np.nan
    else:
        _, valid = unit_table(spec)
        frame = np.full((height, width), int(valid.argmax()), spec.numpy_dtype)
        if not valid.all():
            frame[: height // 2] = int(valid.argmin())
    with contextlib.suppress(FrameError):  # a sensor of which no count is valid
        preprocess(frame, spec, size)


SAMPLED_PIXELS = 20_000
"""About so many pixels of a raw frame are looked at, on a regular grid: plenty for shares, and little time."""


def sample(frame: RawFrame) -> RawFrame:
    """Every n-th pixel of every n-th row of a raw frame: at most about SAMPLED_PIXELS, without copying."""
    step = max(1, math.ceil(math.sqrt(frame.size / SAMPLED_PIXELS)))
    return frame[::step, ::step]


def invalid_share(frame: RawFrame, spec: SensorSpec) -> float:
    """Share 0 to 1 of the pixels of a raw (H, W) frame that hold no measurement, of a :func:`sample` of them."""
    if not spec.has_invalid:
        return 0.0
    seen = sample(frame)
    return 1.0 - int(np.count_nonzero(spec.valid(seen))) / seen.size


def encode_rgb(image: NDArray[np.uint8], side: int, name: str = "image") -> NDArray[np.uint8]:
    """RGB photograph to a square, area-averaged.

    Args:
        image: (H, W, 3) uint8, channel order RGB.

    Returns:
        (side, side, 3) uint8 RGB.

    Raises:
        FrameError: not three channels of uint8.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise FrameError(f"{name}: shape {image.shape}, {image.dtype}: expected (height, width, 3) uint8 RGB")
    return area(image, side, side)


def look_up(table: NDArray[Any], frame: NDArray[Any]) -> NDArray[Any]:
    """``table[frame]``, fast.

    Args:
        table: (256,) for uint8 frames, (65536,) for uint16 ones; uint8, float32 or float64.
        frame: (H, W).
    """
    if frame.dtype == np.uint8 or _opencv_looks_up_16_bits():
        import cv2

        return cv2.LUT(
            frame
            if frame.strides[0] > 0 and frame.strides[1] == frame.itemsize
            else np.ascontiguousarray(frame),
            table,
        )
    found = np.empty(frame.shape, table.dtype)
    # Some rows at a time: numpy makes each index 8 bytes long, and few of them stay in the cache.
    for top in range(0, len(frame), _ROWS):
        table.take(frame[top : top + _ROWS], mode="clip", out=found[top : top + _ROWS])
    return found


@lru_cache(maxsize=1)
def _opencv_looks_up_16_bits() -> bool:
    """OpenCV 5 does, four times as fast as numpy; OpenCV 4 knows tables of 256 only."""
    import cv2

    every = np.arange(CODE_MAX + 1, dtype=np.uint16).reshape(256, 256)
    table = np.arange(CODE_MAX + 1, dtype=np.float32)
    try:
        return np.array_equal(cv2.LUT(every, table), every)
    except cv2.error:
        return False


def _positions(
    frame: RawFrame, spec: SensorSpec, side: int, size: int, name: str, checked: bool = False
) -> NDArray[np.float32]:
    """Steps 1 to 4 of :func:`encode`: of the (side, side) result the central (size, size) float32, 0 to 65535 within
    the noise of float32."""
    if not checked:
        spec.check(frame, name)
    import cv2

    margin = (side - size) // 2
    center = Box(margin, margin, margin + size, margin + size)
    # Positions, whole numbers, and 1 where there is one: looked up and averaged together, in half the time.
    if spec.is_float:
        values, valid = positions(frame, spec)
        whole = bool(valid.all())

        def read(part: tuple[slice, slice]) -> NDArray[np.float32]:
            if whole:
                return values[part]
            both: NDArray[Any] = cv2.merge([values[part], valid[part].astype(np.float32)])
            return both

    else:
        whole = not _any_invalid(frame, spec)
        table = unit_table(spec)[0] if whole else paired_table(spec)

        def read(part: tuple[slice, slice]) -> NDArray[np.float32]:
            found = look_up(table, frame[part])
            return found if whole else found.view(np.float32).reshape(*found.shape, 2)

    averages = Averages(read, frame.shape if whole else (*frame.shape, 2), side)
    box = averages.around(center)
    if whole:
        return averages.of(box)[_within(center, box)]
    while True:
        both = averages.of(box)
        cover = cv2.extractChannel(both, 1)
        hole = cover < _MIN_COVER
        found = cv2.boundingRect(hole.view(np.uint8))
        wider = averages.around(_reached(box, found, side)) if found[2] else box
        if wider == box:
            break
        box = wider
    # Invalid pixels are 0 in the table, so the plain average is already the masked sum over the same area.
    total = cv2.extractChannel(both, 0)
    mean = np.divide(total, np.maximum(cover, _MIN_COVER, out=cover), out=total)
    if tuple(found) == (0, 0, side, side) and hole.all():
        raise FrameError(
            f"{name}: every pixel is invalid ({describe_invalid(spec)}): nothing was measured. "
            f"Is the lens covered, or the scene nearer or farther than the sensor can see?"
        )
    if found[2]:
        _fill_nearest(mean, hole, found)
    return mean[_within(center, box)]


def _within(inner: Box, outer: Box) -> tuple[slice, slice]:
    """Where ``inner`` lies in an image of ``outer``."""
    rows, columns = inner.part
    return (
        slice(rows.start - outer.top, rows.stop - outer.top),
        slice(columns.start - outer.left, columns.stop - outer.left),
    )


def _reached(box: Box, holes: Sequence[int], side: int) -> Box:
    """``box``, to the edge of the image wherever ``holes`` in it (left, top, width, height) come so near to its own
    that the nearest pixel that is none may lie beyond."""
    left, top, width, height = holes
    return Box(
        0 if top < _REACH else box.top,
        0 if left < _REACH else box.left,
        side if box.top + top + height + _REACH > box.bottom else box.bottom,
        side if box.left + left + width + _REACH > box.right else box.right,
    )


def describe_invalid(spec: SensorSpec) -> str:
    """What counts as no measurement for ``spec``, for a message."""
    listed = f"raw counts {list(spec.invalid)}"
    if spec.is_float:
        return f"NaN, infinite{'' if spec.kind == 'thermal' else ', 0 or less'}{f', {listed}' if spec.invalid else ''}"
    return listed


def _any_invalid(frame: RawFrame, spec: SensorSpec) -> bool:
    """Whether any pixel of ``frame`` is no measurement. A sample of the rows mostly knows."""
    counts = _invalid_counts(spec)
    if len(counts) > _FEW:
        return not look_up(unit_table(spec)[1].view(np.uint8), frame).all()
    return any((rows == count).any() for rows in (frame[::64], frame[::8], frame) for count in counts)


@lru_cache(maxsize=8)
def _invalid_counts(spec: SensorSpec) -> NDArray[np.intp]:
    """The raw counts of a sensor of integers that are no measurements."""
    return np.flatnonzero(~unit_table(spec)[1])


def _whole(position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded to the whole numbers 0 to CODE_MAX, in an array of their own."""
    codes = np.rint(position)
    return np.clip(codes, 0, CODE_MAX, out=codes)


def _divided(codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whole codes to [0, 1], in place."""
    return np.divide(codes, np.float32(CODE_MAX), out=codes)


def _fill_nearest(mean: NDArray[np.float32], hole: NDArray[np.bool_], box: Sequence[int]) -> None:
    """Give each hole pixel the value of the nearest pixel (Euclidean, OpenCV's 5x5 approximation) that is none.

    Only ``box`` (left, top, width, height), which holds all holes, and _REACH pixels around it are looked at: a
    distance is made of steps within 5x5 pixels, from hole pixel to hole pixel and at last to the nearest that is none.
    """
    import cv2

    left, top, width, height = box
    part = (
        slice(max(0, top - _REACH), top + height + _REACH),
        slice(max(0, left - _REACH), left + width + _REACH),
    )
    mean, hole = mean[part], hole[part]
    _, labels = cv2.distanceTransformWithLabels(
        hole.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels number the non-hole pixels; a look-up by label needs no assumption about the order of numbering.
    labels = labels.astype(np.intp)  # numpy's own type of index: three times as fast
    expected = labels[hole]
    labels[hole] = 0  # no pixel's number
    value_of = np.empty(int(labels.max()) + 1, dtype=np.float32)
    value_of[labels.ravel()] = mean.ravel()
    mean[hole] = value_of[expected]
