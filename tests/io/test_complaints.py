"""What other libraries than libjpeg and FFmpeg write to C's stderr still arrives, and nothing stays exchanged."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, threading
from concurrent.futures import ThreadPoolExecutor
import cv2, numpy as np
from tgkt_edge.io.complaints import DecoderWatch, decode_and_listen

libc = ctypes.CDLL(None)
slot = ctypes.c_void_p.in_dll(libc, "stderr")
before = slot.value
jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))[1]
bad = np.frombuffer(jpeg.tobytes()[:-900] + bytes([255, 217]), np.uint8)

def other_library():
    libc.fputs(b"[other] a line of its own\\n", ctypes.c_void_p(slot.value))
    return cv2.imdecode(jpeg, -1)

def first(number):  # many threads, none of which has a listener yet
    return decode_and_listen(lambda: cv2.imdecode(bad if number % 2 else jpeg, -1))[1] != ""

with ThreadPoolExecutor(16) as pool:
    assert list(pool.map(first, range(64))) == [bool(number % 2) for number in range(64)]
assert decode_and_listen(other_library)[1] == ""
watch = DecoderWatch()
libc.fputs(b"[ffv1 @ 0x1] slice CRC mismatch\\n", ctypes.c_void_p(slot.value))
libc.fputs(b"half a line", ctypes.c_void_p(slot.value))
assert "slice CRC" in watch.complaint()
libc.fputs(b" and its end\\n", ctypes.c_void_p(slot.value))
assert slot.value != before
watch.close()
watch.close()
assert slot.value == before
assert DecoderWatch().complaint() == ""
"""


@pytest.mark.slow
def test_others_words_pass_and_the_pointer_comes_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["[other] a line of its own", "half a line and its end"]
