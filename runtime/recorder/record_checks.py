"""What is refused of ``tgkt-edge record``'s options before a camera is opened."""

from __future__ import annotations

import math
from pathlib import Path

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.recorder.writer import FORMATS


def check_alignment(rgb: str | None, align: bool, extrinsics: Path | None) -> None:
    """Raise UsageError where ``align`` and ``extrinsics`` have nothing to work on."""
    if align and rgb is None:
        raise UsageError("`align` warps the color of pairs: name its camera with `rgb`")
    if extrinsics is not None and not align:
        raise UsageError(f"`extrinsics={extrinsics}` says how to `align`: give both, or neither")


def check_recording(
    form: str,
    max_frames: int | None,
    seconds: float | None,
    interval: float,
    rgb: str | None,
    max_skew_ms: float,
) -> None:
    """Raise UsageError for a value that no recording can have."""
    if form not in FORMATS:
        raise UsageError(f"`form={form}`: expected {' or '.join(FORMATS)}")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"`max_frames={max_frames}`: expected at least 1")
    if seconds is not None and not seconds > 0:
        raise UsageError(f"`seconds={seconds}`: expected more than 0")
    if not interval >= 0:
        raise UsageError(f"`interval={interval}`: expected 0 or more seconds")
    if not 0 < max_skew_ms < math.inf:
        raise UsageError(f"`max_skew_ms={max_skew_ms:g}`: expected a finite number above 0")
    if rgb is not None and form != "png":
        raise UsageError(
            "`rgb`: pairs are written as PNG, which 'tgkt-edge adapt --paired' reads. Leave `form` out."
        )
