"""What options with a fixed set of words take, so that the parser checks, completes and lists them.

Typer takes a ``Literal`` for one value; a repeatable option needs an ``Enum``. tests/api/test_signatures.py compares
both with what the functions accept.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class Precision(str, Enum):
    """ONNX files of a bundle."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT8_CPU = "int8-cpu"


def words(chosen: Sequence[Precision] | None) -> list[str] | None:
    """The values as a function takes them; None: not given."""
    return [one.value for one in chosen] if chosen else None
