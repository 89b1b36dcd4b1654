"""What arrives at the input of a V4L2 device: HDMI receivers and frame grabbers deliver pictures without any signal."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import time

from tgkt_edge.runtime.sources import v4l2_abi as abi

_SHARE = 50  # an input is asked for its state with each frame, as long as that takes a fiftieth of the time
_LONGEST = 0.2  # seconds between two questions at most, however long each takes
_NO_SIGNAL = {
    errno.ENOLINK: "has no signal",
    errno.ENOLCK: "has no stable signal",
    errno.ERANGE: "has a signal that the receiver cannot take",
}


class InputSignal:
    """The selected input of an open device. Cameras without one, and drivers that know no states, have no trouble.

    Args:
        descriptor: of the open device.

    Attributes:
        agreed: the signal when the stream was set up, "1280x720" or "1920x1080i"; empty: the driver does not say.
        detected: the signal at the last look, in the same words.
        trouble: why no picture could arrive then: "input HDMI 0 has no signal"; None: nothing is known against it.
    """

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._digital = True  # the driver knows the timings of digital video, as far as is known
        self.agreed = self.detected = ""
        self.trouble: str | None = None
        self._cost, self._next = _LONGEST / _SHARE, 0.0

    @property
    def changed(self) -> bool:
        """A signal arrives, and it is another one than when the stream was set up."""
        return bool(self.agreed) and bool(self.detected) and self.agreed != self.detected

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the signal that was agreed on: what a driver delivers without scaling it."""
        width, _, height = self.agreed.rstrip("i").partition("x")
        return (int(width), int(height)) if height else None

    def adopt(self) -> None:
        """Set the receiver to the signal that it detects, as programs that capture from HDMI have to."""
        found, current = self._query(abi.QUERY_DV_TIMINGS), self._query(abi.G_DV_TIMINGS)
        self._digital = isinstance(found, abi.DvTimings) or found in _NO_SIGNAL
        before = _picture(current) if isinstance(current, abi.DvTimings) else ""
        self.agreed = _picture(found) if isinstance(found, abi.DvTimings) else before
        if isinstance(found, abi.DvTimings) and self.agreed != before:
            with contextlib.suppress(OSError):  # busy: then the pixel format is, too, and says so
                abi.call(self._fd, abi.S_DV_TIMINGS, found)
        self.look(at_once=True)

    def look(self, *, at_once: bool = False) -> None:
        """Ask the driver again.

        Args:
            at_once: now; else as seldom as it takes to spend a fiftieth of the time on it, but every 0.2 seconds.
        """
        begin = time.monotonic()
        if at_once or begin >= self._next:
            self.trouble = self._ask()
            end = time.monotonic()
            self._cost = min(self._cost, end - begin)  # what is longer was an interruption of this process
            self._next = end + _SHARE * self._cost

    def _ask(self) -> str | None:
        number, found = ctypes.c_int(), abi.Input()
        try:
            abi.call(self._fd, abi.G_INPUT, number)
            found.index = number.value
            abi.call(self._fd, abi.ENUMINPUT, found)
        except OSError:
            found.status = 0
        name = found.name.decode("utf-8", "replace")
        what = f"input {name}" if name else "the input"
        answer = self._query(abi.QUERY_DV_TIMINGS) if self._digital else errno.ENOTTY
        self.detected = _picture(answer) if isinstance(answer, abi.DvTimings) else ""
        for bit, trouble in abi.INPUT_TROUBLES.items():
            if found.status & bit:
                return f"{what} {trouble}"
        return f"{what} {_NO_SIGNAL[answer]}" if isinstance(answer, int) and answer in _NO_SIGNAL else None

    def _query(self, request: int) -> abi.DvTimings | int:
        """Timings, or the driver's errno."""
        timings = abi.DvTimings()
        try:
            abi.call(self._fd, request, timings)
        except OSError as error:
            return error.errno or 0
        return timings if timings.type == abi.DV_BT_656_1120 and timings.width else errno.ENODATA


def _picture(timings: abi.DvTimings) -> str:
    return f"{timings.width}x{timings.height}{'i' if timings.interlaced else ''}"
