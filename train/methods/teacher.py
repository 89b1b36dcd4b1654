"""The frozen teacher of TGKT: what it says of a view never changes, so a view seen again is not computed again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.train.batches import Store, Views
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, normalise

Slots = NDArray[np.int64]


class Teacher:
    """C(F_s(T(x))) of target frames and F_s(x) of paired RGB.

    Args:
        source: F_s and C, for RGB. translated_source: the same weights, with the batch-norm statistics for T(x).
        translator: T, or what replaces it.
        views: how many fixed views each image has; their outputs are kept. 0: nothing is kept.
    """

    def __init__(
        self,
        source: Classifier,
        translated_source: Classifier,
        translator: nn.Module,
        target: Store,
        paired_rgb: Store,
        size: int,
        compute: Compute,
        views: int,
    ) -> None:
        self._source, self._translated, self._translator, self._rgb = (
            source,
            translated_source,
            translator,
            paired_rgb,
        )
        self._size, self._compute = size, compute
        self._logits = Memo(len(target), views, source.num_classes, compute.device) if views else None
        self._features = Memo(len(paired_rgb), views, source.width, compute.device) if views else None

    @torch.no_grad()
    def logits(self, frames: Tensor, views: Views, slots: Slots | None) -> Tensor:
        """(B, K) float32 of the normalised ``frames`` (B, 3, S, S) that ``views`` cut out."""

        def compute(rows: Tensor) -> Tensor:
            with self._compute.autocast():
                return self._translated(self._translator(frames[rows])).float()  # type: ignore[no-any-return]

        return _remembered(self._logits, views, slots, compute, frames.device)

    @torch.no_grad()
    def features(self, views: Views, slots: Slots | None) -> Tensor:
        """(B, width) float32, F_s of the paired RGB that ``views`` cut out."""

        def compute(rows: Tensor) -> Tensor:
            rgb = normalise(self._rgb.take(views[rows.cpu().numpy()], self._size))
            with self._compute.autocast():
                return self._source.features(rgb).float()

        return _remembered(self._features, views, slots, compute, self._compute.device)


class Memo:
    """Rows of ``width`` numbers by (image, view): ``values`` (N, V, width) and which of them are ``known`` (N, V)."""

    def __init__(self, images: int, views: int, width: int, device: torch.device) -> None:
        self.values = torch.zeros(images, views, width, device=device)
        self.known = torch.zeros(images, views, dtype=torch.bool, device=device)


def _remembered(
    memo: Memo | None,
    views: Views,
    slots: Slots | None,
    compute: Callable[[Tensor], Tensor],
    device: torch.device,
) -> Tensor:
    """``compute`` for the rows of a batch (indices into ``views``) that are not known yet, the others from memory."""
    if memo is None or slots is None:
        return compute(torch.arange(len(views), device=device))
    index, slot = torch.from_numpy(views.index).to(device), torch.from_numpy(slots).to(device)
    rows = (~memo.known[index, slot]).nonzero()[:, 0]
    if len(rows):
        memo.values[index[rows], slot[rows]] = compute(rows)
        memo.known[index[rows], slot[rows]] = True
    return memo.values[index, slot]
