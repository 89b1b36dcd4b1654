"""Evaluation-mode passes over all frames: central crop, no gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tgkt_edge.train.compute import Compute
from tgkt_edge.train.model import SceneClassifier, normalise
from tgkt_edge.train.views import Store, center_views


@torch.no_grad()
def predict_target(
    model: SceneClassifier,
    frames: Store,
    size: int,
    batch: int,
    compute: Compute,
    translator: nn.Module | None = None,
) -> tuple[Tensor, Tensor]:
    """Features and logits of every image in ``frames``, in order; ``model`` is left in evaluation mode.

    Args:
        translator: if given, frames go through it first (the TGMB path); otherwise they enter as they are.

    Returns:
        (N, 256) and (N, K) float32 on the device.
    """
    model.eval()
    features, logits = [], []
    for start in range(0, len(frames), batch):
        index = np.arange(start, min(start + batch, len(frames)))
        x = normalise(frames.take(center_views(index, frames.side, size), size))
        with compute.autocast():
            f = model.features(x if translator is None else translator(x))
            logits.append(model.classifier(f).float())
        features.append(f.float())
    return torch.cat(features), torch.cat(logits)


@torch.no_grad()
def reestimate_batch_norm(
    model: SceneClassifier,
    frames: Store,
    size: int,
    batch: int,
    compute: Compute,
    translator: nn.Module | None = None,
) -> None:
    """Replace the running statistics of every batch norm by those of ``frames``; no weight changes.

    Batch norm trained on RGB shifts and scales sensor frames by the wrong numbers (adaptive batch normalisation, Li
    et al., 2016). Means and variances are averaged over batches of equal weight, central crops.

    Args:
        translator: if given, frames go through it first. ``model`` is left in evaluation mode.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average instead of a decaying one
        norm.train()
    for index in np.array_split(np.arange(len(frames)), -(-len(frames) // batch)):
        x = normalise(frames.take(center_views(index, frames.side, size), size))
        with compute.autocast():
            model(x if translator is None else translator(x))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
