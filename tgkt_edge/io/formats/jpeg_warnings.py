"""What libjpeg complains about while OpenCV decodes.

libjpeg repairs what it cannot decode (grey for what is missing) and calls that a warning. OpenCV returns the repaired
picture and no word; the warning goes to the C library's ``stderr``, without the name of a file. So that pointer is
exchanged for a buffer in memory while a JPEG is decoded. Descriptor 2, and with it ``sys.stderr``, is not touched.

Decoders of several threads run side by side. Only if something was written meanwhile does each of them decode once
more, alone, to learn whose the words are. What is not libjpeg's goes on to descriptor 2.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

_WORDS = (
    b"Corrupt JPEG data",
    b"Premature end of JPEG",
    b"Inconsistent progression",
    b"Invalid SOS parameters",
)


def decode_and_listen(decode: Callable[[], T]) -> tuple[T, str]:
    """Call ``decode``; return its result and libjpeg's first complaint, or an empty text."""
    listener = _listener()
    return (decode(), "") if listener is None else listener.decode(decode)


class _Listener:
    """Holds the buffer, and counts who decodes."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._slot = ctypes.c_void_p.in_dll(library, "stderr")
        library.open_memstream.restype = ctypes.c_void_p
        library.open_memstream.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.fflush.argtypes = [ctypes.c_void_p]
        library.rewind.argtypes = [ctypes.c_void_p]
        self._library = library
        self._text, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._stream = library.open_memstream(ctypes.byref(self._text), ctypes.byref(self._size))
        if not self._stream or not self._slot.value:
            raise OSError("the C library has no stderr")
        self._own = self._slot.value
        self._turn = threading.Condition()
        self._active, self._alone, self._heard, self._words = 0, False, 0, b""

    def decode(self, decode: Callable[[], T]) -> tuple[T, str]:
        """As :func:`decode_and_listen`."""
        with self._listening(alone=False) as before:
            result = decode()
            disturbed = self._collect() != before
        if not disturbed:
            return result, ""
        with self._listening(alone=True):
            self._collect()  # what one wrote that failed
            self._words = b""
            result = decode()
            self._collect()
            return result, self._words.decode("latin-1").strip()

    @contextlib.contextmanager
    def _listening(self, alone: bool) -> Iterator[int]:
        with self._turn:
            self._turn.wait_for(lambda: not self._alone and (not alone or self._active == 0))
            self._alone = alone
            self._active += 1
            self._slot.value = self._stream
            before = self._heard
        try:
            yield before
        finally:
            with self._turn:
                self._active -= 1
                self._alone = False
                if self._active == 0:
                    self._slot.value = self._own
                self._turn.notify_all()

    def _collect(self) -> int:
        """Take out what was written; the number of libjpeg's complaints so far."""
        with self._turn:
            self._library.fflush(self._stream)
            if self._size.value:
                text = ctypes.string_at(self._text.value or 0, self._size.value)
                self._library.rewind(self._stream)
                self._library.fflush(self._stream)
                for line in text.splitlines(keepends=True):
                    if line.startswith(_WORDS):
                        self._heard += 1
                        self._words = self._words or line
                    else:
                        with contextlib.suppress(OSError):
                            os.write(2, line)
            return self._heard


@lru_cache(maxsize=1)
def _listener() -> _Listener | None:
    """The process's one listener; None where nothing would be heard, which is logged once."""
    if platform.libc_ver()[0] == "glibc":  # musl's stderr is a constant
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found = _Listener(ctypes.CDLL(None))
            if _hears(found):
                return found
    logging.getLogger(__name__).warning(
        "JPEG: the OpenCV in use does not report damaged pixels; files that end too early are found all the same"
    )
    return None


def _hears(listener: _Listener) -> bool:
    """Try it on a JPEG of which half is missing."""
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    whole: Any = cv2.imencode(".jpg", noise)[1].tobytes()
    cut = np.frombuffer(whole[: len(whole) - 300] + b"\xff\xd9", np.uint8)
    return bool(listener.decode(lambda: cv2.imdecode(cut, cv2.IMREAD_UNCHANGED))[1])
