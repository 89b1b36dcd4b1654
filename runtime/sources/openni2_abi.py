"""OpenNI2's C library through ctypes: the functions and structures of OniCAPI.h that reading a stream needs.

Source: OniCAPI.h, OniCTypes.h, OniCEnums.h and OniCProperties.h of OpenNI 2.2, a frozen interface that Debian's
libopenni2-0 and the redistributables of camera makers share. Their PyPI bindings are from 2019 and look for the library
under one name only.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from pathlib import Path
from typing import Any

from tgkt_edge.errors import MissingDependency

API_VERSION = 2002  # OpenNI 2.2: major * 1000 + minor
SENSOR_IR, SENSOR_DEPTH = 1, 3
DEPTH_1_MM, DEPTH_100_UM, GRAY8, GRAY16 = 100, 101, 202, 203
STREAM_VIDEO_MODE = 3
DEVICE_IMAGE_REGISTRATION, DEPTH_TO_COLOR = 5, 1
STATUS_TIMEOUT = 102


class VideoMode(ctypes.Structure):
    """OniVideoMode."""

    _fields_ = (
        ("format", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("fps", ctypes.c_int),
    )


class SensorInfo(ctypes.Structure):
    """OniSensorInfo."""

    _fields_ = (("type", ctypes.c_int), ("count", ctypes.c_int), ("modes", ctypes.POINTER(VideoMode)))


class DeviceInfo(ctypes.Structure):
    """OniDeviceInfo."""

    _fields_ = (
        ("uri", ctypes.c_char * 256),
        ("vendor", ctypes.c_char * 256),
        ("name", ctypes.c_char * 256),
        ("usb_vendor", ctypes.c_uint16),
        ("usb_product", ctypes.c_uint16),
    )


class Frame(ctypes.Structure):
    """OniFrame. ``timestamp`` is in microseconds, from a zero that each device chooses."""

    _fields_ = (
        ("bytes", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("sensor", ctypes.c_int),
        ("timestamp", ctypes.c_uint64),
        ("index", ctypes.c_int),
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("mode", VideoMode),
        ("cropping", ctypes.c_int),
        ("crop_x", ctypes.c_int),
        ("crop_y", ctypes.c_int),
        ("stride", ctypes.c_int),
    )


_HANDLE = ctypes.c_void_p
_OUT = ctypes.POINTER(ctypes.c_void_p)
_STATUS = ctypes.c_int
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "oniInitialize": (_STATUS, [ctypes.c_int]),
    "oniGetExtendedError": (ctypes.c_char_p, []),
    "oniGetDeviceList": (
        _STATUS,
        [ctypes.POINTER(ctypes.POINTER(DeviceInfo)), ctypes.POINTER(ctypes.c_int)],
    ),
    "oniReleaseDeviceList": (_STATUS, [ctypes.POINTER(DeviceInfo)]),
    "oniDeviceOpen": (_STATUS, [ctypes.c_char_p, _OUT]),
    "oniDeviceClose": (_STATUS, [_HANDLE]),
    "oniDeviceGetSensorInfo": (ctypes.POINTER(SensorInfo), [_HANDLE, ctypes.c_int]),
    "oniDeviceIsImageRegistrationModeSupported": (ctypes.c_int, [_HANDLE, ctypes.c_int]),
    "oniDeviceSetProperty": (_STATUS, [_HANDLE, ctypes.c_int, ctypes.c_void_p, ctypes.c_int]),
    "oniDeviceCreateStream": (_STATUS, [_HANDLE, ctypes.c_int, _OUT]),
    "oniStreamDestroy": (None, [_HANDLE]),
    "oniStreamStart": (_STATUS, [_HANDLE]),
    "oniStreamStop": (None, [_HANDLE]),
    "oniStreamSetProperty": (_STATUS, [_HANDLE, ctypes.c_int, ctypes.c_void_p, ctypes.c_int]),
    "oniWaitForAnyStream": (_STATUS, [_OUT, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_int]),
    "oniStreamReadFrame": (_STATUS, [_HANDLE, ctypes.POINTER(ctypes.POINTER(Frame))]),
    "oniFrameRelease": (None, [ctypes.POINTER(Frame)]),
}


def load() -> Any:
    """OpenNI2's library, its functions declared. OPENNI2_REDIST names the folder of a camera maker's own build.

    Raises:
        MissingDependency: (exit 6) it is not installed.
    """
    names = ["libOpenNI2.so.0", "libOpenNI2.so"]
    folders = [os.environ[name] for name in ("OPENNI2_REDIST", "OPENNI2_REDIST64") if os.environ.get(name)]
    for name in [str(Path(folder) / one) for folder in folders for one in names] + names:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        for function, (result, arguments) in _FUNCTIONS.items():
            declared = getattr(library, function)
            declared.restype, declared.argtypes = result, arguments
        return library
    raise MissingDependency(
        "openni2:// needs OpenNI2's library, which is not installed here. Install Debian's or Ubuntu's: "
        "sudo apt install libopenni2-0; or the camera maker's (Orbbec's OpenNI2 SDK) and set OPENNI2_REDIST to the "
        "folder that holds its libOpenNI2.so."
    )
