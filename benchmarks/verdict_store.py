"""What a verdict is made from, kept on disk, so that a changed verdict is measured in seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tgkt_edge.io.atomic import atomic_file
from tgkt_edge.train.report.comparison import Evidence


def save_evidence(file: Path, found: Evidence) -> None:
    """Write all that is not None."""
    values = {item.name: getattr(found, item.name) for item in dataclasses.fields(found)}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items() if value is not None}
    with atomic_file(file) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_evidence(file: Path) -> Evidence:
    """What :func:`save_evidence` wrote."""
    with np.load(file) as kept:
        values = {name: kept[name] for name in kept.files}
    values["classes"] = tuple(map(str, values["classes"]))
    values["held_runs"] = values["held_runs"].astype(int).tolist()
    if "last_churn" in values:
        values["last_churn"] = float(values["last_churn"])
    if "belong" in values:
        values["belong"] = bool(values["belong"])
    return Evidence(**values)
