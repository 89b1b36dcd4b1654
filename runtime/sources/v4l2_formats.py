"""Raw pixel formats of V4L2 cameras: which to ask for, how to read them, how to say that there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.io.formats.packed import PACKINGS
from tgkt_edge.runtime.sources.base import StreamFormat
from tgkt_edge.runtime.sources.v4l2_device import Layout
from tgkt_edge.sensor import SensorSpec

_DEPTH16 = ("Z16 ", "Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >")  # a node with both: depth is Z16, infrared Y16
_NIR16 = ("Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >", "Y12P", "Y10P", "Y10B", "Y12I")
_NIR8 = ("GREY", "Y8I ")
_PACKED = {"Y12P": "y12p", "Y10P": "y10p", "Y10B": "y10bpack", "Y12I": "y12i", "Y8I ": "y8i"}
"""Those of which counts are no plain numbers, as :data:`tgkt_edge.io.formats.packed.PACKINGS` names them."""

_COLOUR = ("YUYV", "UYVY", "MJPG")
RAW = tuple(dict.fromkeys((*_DEPTH16, *_NIR16, *_NIR8)))
"""FOURCC of every format that holds one channel of counts."""


def pixel_name(fourcc: str) -> str:
    """'Y16 ' as people write it: Y16; the big-endian variant is Y16_BE."""
    return fourcc.strip().replace(" >", "_BE")


def candidates(spec: SensorSpec | None, pinned: StreamFormat | None) -> tuple[str, ...]:
    """FOURCC to ask for, the best first.

    Args:
        spec: what frames must be; None: colour. One that names a ``pixel_format`` of these leaves only that.
        pinned: the format of an earlier opening, which leaves only its own.
    """
    fitting: tuple[str, ...]
    if spec is None:
        fitting = _COLOUR
    elif spec.dtype == "uint8":
        fitting = _NIR8
    else:
        fitting = _DEPTH16 if spec.kind == "depth" else _NIR16
    named = pinned.pixels if pinned is not None else spec.pixel_format if spec is not None else None
    return tuple(name for name in fitting if pixel_name(name) == named) or fitting


def raw_pixels(data: NDArray[np.uint8], layout: Layout) -> NDArray[Any] | None:
    """(n,) bytes to (H, W) uint8 or uint16 counts without the padding of rows; None if there are too few bytes.

    V4L2's 16-bit formats are little-endian on every machine, except for those named with '>'. Of two interleaved
    pictures (Y8I, Y12I) the left one is read.
    """
    packing = PACKINGS[_PACKED[layout.fourcc]] if layout.fourcc in _PACKED else None
    if packing is not None and layout.width % packing.group:
        return None
    width = layout.width * (1 if layout.fourcc == "GREY" else 2)
    if packing is not None:
        width = layout.width // packing.group * packing.size
    stride = max(layout.stride, width)
    needed = stride * (layout.height - 1) + width
    if len(data) < needed:
        return None
    rows = np.lib.stride_tricks.as_strided(data, (layout.height, width), (stride, 1), writeable=False)
    if packing is not None:
        return packing.unpack(np.ascontiguousarray(rows))
    if layout.fourcc == "GREY":
        return np.ascontiguousarray(rows)
    counts = np.ascontiguousarray(rows).view(">u2" if layout.fourcc.endswith(">") else "<u2")
    return counts.astype(np.uint16, copy=False)


@dataclass
class Refusals:
    """What one device answered to each pixel format, for the message that refuses it."""

    device: str
    expected: tuple[str, ...]
    offered: dict[str, str]
    spec: SensorSpec | None
    size: tuple[int, int] | None
    pinned: StreamFormat | None
    _tried: list[str] = field(default_factory=list)

    def add(self, name: str, what: str) -> None:
        """One format, and why the driver does not deliver it."""
        self._tried.append(f"{pixel_name(name)}: {what}")

    def text(self) -> str:
        """The message."""
        have = (
            ", ".join(f"{pixel_name(name)} ({text})" for name, text in self.offered.items())
            or "it did not say"
        )
        answers = "; ".join(self._tried) or "none of these is offered"
        if self.pinned is not None:
            return (
                f"{self.device}: it delivered {self.pinned} when it was first opened, and does not now: {answers}. Its "
                f"counts would mean something else. The camera offers: {have}. Set it back to that mode, or start "
                f"again to use another one."
            )
        spec = self.spec
        kind = "colour" if spec is None else f"{spec.dtype} {spec.kind}"
        size = f" at {self.size[0]}x{self.size[1]}" if self.size else ""
        names = ", ".join(pixel_name(name) for name in self.expected if not name.endswith(">"))
        only = (
            " (the SensorSpec's pixel_format; without it, other formats of this kind are tried, too)"
            if spec is not None
            and len(self.expected) == 1
            and spec.pixel_format == pixel_name(self.expected[0])
            else ""
        )
        return (
            f"{self.device}: no {kind} frames{size}. Expected pixel format {names}{only}: {answers}. "
            f"The camera offers: {have}. Try another node of the same camera (depth, infrared and colour are often "
            f"separate; 'v4l2-ctl --list-devices', 'v4l2-ctl -d {self.device} --list-formats-ext')"
            + (", or choose the SensorSpec of what it does deliver with `sensor`." if spec else ".")
        )
