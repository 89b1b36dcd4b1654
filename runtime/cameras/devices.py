"""Whether two cameras that were asked for are one device, which only one thread can read."""

from __future__ import annotations

from tgkt_edge.runtime.sources import same_device, split_scheme
from tgkt_edge.runtime.sources.realsense import SUFFIXES

_BY_NUMBER = ("openni2", "obsensor", "csi")
_BY_SERIAL = ("realsense", "depthai", "orbbec")


def one_device(uri: str, other: str) -> str:
    """Why two URIs cannot both be opened: they name, or may name, the same device. Empty if they can."""
    if same_device(uri, other):
        return "are one device, by whatever name"
    (scheme, first), (kind, second) = split_scheme(uri), split_scheme(other)
    if scheme != kind:
        return ""
    if scheme in _BY_NUMBER:
        return "are one device" if _device(first) == _device(second) else ""
    if scheme not in _BY_SERIAL or first.lower().endswith(SUFFIXES):
        return ""
    if first != second:
        return "" if first and second else "may be one device. Give each its serial number"
    return "are one device" if first else f"are both the first {scheme} camera. Give each its serial number"


def _device(rest: str) -> str:
    """Without what is said of it, as in ``0?register=1``."""
    return rest.partition("?")[0] or "0"
