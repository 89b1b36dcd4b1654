"""PNGs of recordings: bit for bit as other programs read them, by either library that packs them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.recorder.png_encoding import encode_by_opencv, encode_png


@pytest.mark.parametrize("encode", [encode_png, encode_by_opencv])
@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3), (1, 1), (7, 1, 3), (1, 9)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_encoded_is_decoded_bit_for_bit(
    encode: Callable[[Any], Any], shape: tuple[int, ...], dtype: type
) -> None:
    random = np.random.default_rng(0)
    for top in (1, 3, np.iinfo(dtype).max):
        pixels = random.integers(0, top, shape, dtype, endpoint=True)
        for held in (pixels, pixels[::-1, ::-1]):  # in one piece of memory, and not
            data = encode(held)
            found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            assert found is not None
            np.testing.assert_array_equal(found.reshape(shape), held)
            if dtype is np.uint8 or len(shape) == 2:  # Pillow brings color of 16 bits to 8
                other = np.asarray(Image.open(io.BytesIO(bytes(data))))
                np.testing.assert_array_equal(
                    other.reshape(shape), held[..., ::-1] if len(shape) == 3 else held
                )


def test_what_is_no_picture_is_refused() -> None:
    for pixels in (np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)):
        with pytest.raises(TgktEdgeError, match=r"cannot be written as PNG"):
            encode_png(pixels)


def test_without_isal_opencv_packs() -> None:
    program = (
        "import sys; sys.modules['isal'] = None; import numpy as np; "
        "from tgkt_edge.runtime.recorder.png_encoding import encode_by_opencv, encode_png; "
        "frame = np.arange(3072, dtype=np.uint16).reshape(48, 64); "
        "assert bytes(encode_png(frame)) == bytes(encode_by_opencv(frame))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
