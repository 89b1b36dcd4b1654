"""One V4L2 capture device through the kernel's own interface: formats, mapped buffers, driver timestamps.

OpenCV's V4L2 cannot open a node that offers Z16 alone, hides the driver's timestamps and error flags, and answers an
unplugged camera, a busy one and a silent one alike. The kernel answers each with its own number; here they stay apart.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import select
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.runtime.sources import v4l2_abi as abi
from tgkt_edge.runtime.sources.frame_clock import FrameClock, both_clocks
from tgkt_edge.runtime.sources.v4l2_signal import InputSignal

_BUFFERS = 4  # one being filled, one being copied, two against a hiccup of this process
_MOST_FORMATS = 4096  # against a driver whose list never ends


@dataclass(frozen=True)
class Layout:
    """What the driver set: FOURCC, pixels, bytes from one row to the next, bytes of an image."""

    fourcc: str
    width: int
    height: int
    stride: int
    bytes: int


@dataclass(frozen=True)
class RawImage:
    """One buffer, copied out: ``data`` (n,) uint8, Unix seconds, the driver's frame counter, its error flag.

    ``trouble``: why its input had no picture when it came, whatever is in it; None: nothing is known against it.
    """

    data: NDArray[np.uint8]
    time: float
    sequence: int
    damaged: bool
    trouble: str | None = None


class FormatChanged(Exception):
    """The driver reports that what arrives is no longer what was agreed on.

    Attributes:
        before, after: the signals at the input, "1280x720"; both empty: the driver names none.
    """

    def __init__(self, before: str = "", after: str = "") -> None:
        super().__init__(before, after)
        self.before, self.after = before, after


class V4l2Device:
    """An open device. Every method raises OSError with the driver's own errno.

    Args:
        path: device node.

    Raises:
        OSError: ENOENT, EACCES, ...; ENOTTY if it is no V4L2 device; ENOTSUP if it is one that does not capture.
    """

    def __init__(self, path: str) -> None:
        self._maps: list[mmap.mmap] = []
        self._type = 0
        self._poll = select.poll()
        self._clock = FrameClock()
        self._agreed: Layout | None = None
        self._doubtful = 0  # frames to come that may be from before the signal came back
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            have = abi.Capability()
            abi.call(self._fd, abi.QUERYCAP, have)
            caps = have.device_caps if have.capabilities & abi.CAP_DEVICE_CAPS else have.capabilities
            self.card = have.card.decode("utf-8", "replace")
            if caps & abi.CAP_STREAMING and caps & abi.CAP_VIDEO_CAPTURE:
                self._type = abi.VIDEO_CAPTURE
            elif caps & abi.CAP_STREAMING and caps & abi.CAP_VIDEO_CAPTURE_MPLANE:
                self._type = abi.VIDEO_CAPTURE_MPLANE
            else:
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
            self.signal = InputSignal(self._fd)
            self._poll.register(self._fd, select.POLLIN | select.POLLPRI)
            # Not every driver has events; without them a change shows in the size of the buffers.
            with contextlib.suppress(OSError):
                abi.call(self._fd, abi.SUBSCRIBE_EVENT, abi.EventSubscription(type=abi.EVENT_SOURCE_CHANGE))
        except BaseException:
            self.close()
            raise

    def formats(self) -> dict[str, str]:
        """FOURCC to description of every pixel format the driver lists; empty if it lists none."""
        found: dict[str, str] = {}
        for index in range(_MOST_FORMATS):
            entry = abi.FmtDesc(index=index, type=self._type)
            try:
                abi.call(self._fd, abi.ENUM_FMT, entry)
            except OSError:  # EINVAL ends the list
                break
            found[abi.fourcc_name(entry.pixelformat)] = entry.description.decode("utf-8", "replace")
        return found

    def layout(self) -> Layout:
        """What is set now."""
        return self._layout(self._get())

    def set_format(self, fourcc: str, size: tuple[int, int] | None) -> Layout:
        """Ask for a pixel format and (width, height); None: the size that is set. Returns what the driver set."""
        asked = self._get()
        pix = asked.fmt.pix_mp if self._multi else asked.fmt.pix
        pix.pixelformat = abi.fourcc(fourcc)
        if size is not None:
            pix.width, pix.height = size
        if self._multi:
            pix.num_planes = 1
            pix.plane_fmt[0].bytesperline = pix.plane_fmt[0].sizeimage = 0
        else:
            pix.bytesperline = pix.sizeimage = 0  # the driver's to say
        abi.call(self._fd, abi.S_FMT, asked)
        self._agreed = self._layout(asked)
        return self._agreed

    def start(self) -> None:
        """Map buffers, hand them to the driver, and let it fill them."""
        self._clock = FrameClock()
        request = abi.RequestBuffers(count=_BUFFERS, type=self._type, memory=abi.MEMORY_MMAP)
        abi.call(self._fd, abi.REQBUFS, request)
        for index in range(request.count):
            buffer, planes = self._buffer(index)
            abi.call(self._fd, abi.QUERYBUF, buffer)
            length, offset = (
                (planes[0].length, planes[0].m.offset) if self._multi else (buffer.length, buffer.m.offset)
            )
            self._maps.append(mmap.mmap(self._fd, length, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))
            abi.call(self._fd, abi.QBUF, buffer)
        abi.call(self._fd, abi.STREAMON, ctypes.c_int(self._type))

    def read(self, timeout: float) -> RawImage | None:
        """The oldest filled buffer; waits up to ``timeout`` seconds for one, then None.

        Raises:
            FormatChanged: another signal arrives, or the driver says that the format changed.
            OSError: ENODEV after unplugging.
        """
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            events = self._poll.poll(left * 1e3)
            if not events:
                return None
            # The kernel sets every bit for an unplugged device: then DQBUF gives the reason.
            if events[0][1] & (select.POLLPRI | select.POLLERR | select.POLLHUP) == select.POLLPRI:
                self._take_event()
                if not events[0][1] & select.POLLIN:
                    continue
            buffer, planes = self._buffer(0)
            try:
                abi.call(self._fd, abi.DQBUF, buffer)
            except BlockingIOError:
                time.sleep(0.001)  # a driver that wakes up for nothing shall not take the whole core
                continue
            monotonic, unix = both_clocks()
            used, start = (
                (planes[0].bytesused, planes[0].data_offset) if self._multi else (buffer.bytesused, 0)
            )
            data = np.frombuffer(self._maps[buffer.index], np.uint8)[start:used].copy()
            taken = self._clock.unix_time(_stamp(buffer), monotonic, unix)
            sequence, damaged = buffer.sequence, bool(buffer.flags & abi.BUF_FLAG_ERROR)
            abi.call(self._fd, abi.QBUF, buffer)
            return RawImage(data, taken, sequence, damaged, self._trouble())
        return None

    def _trouble(self) -> str | None:
        """Why a frame that came now is no picture. Raises FormatChanged."""
        self.signal.look()
        if self.signal.changed:
            raise FormatChanged(self.signal.agreed, self.signal.detected)
        if self.signal.trouble is not None:
            self._doubtful = _BUFFERS  # so many may wait already when it comes back
            return self.signal.trouble
        if self._doubtful:
            self._doubtful -= 1
            return "the signal at the input has only just come back"
        return None

    def _take_event(self) -> None:
        """Take the driver's event. Raises FormatChanged if it says that frames may no longer be what was agreed on."""
        event = abi.Event()
        try:
            abi.call(self._fd, abi.DQEVENT, event)
        except OSError:
            time.sleep(0.001)  # none there after all: this shall not take the whole core
            return
        if event.type != abi.EVENT_SOURCE_CHANGE:
            return
        self.signal.look(at_once=True)
        if self.signal.changed:
            raise FormatChanged(self.signal.agreed, self.signal.detected)
        # Without a signal, frames say so; with the signal that was agreed on, nothing changed.
        known = self.signal.trouble is not None or bool(self.signal.detected)
        if not known or (self._agreed is not None and self.layout() != self._agreed):
            raise FormatChanged

    def stop(self) -> None:
        """End the stream and free the buffers, so that another format can be set. Harmless twice, or unplugged."""
        with contextlib.suppress(OSError):
            abi.call(self._fd, abi.STREAMOFF, ctypes.c_int(self._type))
        for mapped in self._maps:
            mapped.close()
        self._maps.clear()
        with contextlib.suppress(OSError):
            abi.call(self._fd, abi.REQBUFS, abi.RequestBuffers(type=self._type, memory=abi.MEMORY_MMAP))

    def close(self) -> None:
        """Stop, and release the device. Harmless twice."""
        if self._fd >= 0:
            self.stop()
            os.close(self._fd)
            self._fd = -1

    @property
    def _multi(self) -> bool:
        return self._type == abi.VIDEO_CAPTURE_MPLANE

    def _get(self) -> abi.Format:
        current = abi.Format(type=self._type)
        abi.call(self._fd, abi.G_FMT, current)
        return current

    def _layout(self, found: abi.Format) -> Layout:
        pix = found.fmt.pix_mp if self._multi else found.fmt.pix
        plane = pix.plane_fmt[0] if self._multi else pix
        name = abi.fourcc_name(pix.pixelformat)
        return Layout(name, pix.width, pix.height, plane.bytesperline, plane.sizeimage)

    def _buffer(self, index: int) -> tuple[abi.Buffer, Any]:
        """A request for buffer ``index`` and the planes it points to; keep both alive during the call."""
        buffer = abi.Buffer(index=index, type=self._type, memory=abi.MEMORY_MMAP)
        planes = (abi.Plane * 8)()
        if self._multi:
            buffer.m.planes = ctypes.addressof(planes)
            buffer.length = 8
        return buffer, planes


def _stamp(buffer: abi.Buffer) -> float | None:
    """The driver's time of a frame in seconds of the monotonic clock; None if it keeps another one."""
    if buffer.flags & abi.BUF_FLAG_TIMESTAMP_MASK != abi.BUF_FLAG_TIMESTAMP_MONOTONIC:
        return None
    stamp: float = buffer.timestamp.sec + buffer.timestamp.usec * 1e-6
    return stamp
