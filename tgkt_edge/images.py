"""One image file, read as ``adapt`` and ``run`` read it: nothing shifted, scaled, turned or repaired in silence."""

from __future__ import annotations

from tgkt_edge.io.images import read_frame, read_rgb

__all__ = ["read_frame", "read_rgb"]
