"""One scale for every imported model: no loss, pseudo-label or correlation depends on how large its logits are.

The same classes whatever the factor in its last layer: features are measured in their own spread, and logits divided by
a temperature that brings theirs to what label smoothing leaves, on RGB images that are at hand: those of the pairs.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.nn.checkpoint import Header
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.source_import.header_keys import FITTED, IMPORT

SMOOTHING = 0.1
"""The label smoothing that source models of this program are trained with."""


def usual_spread(classes: int) -> float:
    """Standard deviation of the centred logits of K classes that reproduce labels smoothed by SMOOTHING."""
    top = math.log((1 - SMOOTHING + SMOOTHING / classes) / (SMOOTHING / classes))
    return top * math.sqrt(classes - 1) / classes


def is_fitted(header: Header) -> bool:
    """Whether :func:`fit_scale` was there, or is not needed."""
    return FITTED in header.extra.get(IMPORT, {FITTED: True})


def fit_scale(model: ImportedClassifier, header: Header, raw: Features, what: str) -> Header:
    """Standardise ``model``'s features and divide its logits by a temperature, in place; its classes stay.

    Args:
        raw: of ``model.backbone``, of RGB images of any scenes. what: those are, for the header.
    """
    moments = Moments()
    for _, block in raw.blocks():
        moments.add(block.reshape(-1, block.shape[-1]))
    scale = moments.scale  # infinite where a feature never changed
    finite = np.isfinite(scale)
    scale = np.where(finite, scale, np.median(scale[finite]) if finite.any() else 1.0)
    model.standardize(torch.from_numpy(moments.mean), torch.from_numpy(scale))
    head = model.classifier
    head.temperature.fill_(1.0)
    with torch.no_grad():
        logits = []
        for _, block in raw.blocks():
            rows = torch.from_numpy((block.reshape(-1, block.shape[-1]) - moments.mean) / scale).float()
            logits.append(head(rows.to(head.linear.weight.device)).double())
        found = torch.cat(logits)
        spread = float((found - found.mean(1, keepdim=True)).std())
        temperature = max(spread, 1e-12) / usual_spread(model.num_classes)
        head.temperature.fill_(temperature)
    about = {**header.extra[IMPORT], FITTED: {"on": what, "images": len(raw), "temperature": temperature}}
    return dataclasses.replace(header, extra={**header.extra, IMPORT: about})
