"""Where frames come from. :func:`open_source` chooses by URI; one file a kind of source."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.io.formats.other_files import refusal
from tgkt_edge.io.formats.sniff import HEAD, READ, is_picture, is_video
from tgkt_edge.io.images import SUFFIXES
from tgkt_edge.io.parts import exists, split_folder, take_word
from tgkt_edge.io.recording_format import is_recording
from tgkt_edge.runtime.sources.bag import BagSource, names_bag, of_realsense, refuse_damaged
from tgkt_edge.runtime.sources.base import Captured, FrameSource, StreamFormat
from tgkt_edge.runtime.sources.depthai import DepthAiSource
from tgkt_edge.runtime.sources.gstreamer import open_csi, open_gstreamer
from tgkt_edge.runtime.sources.images import ImageSource, find_by_glob, find_in_folder, open_timed
from tgkt_edge.runtime.sources.network import PORTS, open_network
from tgkt_edge.runtime.sources.obsensor import open_obsensor
from tgkt_edge.runtime.sources.openni2 import OpenNi2Source
from tgkt_edge.runtime.sources.orbbec import OrbbecSource
from tgkt_edge.runtime.sources.realsense import RealSenseSource
from tgkt_edge.runtime.sources.recording import Paced, RecordingSource
from tgkt_edge.runtime.sources.telemetry import TelemetryCut, split_telemetry, widened
from tgkt_edge.runtime.sources.v4l2 import V4l2Source
from tgkt_edge.runtime.sources.video import VideoSource
from tgkt_edge.sensor import SensorSpec

__all__ = [
    "Captured",
    "FrameSource",
    "ImageSource",
    "RecordingSource",
    "StreamFormat",
    "V4l2Source",
    "VideoSource",
    "is_files",
    "open_colour",
    "open_source",
    "open_with_colour",
    "same_device",
    "split_scheme",
    "with_times",
]

EXAMPLES = {
    "v4l2": "v4l2:///dev/video0",
    "openni2": "openni2://0",
    "obsensor": "obsensor://0",
    "realsense": "realsense://SERIAL_OR_FILE",
    "depthai": "depthai://DEVICE",
    "orbbec": "orbbec://SERIAL",
    "replay": "replay:DIR",
    "csi": "csi://0",
    "gst": "gst:PIPELINE",
    "rtsp": "rtsp://HOST/PATH",
    "rtsps": "rtsps://HOST/PATH",
    "http": "http://HOST/PATH",
    "https": "https://HOST/PATH",
}
"""How each scheme is written."""

KINDS = (
    "0 (a V4L2 index), v4l2:///dev/video0, /dev/video0, openni2://0, obsensor://0, realsense://SERIAL_OR_FILE, "
    "depthai://, orbbec://, "
    "csi://0, gst:PIPELINE, rtsp://HOST/PATH, http://HOST/PATH, a folder, a glob, an image file, a video file, "
    "FILE.mcap?topic=NAME (recordings of ROS, MCAP, Azure Kinect, ScanNet), "
    "replay:DIR (what 'tgkt-edge record' wrote, at the pace it was taken)"
)
_LIVE_KINDS = "0, v4l2:///dev/video0, csi://0, gst:PIPELINE, rtsp://HOST/PATH, http://HOST/PATH"


def open_source(
    uri: str, spec: SensorSpec, loop: bool = False, pinned: StreamFormat | None = None
) -> FrameSource:
    """Open a camera or recording. Cameras are checked by their first frame before this returns.

    Args:
        uri: a V4L2 index or device, a URI of another kind of camera (see :data:`EXAMPLES`), a folder that
            ``tgkt-edge record`` wrote (``replay:DIR``: at the pace at which it was taken), a folder of images (searched
            recursively), a glob, an image or a video file. A bare number is always a device; write
            ``./0`` for a folder of that name.
        spec: what the raw frames mean; a camera is asked for the pixel format that fits it.
        loop: repeat a recording indefinitely.
        pinned: the format of an earlier opening of this camera: another one is refused. See
            :class:`tgkt_edge.runtime.sources.stream_format.PinnedOpener`.

    Raises:
        UsageError: (exit 2) the scheme is unknown, or ``loop`` was asked of a camera.
        SourceLostError: (exit 5) nothing is there, it holds no frames, or it cannot deliver what ``spec`` says.
        MissingDependency: (exit 6) the library that reads this kind of source is not installed.
    """
    path = Path(uri)
    plain, telemetry = split_telemetry(uri)
    if telemetry is not None and not path.exists():
        asked, held = widened(spec, pinned)
        return TelemetryCut(open_source(plain, asked, loop, held), spec, telemetry, redacted(plain))
    camera = _camera(uri, spec, loop, pinned)
    if camera is not None:
        return camera
    plain, times = take_word(uri, "times")
    if times is not None:
        if is_recording(Path(plain)) or names_bag(plain):
            raise UsageError(
                f"`times={times}`: {plain} is a recording, which has times of its own. Leave it out."
            )
        return open_timed(plain, times, loop=loop)
    if names_bag(uri) and not is_recording(path):
        return RealSenseSource(uri, spec, loop=loop) if of_realsense(uri) else BagSource(uri, spec, loop=loop)
    if path.is_dir():
        if is_recording(path):
            return RecordingSource(path, spec, loop=loop)
        return ImageSource(find_in_folder(path), loop=loop)
    if path.is_file():
        return _file(path, uri, spec, loop)
    if exists(path):
        return ImageSource([path], loop=loop)
    if split_folder(path)[1]:
        return ImageSource(find_in_folder(path), loop=loop)
    if "://" not in uri and any(character in uri for character in "*?["):
        return ImageSource(find_by_glob(uri), loop=loop)
    if _written_as_uri(uri) or (uri in EXAMPLES and not path.exists()):
        raise UsageError(_unknown_scheme(uri, KINDS))
    if path.exists():
        raise SourceLostError(f"{redacted(uri)}: neither a file nor a folder. Expected: {KINDS}.")
    raise SourceLostError(f"{redacted(uri)} does not exist. Expected: {KINDS}.")


def with_times(uri: str, times: str | None) -> str:
    """The address of a folder together with how the times of its files are told: ``DIR?times=name``.

    Raises:
        UsageError: (exit 2) ``uri`` is no folder of files.
    """
    if times is None:
        return uri
    folder = uri[len("replay:") :].removeprefix("//") if _scheme(uri) == "replay" else uri
    place, query = split_folder(Path(folder))
    if not place.is_dir() or is_recording(place):
        raise UsageError(
            f"`times={times}`: only for a folder of files; `camera={redacted(uri)}` is none, or has times of its own"
        )
    return f"{uri}{'&' if query else '?'}times={times}"


def open_colour(uri: str) -> FrameSource:
    """Open a colour camera: frames are (H, W, 3) uint8 BGR. For the RGB half of paired recordings.

    Raises:
        UsageError: (exit 2) not a URI of a camera that has colour.
        SourceLostError, MissingDependency: as :func:`open_source`.
    """
    device = _device(uri)
    if device is not None:
        return V4l2Source(device, None)
    scheme = _scheme(uri)
    if scheme == "gst":
        return open_gstreamer(uri[len("gst:") :], None)
    if scheme == "csi":
        return open_csi(_rest(uri), None)
    if scheme in PORTS:
        return open_network(uri, None)
    raise UsageError(f"`rgb={redacted(uri)}`: expected a colour camera that is live: {_LIVE_KINDS}")


def open_with_colour(uri: str, spec: SensorSpec) -> FrameSource:
    """Open a device that takes color with its frames: each has the picture as ``Captured.color``.

    Raises:
        UsageError: (exit 2) not a RealSense.
        SourceLostError, MissingDependency: as :func:`open_source`.
    """
    if _scheme(uri) != "realsense":
        raise UsageError(
            f"`rgb=realsense` takes color from the RealSense that `camera` names; found `camera={redacted(uri)}`, "
            f"expected {EXAMPLES['realsense']}"
        )
    return RealSenseSource(_rest(uri), spec, color=True)


def same_device(camera: str, other: str) -> bool:
    """Whether two URIs name one V4L2 device, by whatever links and numbers."""
    first, second = _device(camera), _device(other)
    if first is None or second is None:
        return False
    return os.path.realpath(first) == os.path.realpath(second)


def split_scheme(uri: str) -> tuple[str | None, str]:
    """The known scheme that a camera's URI begins with, None if it has none, and what follows it."""
    scheme = _scheme(uri)
    return scheme, uri if scheme is None else _rest(uri)


def is_files(uri: str) -> bool:
    """Whether :func:`open_source` would read files as fast as they are answered: no camera, and not ``replay:``."""
    return _scheme(uri) is None and _device(uri) is None


def _file(path: Path, uri: str, spec: SensorSpec, loop: bool) -> FrameSource:
    """What a file holds, by its first bytes. Its name decides only for damaged recordings and images."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise SourceLostError(f"{path}: cannot be read: {error.strerror or error}") from error
    if is_video(head):
        return VideoSource(path, loop=loop)
    if is_picture(head) or path.suffix.lower() in SUFFIXES:
        return ImageSource([path], loop=loop)
    refuse_damaged(path)
    what = refusal(head) or (
        f"neither an image ({READ}) nor a video (Matroska, AVI, MOV, MP4). Record lossless: PNG files, or FFV1 with "
        f"pixel format gray16le (16 bit) or gray (8 bit) in a .mkv file."
    )
    raise SourceLostError(f"{path}: {what}")


def _camera(uri: str, spec: SensorSpec, loop: bool, pinned: StreamFormat | None) -> FrameSource | None:
    """The live source that ``uri`` names; None if it names files, or nothing."""
    scheme, device = _scheme(uri), _device(uri)
    if scheme == "replay":
        return _replay(Path(uri[len("replay:") :].removeprefix("//")), spec, loop)
    if scheme == "realsense":  # a camera or a file: it sees to `loop` itself
        return RealSenseSource(_rest(uri), spec, loop=loop, pinned=pinned)
    if scheme is None and device is None:
        return None
    if loop:
        raise UsageError(
            f"`loop=True` repeats a recording; the camera {redacted(uri)} has no end. Leave `loop=True` out."
        )
    if device is not None:
        return V4l2Source(device, spec, pinned=pinned)
    if scheme == "gst":
        return open_gstreamer(uri[len("gst:") :], spec, pinned)
    if scheme == "csi":
        return open_csi(_rest(uri), spec, pinned)
    if scheme == "openni2":
        return OpenNi2Source(_rest(uri) or "0", spec, pinned)
    if scheme == "depthai":
        return DepthAiSource(_rest(uri), spec, pinned)
    if scheme == "orbbec":
        return OrbbecSource(_rest(uri), spec, pinned)
    if scheme == "obsensor":
        return open_obsensor(_rest(uri) or "0", spec, pinned)
    return open_network(uri, spec, pinned=pinned)


def _replay(folder: Path, spec: SensorSpec, loop: bool) -> FrameSource:
    plain, times = take_word(str(folder), "times")
    if times is not None and not is_recording(Path(plain)):
        return Paced(open_timed(plain, times, loop=loop))
    if not is_recording(folder):
        raise SourceLostError(
            f"{redacted(f'replay:{folder}')}: holds no times. Expected a folder that 'tgkt-edge record' wrote, "
            f"or DIR?times=name; other files are read as fast as they are answered: `camera={redacted(str(folder))}`"
        )
    return Paced(RecordingSource(folder, spec, loop=loop))


def _written_as_uri(uri: str) -> str | None:
    """The scheme that ``uri`` begins with, known or not."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    return found.group(1).lower() if found else None


def _scheme(uri: str) -> str | None:
    """The known scheme that ``uri`` begins with. ``NAME:`` is enough for gst and replay, not for others."""
    scheme = _written_as_uri(uri)
    if scheme not in EXAMPLES:
        return None
    return scheme if scheme in ("gst", "replay") or uri[len(scheme) :].startswith("://") else None


def _rest(uri: str) -> str:
    return uri.partition("://")[2]


def _device(uri: str) -> str | None:
    """Path of the V4L2 device that ``uri`` names; None if it names something else."""
    if re.fullmatch(r"[0-9]+", uri):
        return f"/dev/video{int(uri)}"
    if uri.startswith(("/dev/video", "/dev/v4l/")):
        return uri
    if uri.lower().startswith("v4l2:"):
        rest = uri[len("v4l2:") :].removeprefix("//")
        if re.fullmatch(r"[0-9]+", rest):
            return f"/dev/video{int(rest)}"
        if rest.startswith("/"):
            return rest
        raise UsageError(
            f"`camera={redacted(uri)}`: expected v4l2:// and a device's path: v4l2:///dev/video0"
        )
    return None


def _unknown_scheme(uri: str, kinds: str) -> str:
    scheme = _written_as_uri(uri) or uri
    near = [scheme] if scheme in EXAMPLES else difflib.get_close_matches(scheme, EXAMPLES, n=2, cutoff=0.7)
    hint = f" Did you mean {' or '.join(repr(EXAMPLES[name]) for name in near)}?" if near else ""
    what = "is not complete" if scheme in EXAMPLES else ": unknown scheme"
    if (
        "@" not in uri or "://" in uri
    ):  # else what stands before the colon may be a user of an address without scheme
        what += "" if scheme in EXAMPLES else f" '{scheme}'"
    return f"`camera={redacted(uri)}`{' ' if scheme in EXAMPLES else ''}{what}.{hint} Known: {kinds}."
