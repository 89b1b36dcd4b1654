"""The part of Linux's <linux/videodev2.h> that capturing needs, as ctypes: structures, ioctl numbers, constants.

Source: the kernel's "Video for Linux API" and its header, which never change for a given machine. The tests compare
every number and size here with what the C compiler says.
"""

from __future__ import annotations

import ctypes
import fcntl

VIDEO_CAPTURE, VIDEO_CAPTURE_MPLANE = 1, 9  # enum v4l2_buf_type
MEMORY_MMAP = 1
CAP_VIDEO_CAPTURE, CAP_VIDEO_CAPTURE_MPLANE = 0x1, 0x1000
CAP_STREAMING, CAP_DEVICE_CAPS = 0x04000000, 0x80000000
BUF_FLAG_ERROR = 0x40
BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0xE000, 0x2000
EVENT_SOURCE_CHANGE = 5
DV_BT_656_1120 = 0
INPUT_TROUBLES = {
    0x1: "has no power",
    0x2: "has no signal",
    0x100: "has no horizontal sync lock",
    0x400: "has no vertical sync lock",
    0x800: "finds no video standard in its signal",
    0x10000: "has no sync lock",
    0x40000: "has no carrier",
}
"""V4L2_IN_ST_*: states of an input in which what a driver delivers is no picture."""


class Capability(ctypes.Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class FmtDesc(ctypes.Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 4),
    )


class PixFormat(ctypes.Structure):
    """struct v4l2_pix_format: one plane."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in (
            "width", "height", "pixelformat", "field", "bytesperline", "sizeimage", "colorspace", "priv", "flags",
            "ycbcr_enc", "quantization", "xfer_func",
        )
    )  # fmt: skip


class PlanePixFormat(ctypes.Structure):
    """struct v4l2_plane_pix_format (packed in the header, but already aligned)."""

    _fields_ = (
        ("sizeimage", ctypes.c_uint32),
        ("bytesperline", ctypes.c_uint32),
        ("reserved", ctypes.c_uint16 * 6),
    )


class PixFormatMplane(ctypes.Structure):
    """struct v4l2_pix_format_mplane: what drivers of many ARM boards speak, also for formats of one plane."""

    _fields_ = (
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("pixelformat", ctypes.c_uint32),
        ("field", ctypes.c_uint32),
        ("colorspace", ctypes.c_uint32),
        ("plane_fmt", PlanePixFormat * 8),
        ("num_planes", ctypes.c_uint8),
        ("rest", ctypes.c_uint8 * 11),
    )


class _FormatUnion(ctypes.Union):
    # The kernel's union also holds struct v4l2_window with a pointer: it is aligned like one.
    _fields_ = (
        ("pix", PixFormat),
        ("pix_mp", PixFormatMplane),
        ("raw", ctypes.c_uint8 * 200),
        ("alignment", ctypes.c_void_p),
    )


class Format(ctypes.Structure):
    """struct v4l2_format."""

    _fields_ = (("type", ctypes.c_uint32), ("fmt", _FormatUnion))


class RequestBuffers(ctypes.Structure):
    """struct v4l2_requestbuffers."""

    _fields_ = (
        ("count", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("memory", ctypes.c_uint32),
        ("rest", ctypes.c_uint32 * 2),
    )


class _Where(ctypes.Union):
    _fields_ = (
        ("offset", ctypes.c_uint32),
        ("userptr", ctypes.c_ulong),
        ("planes", ctypes.c_void_p),
        ("fd", ctypes.c_int32),
    )


class Plane(ctypes.Structure):
    """struct v4l2_plane."""

    _fields_ = (
        ("bytesused", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
        ("m", _Where),
        ("data_offset", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 11),
    )


class TimeVal(ctypes.Structure):
    """struct timeval."""

    _fields_ = (("sec", ctypes.c_long), ("usec", ctypes.c_long))


class Buffer(ctypes.Structure):
    """struct v4l2_buffer."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("bytesused", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("field", ctypes.c_uint32),
        ("timestamp", TimeVal),
        ("timecode", ctypes.c_uint32 * 4),
        ("sequence", ctypes.c_uint32),
        ("memory", ctypes.c_uint32),
        ("m", _Where),
        ("length", ctypes.c_uint32),
        ("reserved2", ctypes.c_uint32),
        ("request_fd", ctypes.c_uint32),
    )


class EventSubscription(ctypes.Structure):
    """struct v4l2_event_subscription."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 5),
    )


class Event(ctypes.Structure):
    """struct v4l2_event."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("data", ctypes.c_uint64 * 8),
        ("pending", ctypes.c_uint32),
        ("sequence", ctypes.c_uint32),
        ("timestamp", ctypes.c_long * 2),
        ("id", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 8),
    )


class Input(ctypes.Structure):
    """struct v4l2_input."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("name", ctypes.c_char * 32),
        ("type", ctypes.c_uint32),
        ("audioset", ctypes.c_uint32),
        ("tuner", ctypes.c_uint32),
        ("std", ctypes.c_uint64),
        ("status", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class DvTimings(ctypes.Structure):
    """struct v4l2_dv_timings with struct v4l2_bt_timings, both packed: the picture of a digital video signal."""

    _pack_ = 1
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("interlaced", ctypes.c_uint32),
        ("polarities", ctypes.c_uint32),
        ("pixelclock", ctypes.c_uint64),
        ("rest", ctypes.c_uint8 * 104),
    )


def _ioctl(direction: int, number: int, size: int) -> int:
    """<asm-generic/ioctl.h>'s _IOC with type 'V'; x86 and ARM share it. Direction: 1 write, 2 read, 3 both."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP = _ioctl(2, 0, ctypes.sizeof(Capability))
ENUM_FMT = _ioctl(3, 2, ctypes.sizeof(FmtDesc))
G_FMT = _ioctl(3, 4, ctypes.sizeof(Format))
S_FMT = _ioctl(3, 5, ctypes.sizeof(Format))
REQBUFS = _ioctl(3, 8, ctypes.sizeof(RequestBuffers))
QUERYBUF = _ioctl(3, 9, ctypes.sizeof(Buffer))
QBUF = _ioctl(3, 15, ctypes.sizeof(Buffer))
DQBUF = _ioctl(3, 17, ctypes.sizeof(Buffer))
STREAMON = _ioctl(1, 18, 4)
STREAMOFF = _ioctl(1, 19, 4)
SUBSCRIBE_EVENT = _ioctl(1, 90, ctypes.sizeof(EventSubscription))
DQEVENT = _ioctl(2, 89, ctypes.sizeof(Event))
G_INPUT = _ioctl(2, 38, 4)
ENUMINPUT = _ioctl(3, 26, ctypes.sizeof(Input))
S_DV_TIMINGS = _ioctl(3, 87, ctypes.sizeof(DvTimings))
G_DV_TIMINGS = _ioctl(3, 88, ctypes.sizeof(DvTimings))
QUERY_DV_TIMINGS = _ioctl(2, 99, ctypes.sizeof(DvTimings))


def call(descriptor: int, request: int, argument: ctypes.Structure | ctypes.c_int) -> None:
    """One ioctl; the driver's answer replaces ``argument``. Raises OSError with the driver's errno."""
    fcntl.ioctl(descriptor, request, argument, True)


def fourcc(name: str) -> int:
    """Four characters to V4L2's number: 'Y16 '; a fifth, '>', marks the big-endian variant."""
    return int.from_bytes(name[:4].encode("ascii"), "little") | (1 << 31 if name[4:] == ">" else 0)


def fourcc_name(number: int) -> str:
    """Inverse of :func:`fourcc`."""
    text = (number & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace")
    return text + ">" if number >> 31 else text
