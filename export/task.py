"""What an export knows of its task, and what its two beginnings, a run or a bundle, hand on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MODEL_FILES
from tgkt_edge.sensor import SensorSpec

Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """What the files of one bundle have in common.

    Attributes:
        folder: where ``model.onnx`` lies and the others are written.
        classes, sensor, size: as in :class:`tgkt_edge.bundle.bundle.Bundle`.
    """

    folder: Path
    classes: tuple[str, ...]
    sensor: SensorSpec
    size: int

    def file(self, precision: str) -> Path:
        """Path of the ONNX file of a precision."""
        return self.folder / MODEL_FILES[precision]


@dataclass(frozen=True)
class Begun:
    """A bundle folder with ``model.onnx`` in it, to which precisions are added next.

    Attributes:
        target: frames of the sensor: those that were given, or the run's; None: a bundle, and none were given.
        verification, provenance: of the manifest, as far as they are known.
        int8_calibration, temperature: what an earlier bundle holds of them, for the files that stay.
        raw: input of an earlier bundle's graphs of raw counts, which are made again; empty: there are none.
        taught: target frames that the run learnt the labels of; a bundle holds no such list.
    """

    task: Task
    target: Path | None
    verification: dict[str, Any]
    provenance: dict[str, Any]
    int8_calibration: dict[str, Any] = field(default_factory=dict)
    temperature: dict[str, Any] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)
    taught: Collection[Path] = ()


def versions(*names: str) -> dict[str, str]:
    """Versions of modules: the one called onnxruntime also comes as the package onnxruntime-gpu."""
    return {name: str(importlib.import_module(name).__version__) for name in names}
