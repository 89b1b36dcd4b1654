"""The model bundle, its TensorRT engines, and what they report of themselves.

:class:`Bundle` can be imported from here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tgkt_edge.bundle.bundle import Bundle

__all__ = ["Bundle"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name != "Bundle":
            raise AttributeError(f"module 'tgkt_edge.bundle' has no attribute '{name}'")
        return import_module("tgkt_edge.bundle.bundle").Bundle
