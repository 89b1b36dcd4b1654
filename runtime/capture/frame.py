"""A frame on its way from the capture thread to its decision."""

from __future__ import annotations

from dataclasses import dataclass

from tgkt_edge.runtime.infer.preprocess_stage import Pending
from tgkt_edge.runtime.sources.base import Captured


@dataclass(frozen=True)
class Frame:
    """What a source delivered, when, and what was begun with it ahead.

    Attributes:
        captured: the raw counts, or why there are none.
        arrived: when it was in memory (``time.perf_counter``).
        prepared: what was begun ahead of the decision; None: nothing.
    """

    captured: Captured
    arrived: float
    prepared: Pending | None = None
