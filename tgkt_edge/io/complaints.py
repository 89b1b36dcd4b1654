"""What libjpeg and FFmpeg complain about inside OpenCV.

Both repair what they cannot decode: grey replaces what is missing of a JPEG, the frame before what is damaged of a
video. OpenCV returns the repaired picture and no word; the complaint goes to the C library's ``stderr``, without the
name of a file. So that pointer is exchanged for a buffer in memory while a JPEG is decoded or a video is open.
Descriptor 2, and with it ``sys.stderr``, is not touched; what is neither library's goes on to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal, TypeVar

from tgkt_edge.notes import note

T = TypeVar("T")

Library = Literal["libjpeg", "libpng", "ffmpeg"]

_WORDS: dict[Library, tuple[bytes, ...]] = {
    "libjpeg": (
        b"Corrupt JPEG",
        b"Premature end of JPEG",
        b"Inconsistent progression",
        b"Invalid SOS parameters",
    ),
    "libpng": (b"libpng ",),
    "ffmpeg": (b"[ffv1 @", b"[ffvhuff @", b"[rawvideo @", b"[png @"),
}
"""How complaints of decoders begin. A file that ends too early is no complaint of a decoder. libpng's are only
kept from stderr, for what it complains about is refused anyway."""


def decode_and_listen(decode: Callable[[], T]) -> tuple[T, str]:
    """Call ``decode``, which decodes one JPEG or PNG; return its result and libjpeg's first complaint, or no text.

    Calls of several threads run side by side. Only if libjpeg complained meanwhile does each of them decode once more,
    alone, to learn whose the complaint is.
    """
    listener = _listener()
    if listener is None:
        return decode(), ""
    with listener.turn(alone=False):
        before = listener.collect("libjpeg")[0]
        result = decode()
        if listener.collect("libjpeg")[0] == before:
            return result, ""
    with listener.turn(alone=True):
        before = listener.collect("libjpeg")[0]
        result = decode()
        after, words = listener.collect("libjpeg")
        return result, words if after != before else ""


class DecoderWatch:
    """Hears FFmpeg's decoders from now until it is closed. They work ahead of the frame that is read."""

    def __init__(self) -> None:
        self._listener = _listener()
        self._open = self._listener is not None
        self._before = 0
        if self._listener is not None:
            self._listener.hold(1)
            self._before = self._listener.collect("ffmpeg")[0]

    def complaint(self) -> str:
        """The latest complaint since this watch began; empty if there was none."""
        if self._listener is None or not self._open:
            return ""
        count, words = self._listener.collect("ffmpeg")
        return words if count != self._before else ""

    def close(self) -> None:
        """Stop listening. Harmless twice."""
        if self._listener is not None and self._open:
            self._open = False
            self._listener.collect("ffmpeg")
            self._listener.hold(-1)


class _Listener:
    """Holds the buffer, counts who listens, and sorts what was written."""

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
        self._lock = threading.Condition()
        self._holders, self._decoding, self._alone = 0, 0, False
        self._heard: dict[Library, tuple[int, str]] = dict.fromkeys(_WORDS, (0, ""))
        self._rest = b""

    def hold(self, more: int) -> None:
        """One listener more or less; the pointer is exchanged while there is any."""
        with self._lock:
            self._holders += more
            self._slot.value = self._stream if self._holders else self._own

    @contextlib.contextmanager
    def turn(self, alone: bool) -> Iterator[None]:
        """Decode JPEGs beside others, or with no other."""
        with self._lock:
            self._lock.wait_for(lambda: not self._alone and (not alone or self._decoding == 0))
            self._alone = alone
            self._decoding += 1
            self.hold(1)
        try:
            yield
        finally:
            with self._lock:
                self.hold(-1)
                self._decoding -= 1
                self._alone = False
                self._lock.notify_all()

    def collect(self, library: Library) -> tuple[int, str]:
        """Sort what was written since the last call; how many complaints of ``library`` there were, and the latest."""
        with self._lock:
            self._library.fflush(self._stream)
            if self._size.value:
                text = self._rest + ctypes.string_at(self._text.value or 0, self._size.value)
                self._library.rewind(self._stream)
                self._library.fflush(self._stream)
                *lines, self._rest = text.split(b"\n")  # FFmpeg writes a line in several steps
                for line in lines:
                    self._sort(line)
            return self._heard[library]

    def _sort(self, line: bytes) -> None:
        for library, words in _WORDS.items():
            if line.startswith(words):
                self._heard[library] = (self._heard[library][0] + 1, line.decode("latin-1").strip())
                return
        with contextlib.suppress(OSError):
            os.write(2, line + b"\n")


_once = threading.Lock()


def _listener() -> _Listener | None:
    """The process's one listener; None where nothing would be heard, which is logged once."""
    with (
        _once
    ):  # lru_cache alone lets two threads make two, of which one would take the other's buffer for stderr
        return _made()


@lru_cache(maxsize=1)
def _made() -> _Listener | None:
    if platform.libc_ver()[0] == "glibc":  # musl's stderr is a constant
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found = _Listener(ctypes.CDLL(None))
            if _hears(found):
                return found
    note(
        "The OpenCV in use does not report damaged pixels of JPEG and video; only files that end too early are found"
    )
    return None


def _hears(listener: _Listener) -> bool:
    """Try it on a JPEG of which half is missing."""
    import cv2
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    whole: Any = cv2.imencode(".jpg", noise)[1].tobytes()
    cut = np.frombuffer(whole[: len(whole) - 300] + b"\xff\xd9", np.uint8)
    with listener.turn(alone=True):
        cv2.imdecode(cut, cv2.IMREAD_UNCHANGED)
        return listener.collect("libjpeg")[0] > 0
