"""Stage 1 by either mode: a linear head on a frozen backbone, or the whole network trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Images, spread
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.source import load_pretrained, train_source
from tgkt_edge.train.methods.translation.features import (
    FRAME_LAYERS,
    RGB_LAYERS,
    WIDTH,
    Features,
    Kind,
    extract,
)
from tgkt_edge.train.methods.translation.head import fit_head, with_head
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.prior import class_shares
from tgkt_edge.train.methods.translation.softmax_regression import balancing_weights, one_hot
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    MEAN,
    SHARES,
    SPREAD,
)
from tgkt_edge.train.nn.checkpoint import Header
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, frozen
from tgkt_edge.train.nn.unfilled import unless_random
from tgkt_edge.train.resume_state import StageState

Ints = NDArray[np.int64]


def make_source(
    images: Images, config: AdaptConfig, compute: Compute, log: RunLog, state: StageState, folder: Path
) -> tuple[SceneClassifier, Header]:
    """The source model in evaluation mode, and its header with the shares of the classes.

    A network that was trained whole also gets mean and spread of its pooled features, which a translation aims at; both
    get the features of some images (``source.keep``), from which a translation the other way learns: of the last layer,
    and where the backbone is generic, of the two before it, which frames that look like RGB have as well.

    Args:
        folder: where features are kept.
    """
    classes = len(images.classes)
    beside = {SHARES: torch.from_numpy(class_shares(images.labels, classes))}
    store = Store(images.rgb, compute.device)
    views = config.translation.views

    def features(model: SceneClassifier, layers: tuple[int, ...], unit: bool) -> Features:
        kind = Kind(layers, unit, "plain", views)
        return extract(
            "RGB of the source",
            model.backbone,
            store,
            kind,
            config.image_size,
            config.batch,
            compute,
            log,
            folder,
        )

    if config.linear_source:
        with unless_random(config.weights):  # of the head nothing is used
            blank = SceneClassifier(classes)
        load_pretrained(blank, config, log)
        blank = frozen(compute.place(blank))
        whole = features(blank, FRAME_LAYERS if config.source.keep else RGB_LAYERS, True)
        model = linear_source(blank.backbone, whole, images.labels, classes, config.source.c / views)
    else:
        model = train_source(images, config, compute, log, state)
        whole = features(model, RGB_LAYERS, False)
        moments = Moments()
        for _, block in whole.blocks():
            moments.add(block.reshape(-1, block.shape[-1]))
        beside |= {MEAN: torch.from_numpy(moments.mean), SPREAD: torch.from_numpy(moments.scale)}
    if config.source.keep:
        beside |= kept_features(whole, images.labels, config.source.keep)
    return model, Header("source", images.classes, config.image_size, beside=beside)


def linear_source(
    backbone: nn.Module, features: Features, labels: Ints, classes: int, c: float
) -> SceneClassifier:
    """A class-balanced linear head on the frozen backbone's last layer, which is the last of ``features``.

    Args:
        features: (N, V, D) of the source's images. labels: (N,). c: of the softmax regression, for one view.
    """
    rows = one_hot(labels, classes) * balancing_weights(labels, classes)[:, None]
    return with_head(backbone, RGB_LAYERS, *fit_head(features.last(WIDTH), rows, c))


def kept_features(features: Features, labels: Ints, most: int) -> dict[str, Tensor]:
    """What is stored beside a source model of up to ``most`` of its images, evenly spread, by name."""
    kept = np.array(spread(len(features), most))
    found = torch.from_numpy(features.rows(kept)).half()
    early, last = found[..., :-WIDTH], found[..., -WIDTH:]
    beside = {FEATURES: last.contiguous(), LABELS: torch.from_numpy(labels[kept])}
    return {**beside, EARLY: early.contiguous()} if early.shape[-1] else beside
