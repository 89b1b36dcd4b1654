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
import re
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args

from tgkt_edge.io import ffmpeg_log
from tgkt_edge.notes import note

T = TypeVar("T")

Library = Literal["libjpeg", "libpng", "ffmpeg", "stream", "receiver"]
"""Whose complaint: ``ffmpeg`` is a decoder of files that lose nothing, ``stream`` whatever FFmpeg uses for a camera,
``receiver`` of it what reads from the network."""

_WORDS: dict[Library, tuple[bytes, ...]] = {
    "libjpeg": (
        b"Corrupt JPEG",
        b"Premature end of JPEG",
        b"Inconsistent progression",
        b"Invalid SOS parameters",
    ),
    "libpng": (b"libpng ",),
}
"""How complaints of decoders begin. A file that ends too early is no complaint of a decoder. libpng's are only
kept from stderr, for what it complains about is refused anyway."""

_LOSSLESS = (b"ffv1", b"ffvhuff", b"rawvideo", b"png")
_DECODERS = (b"h264", b"hevc", b"mjpeg", b"mpeg4", b"mpeg1video", b"mpeg2video", b"h263", b"vp8", b"vp9", b"av1",
             b"libdav1d", b"libaom-av1", b"libvpx-vp9")  # fmt: skip
_CONVERTER, _CONVERTERS_SECOND_LINE = b"swscaler", b" (Invalid argument): fmt:"
_NOT_RECEIVED = (b"RTP: missed", b"RTP: PT=", b"Packet corrupt")
_LOST = (*_NOT_RECEIVED, b"Frame num gap", b"concealing ")
"""What a receiver or decoder says where something is missing, not always as an error."""
_HARMLESS = (b"non-existing PPS", b"decode_slice_header error", b"no frame!", b"SEI type", b"mmco: ", b"VPS ")
"""Errors after which no frame comes, or a right one: before a stream's first whole picture, or of odd cameras."""

_SDP = re.compile(
    rb"[a-z]="
)  # lines of a camera's description, of which only the first has FFmpeg's name before it

_REMIND_S = 0.002


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
    """Hears FFmpeg from now until it is closed. OpenCV has to be imported.

    Args:
        library: "ffmpeg": decoders of video files; they work ahead of the frame that is read. "stream": all that may
            damage a camera's pictures; nothing that FFmpeg says is printed meanwhile, for it shows addresses.
    """

    def __init__(self, library: Literal["ffmpeg", "stream"] = "ffmpeg") -> None:
        self._listener = _listener()
        self._library: Literal["ffmpeg", "stream"] = library
        self._open = self._listener is not None
        self._before = self._received = 0
        if self._listener is not None:
            self._listener.hold(1, stream=library == "stream")
            self._before = self._listener.collect(library)[0]
            self._received = self._listener.collect("receiver")[0]
        elif library == "stream":
            ffmpeg_log.silence()

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """While OpenCV opens a stream. It sets the log back to errors as it begins; that would hide what is lost."""
        opened = threading.Event()

        def remind() -> None:
            while not opened.wait(_REMIND_S):
                ffmpeg_log.speak(ffmpeg_log.WARNINGS)

        reminder = threading.Thread(target=remind, name="tgkt-edge ffmpeg log", daemon=True)
        if self._listener is not None:
            reminder.start()
        try:
            yield
        finally:
            opened.set()
            if self._listener is not None:
                reminder.join()
                self._listener.speak()

    def opened(self) -> None:
        """OpenCV opened a file; see :meth:`opening`."""
        if self._listener is not None and self._open:
            self._listener.speak()

    def begin(self) -> str:
        """The stream is open: what was not received meanwhile, if anything. From now on FFmpeg says everything."""
        if self._listener is None or not self._open:
            return ""
        count, words = self._listener.collect("receiver")
        lost, self._received = words if count != self._received else "", count
        self._listener.begin_stream()
        self.forget()
        return lost

    def complaint(self) -> str:
        """The latest complaint since this watch began, or :meth:`forget`; empty if there was none."""
        if self._listener is None or not self._open:
            return ""
        count, words = self._listener.collect(self._library)
        return words if count != self._before else ""

    def forget(self) -> None:
        """What was complained about so far is known."""
        if self._listener is not None and self._open:
            self._before = self._listener.collect(self._library)[0]

    def close(self) -> None:
        """Stop listening. Harmless twice."""
        if self._listener is not None and self._open:
            self._open = False
            self._listener.collect(self._library)
            self._listener.hold(-1, stream=self._library == "stream")


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
        self._streams, self._begun = 0, False  # cameras; whether the stream of one is open
        self._heard: dict[Library, tuple[int, str]] = dict.fromkeys(get_args(Library), (0, ""))
        self._rest = b""

    def hold(self, more: int, stream: bool | None = None) -> None:
        """One listener more or less; the pointer is exchanged while there is any.

        Args:
            stream: of FFmpeg: to a camera, or to a file. None: to JPEG and PNG.
        """
        with self._lock:
            self._holders += more
            self._streams += more if stream else 0
            self._slot.value = self._stream if self._holders else self._own
            if not self._streams:
                self._begun = False
            if stream is not None:
                self.speak()

    def begin_stream(self) -> None:
        """A camera's stream is open."""
        with self._lock:
            self._begun = True
            self.speak()

    def speak(self) -> None:
        """Have FFmpeg say what its listeners have to know; to be called after OpenCV opened something."""
        level = (
            ffmpeg_log.DEBUG if self._begun else ffmpeg_log.WARNINGS if self._streams else ffmpeg_log.ERRORS
        )
        ffmpeg_log.speak(level)

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
                self._note(library, line)
                return
        parsed = ffmpeg_log.parse(line)
        if parsed is not None:
            if (
                parsed.part == _CONVERTER and parsed.error
            ):  # OpenCV then hands out what its buffer held before
                self._note("ffmpeg", parsed.text)
                self._note("stream", parsed.text)
                return
            if parsed.part in _LOSSLESS and parsed.error:
                self._note("ffmpeg", parsed.text)
            if (parsed.part in _DECODERS and parsed.error) or parsed.text.startswith(_LOST):
                if not parsed.text.startswith(_HARMLESS):
                    self._note("stream", parsed.text)
                if parsed.text.startswith(_NOT_RECEIVED):
                    self._note("receiver", parsed.text)
                return
            if parsed.part in _LOSSLESS or self._streams or not parsed.error:
                return
        if line.startswith(_CONVERTERS_SECOND_LINE) or (self._streams and (not line or _SDP.match(line))):
            return
        with contextlib.suppress(OSError):
            os.write(2, line + b"\n")

    def _note(self, library: Library, words: bytes) -> None:
        self._heard[library] = (self._heard[library][0] + 1, words.decode("latin-1").strip())


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
