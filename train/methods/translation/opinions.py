"""What the translations answer: of frames to what the source model sees, and, with its images, of these to frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.choice import Candidate
from tgkt_edge.train.methods.translation.estimated_prior import TRUSTED, TRUSTED_OF_MEANS
from tgkt_edge.train.methods.translation.fit import TaskFrames, fit, translated_logits
from tgkt_edge.train.methods.translation.reverse import HEADS, mean_opinion
from tgkt_edge.train.methods.translation.second_opinion import favored
from tgkt_edge.train.methods.translation.setting import PairInputs, Setting, TaskInputs
from tgkt_edge.train.methods.translation.source_features import SourceFeatures
from tgkt_edge.train.methods.translation.source_images import SourceImages

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Opinions:
    """Of N frames.

    Attributes:
        logits: (N, K) of one translation, or of two.
        reverse: which head of the way back was taken and why; None without one.
        images: labelled images of the source model that the second learned from.
        trusted_prior: how far the class shares count that are estimated from these, see :func:`class_prior.priors`.
    """

    logits: list[Reals]
    reverse: dict[str, Any] | None
    images: int
    trusted_prior: tuple[float, float]


def opinions_of(
    setting: Setting,
    chosen: Candidate,
    pairs: PairInputs,
    task: TaskInputs,
    seen: SourceFeatures,
    beside: Mapping[str, Tensor],
    prior: Reals | None,
    cfg: TranslationConfig,
    fitted: Callable[[], None] = lambda: None,
) -> Opinions:
    """Fit the chosen translation on all pairs, and the way back where it helps.

    Args:
        beside: stored with the source model. prior: (K,) class shares that are known.
        fitted: called after the first fit.
    """
    forth = _translated(task.frames, pairs, seen, chosen, cfg)
    fitted()
    if task.own_look is not None:
        corrected = TaskFrames(task.frames.frames, task.own_look)
        forth = mean_opinion([forth, _translated(corrected, pairs, seen, chosen, cfg)], cfg.scale)
    if not setting.goes_back(chosen):
        return Opinions([forth], None, 0, TRUSTED)
    standard = None if setting.imported else seen.standard
    images = SourceImages(beside, pairs.rgb_as_kept, standard, setting.source.num_classes, cfg)
    if setting.imported:  # read off its own features, and off those that its images are known by
        generic = images.forward(task.frames.frames, task.own, chosen.strength)
        forth = mean_opinion([forth, generic], cfg.scale)
    # Of an imported model the class means were not measured yet.
    heads = "regression" if setting.imported and cfg.reverse_head == "auto" else cfg.reverse_head
    back = images.back(task.back, setting.corrects_back and chosen.identity, HEADS[heads])
    name, information = favored(forth, back, prior, cfg.scale)
    return Opinions(
        [forth, back[name]],
        {"head": name, "information": information},
        len(images),
        TRUSTED_OF_MEANS if name == "means" else TRUSTED,
    )


def _translated(
    task: TaskFrames, pairs: PairInputs, seen: SourceFeatures, chosen: Candidate, cfg: TranslationConfig
) -> Reals:
    """(N, K) logits: fitted on all pairs, then the frames through the source's head."""
    weights = fit(task.frames, task.last, pairs.rgb, seen.standard, chosen.strength * cfg.views)
    return translated_logits(task, weights, seen.head)
