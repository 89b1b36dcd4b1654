"""``gst:PIPELINE`` and ``csi://0``: GStreamer pipelines, through an OpenCV that was built with GStreamer."""

from __future__ import annotations

import re
from typing import Any

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.io.addresses import redacted, redacted_pipeline
from tgkt_edge.runtime.sources.base import StreamFormat, opencv
from tgkt_edge.runtime.sources.opencv_stream import OpenCvStream, expected_backend
from tgkt_edge.sensor import SensorSpec

_BUILD = (
    "Wheels from PyPI never have it; JetPack's and Debian's do (python3-opencv), but a wheel in the same environment "
    "hides them: pip uninstall opencv-python opencv-python-headless, and make the environment with "
    "'python3 -m venv --system-site-packages'."
)
_SINK = "appsink drop=true max-buffers=4"
_TIMEOUT_MS = 10_000


def open_gstreamer(
    pipeline: str, spec: SensorSpec | None, pinned: StreamFormat | None = None
) -> OpenCvStream:
    """Frames of a GStreamer pipeline: GRAY16_LE arrives as uint16 counts, GRAY8 as uint8, BGR as colour.

    Args:
        pipeline: as gst-launch-1.0 takes it, without an appsink (one is added) or with one of its own.
        spec: what frames must be; None: colour.
        pinned: the format of an earlier opening: another one is refused.

    Raises:
        SourceLostError: (exit 5) it does not start, delivers nothing, or frames that contradict ``spec``. Its end
            counts as loss, too: a camera has none.
        MissingDependency: (exit 6) there is no OpenCV, or one without GStreamer.
    """
    if not pipeline.strip():
        raise UsageError(
            "`camera=gst:`: expected a pipeline: 'gst:v4l2src device=/dev/video0 ! videoconvert'"
        )
    return _open(with_sink(pipeline), redacted(f"gst:{pipeline.strip()}"), spec, "", pinned)


def open_csi(sensor_id: str, spec: SensorSpec | None, pinned: StreamFormat | None = None) -> OpenCvStream:
    """A CSI camera behind Jetson's image signal processor: 8-bit only.

    Raises:
        SourceLostError: (exit 5) as :func:`open_gstreamer`; or ``spec`` wants 16 bits, which the ISP never gives.
        MissingDependency: (exit 6) there is no OpenCV, or one without GStreamer.
    """
    if not re.fullmatch(r"[0-9]+", sensor_id):
        raise UsageError(f"`camera={redacted(f'csi://{sensor_id}')}`: expected the camera's number: csi://0")
    if spec is not None and spec.dtype != "uint8":
        raise SourceLostError(
            f"csi://{sensor_id}: Jetson's image signal processor delivers 8 bits, but the sensor is {spec.dtype}. "
            f"Read the raw counts around it, from the V4L2 node of the same camera: v4l2:///dev/video{sensor_id}; or "
            f"choose an 8-bit SensorSpec (nir8)."
        )
    size = spec.size if spec is not None and isinstance(spec.size, tuple) else None
    hint = "Is this a Jetson, is the camera in 'v4l2-ctl --list-devices', and does nvargus-daemon run? "
    pipeline = csi_pipeline(int(sensor_id), size, colour=spec is None)
    return _open(pipeline, f"csi://{sensor_id}", spec, hint, pinned)


def csi_pipeline(sensor_id: int, size: tuple[int, int] | None, *, colour: bool = False) -> str:
    """The pipeline of a CSI camera. The ISP hands out NV12 in its own memory; nvvidconv brings it to the CPU.

    Args:
        size: (width, height) that nvvidconv scales to; None: the sensor mode's own.
    """
    scale = f",width={size[0]},height={size[1]}" if size else ""
    convert = f"video/x-raw,format={'BGRx' if colour else 'GRAY8'}{scale}"
    if colour:
        convert += " ! videoconvert ! video/x-raw,format=BGR"
    source = f"nvarguscamerasrc sensor-id={sensor_id} ! video/x-raw(memory:NVMM),format=NV12"
    return f"{source} ! nvvidconv ! {convert} ! {_SINK}"


def with_sink(pipeline: str) -> str:
    """``pipeline`` ended by an appsink that keeps the newest frames, unless it names an appsink of its own."""
    text = pipeline.strip().rstrip("!").strip()
    return text if re.search(r"\bappsink\b", text) else f"{text} ! {_SINK}"


def _open(
    pipeline: str, name: str, spec: SensorSpec | None, hint: str, pinned: StreamFormat | None
) -> OpenCvStream:
    cv2 = opencv()
    backend = expected_backend(cv2, "CAP_GSTREAMER", "GStreamer", _BUILD)
    capture = _capture(cv2, pipeline, backend)
    if not capture.isOpened():
        raise SourceLostError(
            f"{name}: the pipeline does not start. {hint}"
            f"GStreamer's own reason: gst-launch-1.0 -v {redacted_pipeline(pipeline)}"
        )
    bits = "BGR" if spec is None else "GRAY16_LE" if spec.dtype == "uint16" else "GRAY8"
    return OpenCvStream(
        capture,
        name,
        spec,
        fix=f"End the pipeline with '! video/x-raw,format={bits}' (no videoconvert before it if the camera is raw: "
        f"that invents counts), or describe what does arrive with `sensor`.",
        lost=f"The pipeline ended or failed; GStreamer's own reason: gst-launch-1.0 -v {redacted_pipeline(pipeline)}",
        pinned=pinned,
    )


def _capture(cv2: Any, pipeline: str, backend: int) -> Any:
    """Open with timeouts where this OpenCV's GStreamer knows them (4.6 does not and refuses to open at all)."""
    names = ("CAP_PROP_OPEN_TIMEOUT_MSEC", "CAP_PROP_READ_TIMEOUT_MSEC")
    timeouts = [part for name in names if hasattr(cv2, name) for part in (getattr(cv2, name), _TIMEOUT_MS)]
    newer = tuple(int(part) for part in cv2.__version__.split(".")[:2]) >= (4, 7)
    capture = cv2.VideoCapture(pipeline, backend, timeouts if newer else [])
    if newer and not capture.isOpened():
        capture = cv2.VideoCapture(pipeline, backend)
    return capture
