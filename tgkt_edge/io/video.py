"""Videos whose frames arrive exactly as they were encoded, and no others.

OpenCV hands out whatever FFmpeg decodes as if it were grey of 8 bits: halves of a pixel, one plane of several, colour
squeezed to 16..235. So a video is read only if its codec is one of :data:`CODECS` and FFmpeg's own name of its pixel
format one of :data:`PIXELS`; each combination is proven by a test. The container is looked at first, so that no other
decoder ever runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.complaints import DecoderWatch
from tgkt_edge.io.containers import Track, video_tracks
from tgkt_edge.optional_deps import require

CODECS = {
    b"V_FFV1": "FFV1", b"FFV1": "FFV1", b"FFVH": "FFVHUFF", b"Y800": "raw grey", b"Y1\0\x10": "raw grey",
    b"MPNG": "PNG", b"png ": "PNG",
}  # fmt: skip
"""The codecs that lose nothing and are read, as the containers name them."""

PIXELS: dict[int, type[Any]] = {
    int.from_bytes(b"Y800", "little"): np.uint8,
    int.from_bytes(b"Y1\0\x10", "little"): np.uint16,
}
"""FFmpeg's codes of the pixel formats gray and gray16le, and what arrives."""

_NAMES = {
    b"I420": "yuv420p", b"Y42B": "yuv422p", b"444P": "yuv444p", b"Y41B": "yuv411p", b"YUY2": "yuyv422",
    b"UYVY": "uyvy422", b"NV12": "nv12", b"NV21": "nv21", b"BGR\0": "bgr0", b"BGR\x18": "bgr24", b"RGB\x18": "rgb24",
    b"BGRA": "bgra", b"RGBA": "rgba", b"PAL\x08": "pal8", b"B1W0": "monow", b"B0W1": "monob", b"RGB\x0f": "rgb555le",
    b"RGB\x10": "rgb565le",
}  # fmt: skip
_CODEC_NAMES = {
    b"avc1": "H.264", b"avc3": "H.264", b"H264": "H.264", b"V_MPEG4/ISO/AVC": "H.264", b"hev1": "H.265",
    b"hvc1": "H.265", b"V_MPEGH/ISO/HEVC": "H.265", b"MJPG": "MJPEG", b"jpeg": "MJPEG", b"V_MJPEG": "MJPEG",
    b"apch": "ProRes", b"apcn": "ProRes", b"apcs": "ProRes", b"apco": "ProRes", b"ap4h": "ProRes",
    b"V_PRORES": "ProRes",
    b"mp4v": "MPEG-4", b"FMP4": "MPEG-4", b"XVID": "MPEG-4", b"V_MPEG4/ISO/ASP": "MPEG-4", b"V_VP8": "VP8",
    b"V_VP9": "VP9", b"vp09": "VP9", b"V_AV1": "AV1", b"av01": "AV1", b"HFYU": "HuffYUV", b"mjp2": "JPEG 2000",
    b"raw ": "raw RGB", b"YUY2": "raw yuyv422", b"yuvs": "raw yuyv422", b"UYVY": "raw uyvy422", b"2vuy": "raw uyvy422",
    b"NV12": "raw nv12",
}  # fmt: skip
_CHROMA = {10: "422", 11: "420", 0: "444"}


class ExactVideo:
    """The frames of a video file, in order.

    Args:
        path: the file. FFmpeg gets it without its name, which it would take for a protocol or a pattern of names.

    Raises:
        DataError: it cannot be read, is damaged, or is none that arrives exactly; with a command that converts it.
        MissingDependency: there is no OpenCV.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        tracks = video_tracks(path)
        if len(tracks) != 1:
            raise DataError(f"{path}: {_which(tracks)}")
        if tracks[0].codec not in CODECS:
            raise DataError(f"{path}: {_codec_refusal(tracks[0].codec)}")
        if tracks[0].odd_view:
            raise DataError(f"{path}: {_view_refusal(tracks[0].odd_view)}")
        self._cv2 = require("cv2", "cpu", "Decoding video")
        self._watch = DecoderWatch()
        self._damage, self._position = "", 0
        self._capture: Any = None
        try:
            self._capture = self._opened()
            self._watch.opened()
            self._dtype = PIXELS[self._pixels()]
            self._pixel_name = pixel_format_name(self._pixels())
        except BaseException:
            self.close()
            raise

    def read(self) -> tuple[NDArray[Any] | None, str] | None:
        """The next frame, (H, W) uint8 or uint16, and what may be wrong with it; None: the video is over.

        Decoders replace what is damaged by the frame before, and go on from there. So from the first damage on every
        frame comes with a text that says so; only a checksum tells which of them are whole all the same.
        """
        cv2 = self._cv2
        if not self._capture.grab():
            return None
        frame: NDArray[Any] | None = None
        if PIXELS.get(self._pixels()) is self._dtype:
            _, frame = self._capture.retrieve()
        size = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )
        if frame is None or frame.dtype != self._dtype or frame.shape not in (size, size[::-1]):
            frame, complaint = None, "a frame of another format or size"
        else:
            complaint = self._watch.complaint()
        if "interlaced" in complaint and not self._damage:
            self._damage = (
                f"{self._path}: is encoded as fields (interlaced), which this OpenCV does not hand out. This keeps "
                f"every count: ffmpeg -i IN -vf setfield=prog -pix_fmt {self._pixel_name} -c:v ffv1 OUT.mkv"
            )
        if complaint and not self._damage:
            self._damage = (
                f"{self._path}: is damaged at or before frame {self._position}, and later frames are decoded from "
                f"damaged ones ({complaint}). Copy the file again, or keep what is before: ffmpeg -i IN -frames:v "
                f"{self._position} -c copy OUT.mkv"
            )
        self._position += 1
        return frame, self._damage

    def close(self) -> None:
        """Close the file. Harmless twice."""
        if self._capture is not None:
            self._capture.release()
        self._watch.close()

    def _opened(self) -> Any:
        """An open capture of a pixel format that arrives exactly."""
        cv2, path = self._cv2, self._path
        try:
            with path.open("rb") as file:
                nameless = f"/proc/self/fd/{file.fileno()}"
                name = nameless if os.path.exists(nameless) else os.path.abspath(path)
                capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_CONVERT_RGB, 0])
        except cv2.error as error:
            raise DataError(f"{path}: cannot be opened as a video: {error.err or error}") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
        if not capture.isOpened():
            raise DataError(
                f"{path}: cannot be opened as a video: is it damaged, or this OpenCV ({cv2.__version__}) without "
                f"FFmpeg, or too old (4.6 is)? Any OpenCV reads PNG files."
            )
        self._capture = capture
        if self._pixels() not in PIXELS:
            raise DataError(f"{path}: {_pixel_refusal(self._pixels())}")
        return capture

    def _pixels(self) -> int:
        return int(self._capture.get(self._cv2.CAP_PROP_CODEC_PIXEL_FORMAT)) & 0xFFFFFFFF


def pixel_format_name(code: int) -> str:
    """FFmpeg's name of a pixel format from its code; the code itself where it is not known.

    FFmpeg builds codes of formats without a name of their own as: letter, components, chroma, bits.
    """
    letters = code.to_bytes(4, "little")
    little, parts = letters[:1] in (b"Y", b"G"), letters
    if letters[3:] in (b"Y", b"G"):
        parts = letters[::-1]
    kind, components, chroma, bits = parts[:1], parts[1:2], parts[2], parts[3]
    end = "" if bits == 8 else "le" if little else "be"
    depth = "" if bits == 8 else str(bits)
    if letters in _NAMES:
        return _NAMES[letters]
    if kind == b"Y" and components == b"1" and chroma == 0:
        return f"gray{depth}{end}"
    if kind == b"Y" and components in (b"3", b"4") and chroma in _CHROMA:
        return f"yuv{'a' if components == b'4' else ''}{_CHROMA[chroma]}p{depth}{end}"
    if kind == b"G" and components in (b"3", b"4"):
        return f"gbr{'a' if components == b'4' else ''}p{depth}{end}"
    return f"code {letters!r}" if code else "one without a name"


def _convert(pixels: str, track: str = "") -> str:
    return f"ffmpeg -i IN {track}-pix_fmt {pixels} -c:v ffv1 OUT.mkv"


_ANY = f"Convert it, to 16 bits with: {_convert('gray16le')}, or to 8 bits with: {_convert('gray')}"


def _pixel_refusal(code: int) -> str:
    """Why a video of this pixel format is not read, and what to do."""
    name = pixel_format_name(code)
    begin = f"encoded with pixel format {name}; read are gray (8 bit) and gray16le (16 bit), which arrive exactly. "
    if name == "gray16be":
        return f"{begin}Its 16 bits are all there, the high byte first; this keeps every count: {_convert('gray16le')}"
    if name.startswith("gray"):
        return (
            f"{begin}Record gray16le: FFmpeg scales counts of {name} to the full 16 bits. This keeps them as they "
            f"are: ffmpeg -i IN -f rawvideo -pix_fmt {name} - | ffmpeg -f rawvideo -pix_fmt gray16le -s WxH -i - "
            f"-c:v ffv1 OUT.mkv"
        )
    return f"{begin}{'It squeezes intensities to 16..235. ' if name.startswith('yuv') else ''}{_ANY}"


def _codec_refusal(codec: bytes) -> str:
    """Why a video of this codec is not read, and what to do."""
    name = _CODEC_NAMES.get(codec) or repr(codec.decode("latin-1"))
    if codec == b"b16g":
        return (
            "raw video of 16 bits with the high byte first (b16g, gray16be). Nothing of it is lost; this keeps every "
            f"count: {_convert('gray16le')}"
        )
    known = ", ".join(sorted(set(CODECS.values())))
    return f"encoded as {name}, which does not arrive exactly; read are {known} in grey. {_ANY}"


def _view_refusal(view: str) -> str:
    """Why a video is not read that is to be shown otherwise than turned by quarters, and what to do."""
    return (
        f"its track says that it is to be shown {view}, which is not obeyed. This writes its frames as they are "
        f"stored: ffmpeg -noautorotate -i IN -pix_fmt gray16le -c:v ffv1 OUT.mkv (of 8 bits -pix_fmt gray; with -vf "
        f"hflip or -vf vflip they are mirrored as well)"
    )


def _which(tracks: list[Track]) -> str:
    """Why a file without a track, or with several, is not read."""
    if not tracks:
        return "holds no video, or was cut off before its table of tracks (a MOV or MP4 has it at its end)"
    listed = ", ".join(f"{number} {track}" for number, track in enumerate(tracks))
    return (
        f"holds {len(tracks)} video tracks: {listed}. Write the sensor's to a file of its own, with its number as N: "
        f"{_convert('gray16le', '-map 0:v:N ')}"
    )
