"""The frozen teacher of TGKT: what F_s and C answer to target frames through T, and F_s to the RGB of pairs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator
from tgkt_edge.train.nn.predict import NO_FEATURES, predict_target, reestimate_batch_norm


@dataclass(frozen=True)
class Teacher:
    """All networks frozen, in evaluation mode, on the device.

    Attributes:
        source: F_s and C, for RGB. translated_source: the same weights, perhaps with the batch-norm statistics of T(x).
        translator: T, or None where frames enter as they are.
    """

    source: Classifier
    translated_source: Classifier
    translator: Translator | None
    compute: Compute

    @torch.no_grad()
    def logits(self, frames: Tensor) -> Tensor:
        """C(F_s(T(x))), (B, K) float32, of normalised frames (B, 3, S, S)."""
        with self.compute.autocast():
            seen = frames if self.translator is None else self.translator(frames)
            return self.translated_source(seen).float()  # type: ignore[no-any-return]

    @torch.no_grad()
    def features(self, rgb: Tensor) -> Tensor:
        """F_s(x), (B, 256) float32, of normalised RGB (B, 3, S, S)."""
        with self.compute.autocast():
            return self.source.features(rgb).float()

    def answers(self, target: Store, config: AdaptConfig) -> Tensor:
        """softmax C(F_s(T(x))), (N, K) float32, of the central crops of all target frames."""
        size, batch = config.image_size, config.batch
        logits = predict_target(
            self.translated_source, target, size, batch, self.compute, self.translator, kept=NO_FEATURES
        )[1]
        return logits.softmax(1)


def make_teacher(
    source: Classifier, translator: Translator, target: Store, config: AdaptConfig, compute: Compute
) -> Teacher:
    """The teacher that ``tgkt.teacher_input`` and ``tgkt.teacher_norm`` ask for."""
    through = translator if config.tgkt.teacher_input == "translated" else None
    translated_source = source
    if config.tgkt.teacher_norm == "translated":
        translated_source = copy.deepcopy(source)
        reestimate_batch_norm(translated_source, target, config.image_size, config.batch, compute, through)
    return Teacher(source, translated_source, through, compute)
