"""What frames and answers looked like at adaptation: ``statistics.json`` of a run and of its bundle.

A device compares with it what it sees (:mod:`tgkt_edge.runtime.health.drift`): frames as
:mod:`tgkt_edge.monitoring.input_distance` and
:mod:`tgkt_edge.monitoring.orientation` say, answers as :mod:`tgkt_edge.monitoring.class_windows` says. Probabilities
here are always those of the network as exported, whatever temperature is applied to them later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import STATISTICS, Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.monitoring.class_windows import AnswerWindows
from tgkt_edge.monitoring.input_distance import BINS, LENGTH, Normal, describe
from tgkt_edge.monitoring.orientation import Upright, tilt
from tgkt_edge.monitoring.value_scale import ValueScale
from tgkt_edge.preprocess import center_crop, to_unit

SCHEMA = 1

MIN_FRAMES = 20
"""Adaptation frames below which nothing is learnt: one frame in twenty would raise a flag by chance."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Statistics:
    """The adaptation frames in figures.

    Attributes:
        input: of the frames. answers: of the network's probabilities for them.
        summary: for people and other programs: ``frames``; ``histogram`` of the input values, mean and standard
            deviation from frame to frame of the BINS shares; quantiles of the raw share of ``invalid`` pixels and of
            the largest probability (``confidence``); share of frames (``predicted``) and mean ``probability`` by class.
        upright: which frames are upside down; None: the adaptation frames cannot tell, or are from before it was asked.
        scale: which frames are in another unit; None: it is from before it was asked.
    """

    input: Normal
    answers: AnswerWindows
    summary: Mapping[str, Any]
    upright: Upright | None = None
    scale: ValueScale | None = None

    @classmethod
    def of(
        cls,
        descriptions: Floats,
        probabilities: Floats,
        tilts: Floats | None = None,
        scale: ValueScale | None = None,
    ) -> Statistics | None:
        """Statistics of N frames in their order: (N, LENGTH), (N, K) and (N,). None for fewer than MIN_FRAMES.

        Raises:
            ValueError: other shapes.
        """
        count = len(descriptions)
        if descriptions.shape != (count, LENGTH) or probabilities.ndim != 2 or len(probabilities) != count:
            raise ValueError(f"descriptions {descriptions.shape} and answers {probabilities.shape} disagree")
        if tilts is not None and tilts.shape != (count,):
            raise ValueError(f"descriptions {descriptions.shape} and tilts {tilts.shape} disagree")
        if count < MIN_FRAMES:
            return None
        ends = np.zeros((count, 1)), descriptions[:, : BINS - 1], np.ones((count, 1))
        histograms = np.diff(np.concatenate(ends, axis=1), axis=1)
        normal = Normal.of(descriptions)
        return cls(
            input=normal,
            answers=AnswerWindows.of(descriptions, normal.weights, probabilities),
            summary={
                "frames": count,
                "histogram": {"mean": _short(histograms.mean(0)), "std": _short(histograms.std(0))},
                "invalid": _quantiles(descriptions[:, -1]),
                "confidence": _quantiles(probabilities.max(1)),
                "predicted": _short(
                    np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1]) / count
                ),
                "probability": _short(probabilities.mean(0)),
            },
            upright=Upright.of(tilts) if tilts is not None else None,
            scale=scale,
        )

    @classmethod
    def of_codes(
        cls,
        codes: NDArray[np.uint16],
        size: int,
        invalid: Floats,
        probabilities: Floats,
        scale: ValueScale | None = None,
    ) -> Statistics | None:
        """:meth:`of` for (N, R, R) codes of which the network sees the central ``size`` pixels.

        Args:
            invalid: (N,) raw shares of invalid pixels.
        """
        described = np.empty((len(codes), LENGTH), np.float32)
        tilts = np.empty(len(codes), np.float32)
        for row, (frame, share) in enumerate(zip(codes, invalid, strict=True)):
            unit = to_unit(center_crop(frame, size))[np.newaxis]
            described[row] = describe(unit, float(share))
            tilts[row] = tilt(unit)
        return cls.of(described, probabilities, tilts, scale)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        values = {
            "schema": SCHEMA,
            **self.summary,
            "input": self.input.to_dict(),
            "answers": self.answers.to_dict(),
            "upright": self.upright.to_dict() if self.upright is not None else None,
            "scale": self.scale.to_dict() if self.scale is not None else None,
        }
        write_text(path, json.dumps(values) + "\n")

    @classmethod
    def read(cls, path: Path, classes: int) -> Statistics:
        """Inverse of :meth:`write`. Raises BundleError (exit 4) for anything else, or another number of classes."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["schema"] != SCHEMA:
                raise ValueError(f"schema {values['schema']!r}, expected {SCHEMA}")
            return cls(
                input=Normal.from_dict(values["input"]),
                answers=AnswerWindows.from_dict(values["answers"], classes),
                summary={
                    k: v
                    for k, v in values.items()
                    if k not in ("schema", "input", "answers", "upright", "scale")
                },
                upright=Upright.from_dict(values["upright"]) if values.get("upright") is not None else None,
                scale=ValueScale.from_dict(values["scale"]) if values.get("scale") is not None else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{path} is damaged: {error!r}. Export the bundle again.") from error


def of_bundle(bundle: Bundle) -> Statistics | None:
    """The statistics that a bundle holds, its file's checksum verified; None: it was exported without.

    Raises:
        BundleError: (exit 4) a missing, altered or damaged file.
    """
    if STATISTICS not in bundle.files:
        return None
    return Statistics.read(bundle.file(STATISTICS), len(bundle.classes))


def _short(values: NDArray[Any]) -> list[float]:
    return [round(float(value), 5) for value in values]


def _quantiles(values: Floats) -> dict[str, float]:
    return {f"p{percent}": round(float(np.percentile(values, percent)), 5) for percent in (1, 10, 50, 90, 99)}
