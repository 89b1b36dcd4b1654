"""The data a user brings: which files there are, and what they hold.

The functions that read it can be imported from here; :mod:`.loading`, and OpenCV with it, is loaded when one is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tgkt_edge.data.loading import (
        Frames,
        Images,
        Pairs,
        load_frames,
        load_images,
        load_labelled_frames,
        load_pairs,
    )

__all__ = ["Frames", "Images", "Pairs", "load_frames", "load_images", "load_labelled_frames", "load_pairs"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'tgkt_edge.data' has no attribute '{name}'")
        return getattr(import_module("tgkt_edge.data.loading"), name)
