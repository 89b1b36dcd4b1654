"""One data set whose features are computed once: the rows in closed form of every protocol then take seconds.

What is computed is the product's (:mod:`tgkt_edge.train`); only which images take part is decided here.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from datasets import DataSet
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.data.loading import load_frames, load_images, load_pairs
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.make_source import kept_features, linear_source
from tgkt_edge.train.methods.translation.features import (
    BLOCK,
    FRAME_LAYERS,
    RGB_LAYERS,
    WIDTH,
    Features,
    Kind,
    extract,
)
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.prior import class_shares, log_softmax
from tgkt_edge.train.methods.translation.setting import Of
from tgkt_edge.train.methods.translation.source_features import SHARES
from tgkt_edge.train.methods.translation.translate import Translation, translate
from tgkt_edge.train.nn.checkpoint import digest, load_imagenet
from tgkt_edge.train.nn.device import Compute, open_compute
from tgkt_edge.train.nn.model import Classifier, SceneClassifier, frozen
from tgkt_edge.train.nn.predict import reestimate_batch_norm

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")


class Rows(Features):
    """Some of the rows of features that are in memory."""

    def __init__(self, whole: NDArray[np.float16], index: Ints) -> None:
        super().__init__([], len(index))
        self._whole, self._index = whole, index

    def last(self, width: int) -> Rows:
        """The same with the last ``width`` columns alone."""
        return Rows(self._whole[..., -width:], self._index)

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(number of the first image, (n, V, D) float32)."""
        for start in range(0, len(self._index), BLOCK):
            yield start, self._whole[self._index[start : start + BLOCK]].astype(np.float32)


@dataclass(frozen=True)
class Draw:
    """Which rows of a data set take part: of the source's images, the pairs, the task's frames, and those scored.

    ``paired_frames``: (M,) which frame each RGB image of ``pairs`` is given; the same numbers where pairs belong
    together. ``labelled``: (L,) those of ``frames`` whose classes a person gave.
    """

    source: Ints
    pairs: Ints
    paired_frames: Ints
    frames: Ints
    scored: Ints
    labelled: Ints = field(default_factory=lambda: np.zeros(0, np.int64))


class Bench:
    """A data set in memory, with its features in ``folder``."""

    def __init__(self, data: DataSet, config: AdaptConfig, folder: Path, log: RunLog) -> None:
        self.config, self.log, self._folder = config, log, folder
        self.compute: Compute = open_compute(config)
        side, sensor = resize_side(config.image_size), load_sensor(data.sensor)
        self.offset = sensor.near_offset
        self.depth = self.offset is not None
        images = load_images(data.source, side)
        self.images, self.classes, self.source_labels = images, images.classes, images.labels
        self.frames, _ = load_frames(data.target, sensor, side)
        pairs = load_pairs(data.paired, sensor, side)
        told = read_csv_columns(data.labelled, "--data", ("frame",), ("label",))
        by_file = dict(zip(map(str, told["frame"]), map(str, told["label"]), strict=True))
        listed = read_csv_columns(data.target, "--data", ("frame",))["frame"]
        self.labels: Ints = np.array([self.classes.index(by_file[str(file)]) for file in listed], np.int64)
        self.stores = {
            "source": Store(images.rgb, self.compute.device),
            "target": Store(self.frames.codes, self.compute.device),
            "paired RGB": Store(pairs.rgb, self.compute.device),
            "paired frames": Store(pairs.codes, self.compute.device),
        }
        self.pairs, self.pair_codes = len(pairs), pairs.codes
        self._kept: dict[tuple[str, Kind, str], NDArray[np.float16]] = {}
        self._once: dict[str, Any] = {}

    def once(self, what: tuple[Any, ...], compute: Callable[[], T]) -> T:
        """The result of ``compute``, which is called once for the same ``what``: arrays, numbers and texts."""
        parts = [part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode() for part in what]
        key = hashlib.sha256(b"|".join(parts)).hexdigest()
        if key not in self._once:
            self._once[key] = compute()
        result: T = self._once[key]
        return result

    @cached_property
    def backbone(self) -> nn.Module:
        """The frozen ImageNet network."""
        blank = SceneClassifier(2)
        load_imagenet(blank, self.config.weights)
        found: nn.Module = frozen(self.compute.place(blank)).backbone
        return found

    def whole(self, images: str, kind: Kind) -> NDArray[np.float16]:
        """(N, V, D) of all images "source", "target", "paired RGB" or "paired frames"."""
        return self._whole(images, kind, self.backbone, "")

    def _whole(self, images: str, kind: Kind, backbone: nn.Module, name: str) -> NDArray[np.float16]:
        if (images, kind, name) not in self._kept:
            found = extract(
                images, backbone, self.stores[images], kind, self.config.image_size, self.config.batch,
                self.compute, self.log, self._folder,
            )  # fmt: skip
            self._kept[images, kind, name] = np.concatenate(
                [block.astype(np.float16) for _, block in found.blocks()]
            )
        return self._kept[images, kind, name]

    def rows(self, images: str, kind: Kind, index: Ints, network: nn.Module | None = None) -> Rows:
        """Features of some images, by the frozen ImageNet network or another one."""
        if network is None or network is self.backbone:
            return Rows(self.whole(images, kind), index)
        return Rows(self._whole(images, kind, network, digest(network.state_dict())), index)

    def frames_store(self, rows: Ints) -> Store:
        """Some of the task's frames, for a network that is trained or asked."""
        return Store(self.frames.codes[rows], self.compute.device)

    def pairs_store(self, rows: Ints) -> Store:
        """Frames of some pairs."""
        return Store(self.pair_codes[rows], self.compute.device)

    @property
    def views(self) -> int:
        """Fixed crops of each image."""
        return self.config.translation.views

    def source(self, rows: Ints) -> tuple[Classifier, dict[str, Tensor]]:
        """The source model of some of the source's images, and what is stored beside it."""
        whole = self.rows("source", Kind(FRAME_LAYERS, True, "plain", self.views), rows)
        labels, classes = self.source_labels[rows], len(self.classes)
        model = linear_source(self.backbone, whole, labels, classes, self.config.source.c / self.views)
        beside = {SHARES: torch.from_numpy(class_shares(labels, classes))}
        beside |= kept_features(whole, labels, self.config.source.keep)
        model.backbone = self.backbone  # the copy is the same; translate asks whether it is
        return frozen(self.compute.place(model)), beside

    def translate(
        self,
        source: Classifier,
        beside: dict[str, Tensor],
        draw: Draw,
        config: AdaptConfig | None = None,
        prior: Reals | None = None,
    ) -> Translation:
        """The translation of a draw, as a run would have it."""

        def features(name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
            index = {"target": draw.frames, "paired RGB": draw.pairs, "paired frames": draw.paired_frames}
            return self.rows(images, kind, index[images], network)

        cfg = (config or self.config).translation
        given = Labelled(np.searchsorted(draw.frames, draw.labelled), self.labels[draw.labelled])

        def compute() -> Translation:
            found = translate(
                source, beside, self.backbone, features, self.offset, len(draw.pairs), prior, cfg, self.log,
                labelled=given if len(given) else None,
            )  # fmt: skip
            found.network.backbone = self.backbone  # the copy is the same, and large
            return found

        parts = (draw.source, draw.pairs, draw.paired_frames, draw.frames, draw.labelled)
        model = digest(source.state_dict()) if source.backbone is not self.backbone else ""
        return self.once((*parts, cfg, prior, model, *sorted(beside)), compute)

    def answers(self, network: Classifier, rows: Ints, images: str = "target") -> Reals:
        """(n, K) probabilities of a network on the frozen backbone, central view, from its features."""
        kind = Kind(FRAME_LAYERS, True, "normals" if network.normals else "plain", self.views)
        found = self.whole(images, kind)[rows, 0].astype(np.float32)
        x = (
            found[:, -network.width :] - network.standard.mean.cpu().numpy()
        ) / network.standard.scale.cpu().numpy()
        weight, bias = (
            network.classifier.weight.detach().cpu().numpy(),
            network.classifier.bias.detach().cpu().numpy(),
        )
        result: Reals = np.exp(log_softmax((x @ weight.T + bias).astype(np.float64)))
        return result

    def seen(self, source: Classifier, rows: Ints) -> Floats:
        """(n, 2048) features that the source model sees of the task's frames, central view."""
        kind = Kind(FRAME_LAYERS, True, "plain", self.views)
        found = self.whole("target", kind)[rows, 0, -WIDTH:].astype(np.float32)
        result: Floats = (found - source.standard.mean.cpu().numpy()) / source.standard.scale.cpu().numpy()
        return result

    def bn_answers(self, source: Classifier, adapted: Ints, rows: Ints) -> Reals:
        """(n, K) of the source model with the batch-norm statistics of the task's frames ``adapted``."""
        features = self.once((adapted, rows), lambda: self._bn_features(source, adapted)[rows, 0])
        x = (features - source.standard.mean.cpu().numpy()) / source.standard.scale.cpu().numpy()
        weight = source.classifier.weight.detach().cpu().numpy().T
        logits = x @ weight + source.classifier.bias.detach().cpu().numpy()
        result: Reals = np.exp(log_softmax(logits.astype(np.float64)))
        return result

    def _bn_features(self, source: Classifier, adapted: Ints) -> NDArray[np.float16]:
        """(N, 1, 2048): of the backbone alone, which is the same whatever head the source model has."""
        other = copy.deepcopy(source)
        reestimate_batch_norm(
            other, self.frames_store(adapted), self.config.image_size, self.config.batch, self.compute
        )
        name = f"{adapted.tobytes()!r}"
        kind = Kind(RGB_LAYERS, True, "plain", 1)
        found = self._whole("target", kind, other.backbone, name)
        self._kept.pop(("target", kind, name))
        return found


def scores(probabilities: Reals, labels: Ints) -> tuple[float, float]:
    """Accuracy and the mean recall of the classes that occur."""
    right = probabilities.argmax(1) == labels
    return float(right.mean()), float(np.mean([right[labels == k].mean() for k in np.unique(labels)]))
