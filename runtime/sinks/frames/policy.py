"""What makes a frame worth keeping: a score from 0 to 1 for each part of the folder."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import UsageError
from tgkt_edge.io.recording_format import NOVEL, RANDOM, UNCERTAIN
from tgkt_edge.preprocess import encode
from tgkt_edge.runtime.records import Decision
from tgkt_edge.sensor import SensorSpec

PARTS = (RANDOM, UNCERTAIN, NOVEL)
"""Folders within the sink's. What the random part takes is nowhere else."""

DEFAULT = {RANDOM: 0.2, UNCERTAIN: 0.4, NOVEL: 0.4}

LEAST = {RANDOM: 0.0, UNCERTAIN: 0.1, NOVEL: 0.02}
"""Scores below which a frame is not worth keeping even where there is room. A still scene with a sensor's noise stays
below that of ``novel``."""

SIDE = 8
"""Pixels each way of the small picture that tells whether a frame is new."""


def parse_policy(name: str, text: str | None) -> dict[str, float]:
    """Shares of the budget, by part, from ``random:0.2,uncertain:0.8``.

    Args:
        name: the sink's, for messages. text: None: the default.

    Raises:
        UsageError: an unknown part, one given twice, a share that is none, or shares of more than 1 together.
    """
    if text is None:
        return dict(DEFAULT)
    shares: dict[str, float] = {}
    for word in text.split(","):
        part, _, number = word.strip().partition(":")
        if part not in PARTS:
            near = difflib.get_close_matches(part, PARTS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(PARTS)}."
            raise UsageError(f"`sinks={name}`: policy: unknown part '{part}'. {hint}")
        if part in shares:
            raise UsageError(f"`sinks={name}`: policy: '{part}' is given twice")
        try:
            shares[part] = float(number)
        except ValueError:
            shares[part] = -1.0
        if not 0 < shares[part] <= 1:
            raise UsageError(
                f"`sinks={name}`: policy: '{word.strip()}': expected PART:SHARE with a share above 0, at most 1, as in "
                f"random:0.2,uncertain:0.4,novel:0.4"
            )
    if sum(shares.values()) > 1 + 1e-9:
        raise UsageError(
            f"`sinks={name}`: policy: shares of {sum(shares.values()):g} together: expected at most 1"
        )
    return shares


def digest_of(frame: NDArray[Any]) -> str:
    """What tells equal frames: of shape, dtype and every pixel, 32 hexadecimal digits."""
    content = hashlib.blake2b(f"{frame.dtype.str}{frame.shape}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(frame).data)
    return content.hexdigest()


def draw(salt: str, digest: str) -> float:
    """A number from 0 to 1 that depends on nothing but the frame's content and this folder's salt.

    The frames with the largest numbers are a uniform sample of all different frames (bottom-k sampling: Cohen and
    Kaplan, PODC 2007), however often each came and however often the program was started again.
    """
    return int.from_bytes(hashlib.blake2b(f"{salt}{digest}".encode(), digest_size=8).digest(), "big") / 2**64


def uncertainty(decision: Decision) -> float:
    """1 minus the lead of the likeliest class over the second, of this frame alone."""
    first, *others = [candidate.probability for candidate in decision.top] or [decision.probability]
    return 1 - (first - (others[0] if others else 1 - first))


def small_picture(frame: NDArray[Any], spec: SensorSpec) -> NDArray[np.uint8]:
    """(SIDE * SIDE,) uint8: the frame in a few coarse levels of the sensor's range."""
    return (encode(frame, spec, SIDE) >> 8).astype(np.uint8).ravel()


def novelty(picture: NDArray[np.uint8], kept: Mapping[int, NDArray[np.uint8]]) -> float:
    """Root mean square difference, in units of the range, to the nearest of the frames that were kept; 1: there is
    none."""
    if not kept:
        return 1.0
    others = np.stack(list(kept.values())).astype(np.float32)
    return float(np.sqrt(((others - picture) ** 2).mean(1)).min()) / 255
