"""Where frames come from. :func:`open_source` chooses by URI; one file a kind of source."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.images import SUFFIXES
from tgkt_edge.runtime.sources.base import Captured, FrameSource
from tgkt_edge.runtime.sources.images import ImageSource, find_by_glob, find_in_folder
from tgkt_edge.runtime.sources.v4l2 import V4l2Source
from tgkt_edge.runtime.sources.video import VideoSource
from tgkt_edge.sensor import SensorSpec

__all__ = ["Captured", "FrameSource", "ImageSource", "V4l2Source", "VideoSource", "open_source"]

SCHEMES = ("v4l2",)
KINDS = "0 (a V4L2 index), v4l2:///dev/video0, /dev/video0, a folder, a glob, an image file, a video file"


def open_source(uri: str, spec: SensorSpec, loop: bool = False) -> FrameSource:
    """Open a camera or recording.

    Args:
        uri: a V4L2 index or device, a folder (searched recursively), a glob, an image or a video file. A bare number
            is always a device; write ``./0`` for a folder of that name.
        spec: what the raw frames mean; a camera is asked for the pixel format that fits it.
        loop: repeat a recording for ever.

    Raises:
        UsageError: (exit 2) the scheme is unknown, or ``loop`` was asked of a camera.
        SourceLostError: (exit 5) nothing is there, it holds no frames, or it cannot deliver what ``spec`` says.
        MissingDependency: (exit 6) OpenCV is not installed.
    """
    device = _device(uri)
    if device is not None:
        if loop:
            raise UsageError(f"--loop repeats a recording; the camera {uri} has no end. Leave --loop out.")
        return V4l2Source(device, spec)
    path = Path(uri)
    if path.is_dir():
        return ImageSource(find_in_folder(path), loop=loop)
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            return ImageSource([path], loop=loop)
        return VideoSource(path, loop=loop)
    if "://" not in uri and any(character in uri for character in "*?["):
        return ImageSource(find_by_glob(uri), loop=loop)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    if scheme:
        raise UsageError(_unknown_scheme(uri, scheme.group(1).lower()))
    if path.exists():
        raise SourceLostError(f"{uri}: neither a file nor a folder. Wanted: {KINDS}.")
    raise SourceLostError(f"{uri} does not exist. Wanted: {KINDS}.")


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
        raise UsageError(f"--camera {uri}: wanted v4l2:// and a device's path: v4l2:///dev/video0")
    return None


def _unknown_scheme(uri: str, scheme: str) -> str:
    near = difflib.get_close_matches(scheme, SCHEMES, n=1)
    hint = f" Did you mean '{near[0]}:///dev/video0'?" if near else ""
    return f"--camera {uri}: unknown scheme '{scheme}'.{hint} Known: {KINDS}."
