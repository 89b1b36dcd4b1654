"""Measurements as tables for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(verification: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What was measured, by precision, as a table for a person."""
    rows: list[Sequence[str]] = [
        ("precision", "against", "frames", "same class", "accuracy", "largest", "mean", "KL", "ms", "speed")
    ]
    for name, found in verification.items():
        if "frames" not in found:
            continue
        accuracy = found.get("accuracy")
        speed = found.get("speed")
        rows.append(
            (
                name,
                str(found["against"]),
                str(found["frames"]),
                f"{found['top1_agreement']:.1%}",
                "-" if accuracy is None else f"{accuracy:.1%} ({found['reference_accuracy']:.1%})",
                _number(found["max_logit_difference"]),
                _number(found["mean_logit_difference"]),
                _number(found.get("mean_kl")),
                _number(found.get("ms")),
                "-" if speed is None else f"{speed:.2f}x",
            )
        )
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of texts as lines, every column as wide as its widest cell. All rows have equally many cells."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
