"""What a report is made from, and what was found of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Frames, Pairs
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.model import Classifier, Translator
from tgkt_edge.train.run_folder.folder import Run

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """C(F(x)), or C(F(T(x))) with a ``translator``. In evaluation mode, on the device of the report."""

    network: Classifier
    translator: Translator | None = None


@dataclass(frozen=True)
class LeftOut:
    """Answers (M, K) about the pairs of a translation of features.

    Attributes:
        rgb: the source model's on the RGB. source: its own on the frames as they are; None: not known.
        translated: the translation's on the frames, fitted and chosen without the pair.
        belong: whether these go with ``rgb`` more than shuffled pairs would.
    """

    rgb: Reals
    source: Reals | None
    translated: Reals
    belong: bool


@dataclass(frozen=True)
class Material:
    """What a report is made from.

    Attributes:
        pairs: how many there were, held-out ones included. held: these; held_runs: lengths of the runs of neighbours.
        models: "source-only", or of a continued run "shipped", first, perhaps "tgmb" or "translate", and "target", what
            ships; an object that is listed twice is run once.
        translation: what a translation of features chose, and why. left_out: its answers about pairs left out. Both are
            None for other methods.
        old: frames that a shipped network knew and that its continuation learnt nothing from; None: there are none.
        store: the target's frames as they were trained on; None: not on the device yet.
    """

    run: Run
    config: AdaptConfig
    sensor: SensorSpec
    classes: tuple[str, ...]
    target: Frames
    pairs: int
    held: Pairs
    held_runs: list[int]
    models: Mapping[str, Model]
    device: torch.device
    translation: dict[str, Any] | None = None
    left_out: LeftOut | None = None
    store: Store | None = None
    old: Frames | None = None

    @property
    def baseline(self) -> str:
        """Name of the model that the target network is compared with."""
        return next(iter(self.models))


@dataclass(frozen=True)
class Answers:
    """What one model answers to N images: ``probabilities`` (N, K), and ``features`` (n, 256) of the images that
    :func:`tgkt_edge.train.nn.predict.compared` names."""

    features: Floats
    probabilities: Floats

    @property
    def named(self) -> NDArray[np.int64]:
        """(N,) the class with the largest probability."""
        named: NDArray[np.int64] = self.probabilities.argmax(1)
        return named


@dataclass(frozen=True)
class Findings:
    """Everything the two reports are written from. ``rgb``: the source model on the held-out RGB. ``old``: by model."""

    answers: dict[str, Answers]
    held: dict[str, Answers]
    rgb: Answers | None
    epochs: list[tuple[str, int, NDArray[np.int64]]]
    metrics: list[dict[str, Any]]
    old: dict[str, Answers] = field(default_factory=dict)
