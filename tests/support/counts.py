"""How often a test repeats what it repeats: as often as it takes to see the fault, or as often as on a device."""

from __future__ import annotations

import os

LONG = os.environ.get("TGKT_EDGE_LONG") == "1"
"""All repetitions are asked for: see docs/contributing.md."""


def repeats(usual: int, long: int) -> int:
    """``long`` with ``TGKT_EDGE_LONG=1``, else ``usual``."""
    return long if LONG else usual
