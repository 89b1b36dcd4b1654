"""What every format is decoded to, and the one call of OpenCV's decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.optional_deps import require

MAX_PIXELS = 1 << 28
"""Larger pictures are refused before memory is asked for: a damaged header would claim all there is."""


@dataclass(frozen=True)
class Picture:
    """One decoded picture.

    Attributes:
        pixels: (H, W), (H, W, 3) or (H, W, 4): the file's own numbers, in the file's own orientation: uint8 or uint16
            of pictures, any whole or floating-point numbers of arrays. Colour is blue, green, red and, of four, alpha.
        top: the count that the format calls white: 255, 65535, or what a PGM names and a PNG of 1, 2 or 4 bits implies.
        orientation: of EXIF and TIFF, 1 to 8.
        not_counts: why the pixels are not what a sensor counted, although they are a picture. Empty: they may be.
        frame_only: what it is instead of an RGB image, although a sensor may have written it. Empty: it may be one.
    """

    pixels: NDArray[Any]
    top: int = 255
    orientation: int = 1
    not_counts: str = ""
    frame_only: str = ""


def check_size(width: int, height: int) -> None:
    """Raise DataError for sizes that no camera has."""
    if width < 1 or height < 1:
        raise DataError(f"is damaged: its size is {width}x{height}")
    if width * height > MAX_PIXELS:
        raise DataError(f"is too large: {width}x{height}; expected at most {MAX_PIXELS} pixels")


def check_page(page: int | None, count: int, advice: str = "") -> int:
    """The number of the page to read, from 0. Raises DataError where it is not clear, or not there."""
    if count < 1:
        raise DataError("is damaged: it holds no picture")
    if page is None and count > 1:
        raise DataError(f"holds {count} pages. Name one, from 0 to {count - 1}: FILE?page=0{advice}")
    if page is not None and not 0 <= page < count:
        raise DataError(
            f"holds {count} page{'s' if count > 1 else ''}, numbered from 0: there is no page {page}"
        )
    return page or 0


def opencv_decode(data: bytes, shape: tuple[int, ...], dtype: type[Any]) -> NDArray[Any]:
    """Decode by OpenCV a file that was checked before.

    Args:
        shape, dtype: what its header promises.

    Raises:
        DataError: it is damaged.
    """
    cv2 = require("cv2", "cpu", "Decoding images")
    try:
        image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"is damaged: it cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"is damaged: its pixels cannot be decoded ({len(data)} bytes)")
    if image.shape != shape or image.dtype != dtype:
        raise DataError(f"is damaged: decoded to {image.dtype} {image.shape}; its header says {shape}")
    return image


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W, ...) turned and mirrored as an EXIF or TIFF orientation says; numbers that mean nothing change nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
