"""What the labelled images of the source model add to a translation: a head of their own, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.features import WIDTH, Features
from tgkt_edge.train.methods.translation.fit import FrameFeatures, TaskFrames, fit, translated_logits
from tgkt_edge.train.methods.translation.reverse import Head, reverse_logits, standard_of, standard_over
from tgkt_edge.train.methods.translation.softmax_regression import (
    balancing_weights,
    one_hot,
    softmax_regression,
)
from tgkt_edge.train.methods.translation.source_features import EARLY, FEATURES, LABELS

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class SourceImages:
    """Features of some of the source's labelled images, and of the pairs' RGB by the same network.

    Attributes:
        beside: FEATURES and LABELS, as they are stored with a source model, and for :meth:`back` as a correction of the
            identity EARLY. rgb: of the pairs; the same layers.
        standard: last layer to mean 0 and spread 1 over the source's images; None: over those whose features these are.
        classes: K. cfg: options of the translation.
    """

    beside: Mapping[str, Tensor]
    rgb: Features
    standard: Callable[[Floats], Floats] | None
    classes: int
    cfg: TranslationConfig

    def __len__(self) -> int:
        return len(self.beside[LABELS])

    def back(self, task: TaskFrames, corrected: bool, heads: Sequence[Head]) -> dict[Head, Reals]:
        """(N, K) of the task's frames by the way back; ``corrected``: as a correction of the identity, else by each of
        ``heads``.
        """
        cfg = self.cfg
        own = self._features(EARLY, FEATURES) if corrected else self._features(FEATURES)
        rgb = self.rgb if corrected else self.rgb.last(WIDTH)
        standard = standard_over(self.rgb) if corrected else self.standard or standard_of(own)
        return reverse_logits(
            task, rgb, standard, own, self.beside[LABELS].numpy(), self.classes, cfg.reverse * cfg.views,
            cfg.reverse_c / cfg.views, corrected, heads,
        )  # fmt: skip

    def forward(self, frames: Sequence[FrameFeatures], start: FrameFeatures | None, strength: float) -> Reals:
        """(N, K) by a class-balanced head on these features, to which the frames are translated.

        That is what a source model is that this program makes of the same images.

        Args:
            frames: the encodings that are used. start: what the ridge corrects, the frame's own last layer; None: it
                starts from zero. strength: of the ridge, for one view of a pair.
        """
        own, labels = self._features(FEATURES), self.beside[LABELS].numpy()
        standard = self.standard or standard_of(own)
        views = own.shape[1]
        rows = one_hot(labels, self.classes) * balancing_weights(labels, self.classes)[:, None]
        known = standard(own).reshape(-1, own.shape[-1]), np.repeat(rows, views, 0)
        head = softmax_regression(lambda: [known], self.cfg.reverse_c / views)
        weights = fit(frames, start, self.rgb.last(WIDTH), standard, strength * self.cfg.views)
        return translated_logits(TaskFrames(frames, start), weights, head)

    def _features(self, *names: str) -> Floats:
        """(S, V, D) raw."""
        result: Floats = np.concatenate([self.beside[name].float().numpy() for name in names], -1)
        return result
