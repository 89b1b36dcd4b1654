"""What TensorRT complains of, kept for our messages instead of printed."""

from __future__ import annotations

from tgkt_edge.trt import library as trt


class Errors:
    """What TensorRT complained of, oldest first."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    def last(self) -> str:
        """The last complaint, ending in a full stop; empty if there is none."""
        return self.lines[-1].rstrip(".") + "." if self.lines else ""


def make_logger() -> tuple[trt.ILogger, Errors]:
    """A TensorRT logger that keeps errors instead of printing them."""
    errors = Errors()

    class Log(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                errors.lines.append(" ".join(msg.split()))

    return Log(), errors
