"""Continuing in closed form: the shipped network teaches, and its own features get a new linear head.

Nothing of RGB is needed: the shipped network answers frames of this sensor, and what it lacks is how frames of the new
place look. Its answers, the mean over a few views, are self-trained and spread among frames that look alike, as those
of a translation are; the frames are the new ones together with the old ones, as far as these are there, so that the
new head keeps what the network knew.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tgkt_edge.config import AdaptConfig, TranslationConfig
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.answers import Taught, teach
from tgkt_edge.train.methods.translation.features import (
    FRAME_LAYERS,
    Encoding,
    Features,
    Kind,
    extract,
    fixed_views,
)
from tgkt_edge.train.methods.translation.fit import FrameFeatures, TaskFrames, main_directions
from tgkt_edge.train.methods.translation.head import fit_head, set_head, with_head
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.prior import log_softmax
from tgkt_edge.train.methods.translation.softmax_regression import Linear
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.imported import resnet50_in
from tgkt_edge.train.nn.model import Classifier, normalise
from tgkt_edge.train.nn.named_network import NamedClassifier

Reals = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Continued:
    """The ``network`` with its new head, frozen, on the CPU, and what taught it: rows are the new frames, then old."""

    network: Classifier
    taught: Taught


def continue_network(
    shipped: Classifier,
    frames: Store,
    given_prior: Reals | None,
    labelled: Labelled | None,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    folder: Path,
) -> Continued:
    """A new head for the shipped network's features.

    Args:
        shipped: frozen, on the device. frames: the new ones, then the old ones.
        given_prior: (K,) of a file; None: as ``translation.prior`` names it.
        labelled: frames whose classes a person gave. folder: of features.
    """
    backbone, kind = features_of(shipped, config.translation.views)
    features = extract(
        "frames", backbone, frames, kind, config.image_size, config.batch, compute, log, folder
    )
    with log.progress("answers", 3) as advance:
        logits = mean_answers(shipped, features, frames, config, compute)
        advance(1)
        taught = taught_by_shipped(features, logits, given_prior, labelled, config.translation)
        advance(1)
        fitted = fit_new_head(features, taught, config.translation)
        advance(1)
    if isinstance(shipped, NamedClassifier):
        network: Classifier = copy.deepcopy(shipped).cpu()
        set_head(network, *fitted)
    else:
        network = with_head(backbone, FRAME_LAYERS, *fitted, shipped.normals)
    return Continued(network.eval().requires_grad_(False), taught)


def taught_by_shipped(
    features: Features,
    logits: Reals,
    given_prior: Reals | None,
    labelled: Labelled | None,
    cfg: TranslationConfig,
) -> Taught:
    """The teacher of N frames.

    The shares of the classes are those of the shipped network's answers to these very frames: it knows the sensor, and
    shares of another place would call frames of classes that are not there: in trials with two classes of five at the
    new place that cost three to ten points more.

    Args:
        features: (N, V, D). logits: (N, K) of the shipped network, the mean over views.
        given_prior: (K,) of a file; None: as ``cfg.prior`` names it, "estimated" being the shares as above.
    """
    moments = Moments()
    for _, block in features.blocks():
        moments.add(block.reshape(-1, block.shape[-1]))
    task = TaskFrames([FrameFeatures(features, features, moments.mean, moments.scale)], None)
    components = main_directions(task, max(2, min(cfg.components, len(features) // 3)))
    own = np.exp(log_softmax(logits)).mean(0)
    prior = own if given_prior is None and cfg.prior == "estimated" else given_prior
    return teach([logits], components, own, prior, cfg, labelled)


def fit_new_head(features: Features, taught: Taught, cfg: TranslationConfig) -> tuple[Moments, Linear]:
    """A head on (N, V, D) features, and what they are standardised by."""
    return fit_head(features, taught.labels, cfg.head_c / (len(features) * cfg.views))


def features_of(shipped: Classifier, views: int) -> tuple[nn.Module, Kind]:
    """The part of the network whose features describe a frame, and how they are computed: of a ResNet-50 what the
    translation uses, of another network what its own head sees."""
    encoding: Encoding = "normals" if shipped.normals else "plain"
    if isinstance(shipped, NamedClassifier):
        return nn.Sequential(shipped.backbone, nn.Flatten()), Kind((), False, encoding, views)
    found = resnet50_in(shipped)
    assert found is not None  # refused before anything was written
    return found, Kind(FRAME_LAYERS, True, encoding, views)


@torch.inference_mode()
def mean_answers(
    shipped: Classifier, features: Features, frames: Store, config: AdaptConfig, compute: Compute
) -> Reals:
    """(N, K) logits of the shipped network, the mean over the fixed views."""
    found = []
    if isinstance(shipped, NamedClassifier) or shipped.pooled == FRAME_LAYERS:  # its head sees these features
        for _, block in features.blocks():
            x = torch.from_numpy(block).to(compute.device)
            found.append(shipped.classifier(shipped.standard(x)).double().mean(1).cpu())
        return torch.cat(found).numpy()
    for start in range(0, len(frames), config.batch):
        index = np.arange(start, min(start + config.batch, len(frames)))
        total = torch.zeros(len(index), shipped.num_classes, dtype=torch.float64)
        for view in fixed_views(index, frames.side, config.image_size, config.translation.views):
            with compute.autocast():
                logits = shipped(normalise(frames.take(view, config.image_size)))
            total += logits.double().cpu()
        found.append(total / config.translation.views)
    return torch.cat(found).numpy()
