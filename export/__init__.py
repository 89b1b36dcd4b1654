"""From a run to a verified bundle: ONNX, quantisation, TensorRT. Imported as tgkt_edge.export.

The package can be called: ``tgkt_edge.export(...)`` is :func:`tgkt_edge.export.export.export`, since Python has one
name for a package and for a function of that name beside it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that is its main function, too."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """See :func:`tgkt_edge.export.export.export`."""
        return import_module("tgkt_edge.export.export").export(*arguments, **named)


sys.modules[__name__].__class__ = _CallablePackage
