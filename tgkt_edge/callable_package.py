"""Packages that can be called: Python has one name for a package and for a function of that name beside it.

``tgkt_edge.export`` is a package, and the function that exports; so are ``benchmark``, ``demo`` and ``doctor``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A package that is the function of its name in :mod:`tgkt_edge.api`, too; imported when it is called."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """See the function of this name in :mod:`tgkt_edge.api`."""
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(f"tgkt_edge.api.{name}"), name)(*arguments, **named)


def make_callable(package: str) -> None:
    """Let the package of this name be called."""
    sys.modules[package].__class__ = CallablePackage
