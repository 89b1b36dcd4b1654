"""What the source model, the sensor and the options leave to choose, and the features that this takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.choice import MOST, Candidate, PairFeatures
from tgkt_edge.train.methods.translation.features import (
    FRAME_LAYERS,
    RGB_LAYERS,
    WIDTH,
    Encoding,
    Features,
    Kind,
)
from tgkt_edge.train.methods.translation.fit import FrameFeatures, TaskFrames, together
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    SourceFeatures,
    kind_of,
)
from tgkt_edge.train.nn.imported import ImportedClassifier, resnet50_in
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.time_left import OWN_LOOK, WAY_BACK

Floats = NDArray[np.float32]

STARTS = {"zero": (False,), "identity": (True,)}

RELATIVE: Encoding = "relative normals"
"""Of depth, where generic features describe the frames. A backbone that learnt nothing but the task's RGB reads normals
of the code better (benchmarks/results/demo.md)."""

FEW_PAIRS = 100
"""Of depth, below which there is no way back: from zero, it asks too much of so few and does more harm than good."""

Of = Literal["paired RGB", "paired frames", "target"]
"""Images that have features."""


class Look(Protocol):
    """Gives features of images; they are computed when they are asked for."""

    def __call__(self, name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        """``name`` is for the person who waits."""


@dataclass(frozen=True)
class Setting:
    """One source model, one network that describes frames, one kind of sensor.

    Attributes:
        source: frozen. backbone: whose features describe the frames: ImageNet's, or the source's own.
        depth: frames are depth maps. imported: the source model was trained by another program.
        shared: what the source model sees of a frame is among the features that describe it.
        kept: features of labelled images lie beside the source model, and the way back is wanted.
        corrects_back: the way back corrects the identity, which takes all layers of both: frames look like RGB, and all
            layers of the source's images are there.
        own_look: how an imported source model is itself shown depth, for a second reading of the pairs that corrects
            what it sees; None: there is none. With its labelled images their generic features bring as much.
        encodings: groups to choose among. starts: whether W corrects the identity: values to choose among.
        views: of each image. offset: of depth, the distance of code 0 in code ranges.
    """

    source: Classifier
    backbone: nn.Module
    depth: bool
    imported: bool
    shared: bool
    kept: bool
    corrects_back: bool
    own_look: Encoding | None
    encodings: tuple[tuple[Encoding, ...], ...]
    starts: tuple[bool, ...]
    views: int
    offset: float

    @classmethod
    def of(
        cls,
        source: Classifier,
        beside: Mapping[str, Tensor],
        backbone: nn.Module,
        offset: float | None,
        pairs: int,
        cfg: TranslationConfig,
    ) -> Setting:
        """See :func:`tgkt_edge.train.methods.translation.translate.translate`."""
        imported, depth = isinstance(source, ImportedClassifier), offset is not None
        generic = source.pooled != () or backbone is not resnet50_in(source)
        shared = backbone is source.backbone and source.pooled != ()
        # A head on generic features half understands a depth map as it is; from other features it starts from zero.
        starts = STARTS.get(cfg.start, (shared,) if depth else (False, True))
        enough = pairs >= FEW_PAIRS or starts == (False,) or not (depth and shared)
        kept = bool(cfg.reverse) and {FEATURES, LABELS} <= beside.keys() and enough
        encodings = encodings_of(cfg.encodings, (RELATIVE if generic else "normals") if depth else None)
        looks = looks_itself(source) and depth and not kept and cfg.start == "auto"
        return cls(
            source=source,
            backbone=backbone,
            depth=depth,
            imported=imported,
            shared=shared,
            kept=kept,
            corrects_back=kept and (shared or imported) and not depth and EARLY in beside,
            own_look="normals" if looks and encodings != (("plain",),) else None,
            encodings=encodings,
            starts=starts,
            views=cfg.views,
            offset=offset or 0.0,
        )

    @property
    def identity(self) -> bool:
        """Whether correcting the identity is tried."""
        return True in self.starts

    def goes_back(self, chosen: Candidate) -> bool:
        """Whether a way back is a second opinion beside this translation.

        Beside a corrected identity it is one of the same kind; of depth, which looks too little like RGB for that, and
        of imported models it starts from zero.
        """
        from_zero = self.imported or (self.depth and self.shared)
        return self.kept and (not chosen.identity or self.corrects_back or from_zero)

    def back_to(self, chosen: Candidate) -> tuple[Encoding, ...]:
        """Encodings of the frame that the way back leads to: those of the translation; of depth whose identity is
        corrected all, since pairs chose for a map that starts with the plain frame."""
        if self.depth and self.shared and chosen.identity:
            return tuple(dict.fromkeys(name for group in self.encodings for name in group))
        return chosen.encodings

    def frame_kind(self, encoding: Encoding) -> Kind:
        """How features are computed that describe a frame."""
        offset = self.offset if encoding == RELATIVE else 0.0
        return Kind(FRAME_LAYERS, True, encoding, self.views, offset)

    @property
    def source_kind(self) -> Kind:
        """How features are computed that the source model sees."""
        return kind_of(self.source, self.views)


@dataclass(frozen=True)
class PairInputs:
    """Features of all pairs.

    Attributes:
        rgb: what the source model sees of the RGB.
        rgb_as_kept: of the RGB, by the network and layers that the stored features of the source's images are of.
        frames: by encoding.
        seen: what the source model sees of the frames as they are; None where that is neither tried nor at hand.
        own: what it sees of them in the setting's ``own_look``; None without one.
    """

    rgb: Features
    rgb_as_kept: Features
    frames: Mapping[Encoding, Features]
    seen: Features | None
    own: Features | None

    def rows(self) -> NDArray[np.int64]:
        """(M,) numbers of the pairs that the choice is made on, evenly spread over all."""
        count = len(self.rgb)
        return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(np.int64))

    def for_choice(self, rows: NDArray[np.int64], setting: Setting, standard: SourceFeatures) -> PairFeatures:
        """In memory and standardised; ``standard`` knows how for the RGB."""
        names = dict.fromkeys(name for group in setting.encodings for name in group)
        return PairFeatures(
            {name: _standardised(self.frames[name].rows(rows)) for name in names},
            _standardised(self.seen.rows(rows)) if setting.identity and self.seen is not None else None,
            standard.standard(self.rgb.rows(rows)),
        )


def looks_itself(source: Classifier) -> bool:
    """Whether it is a model of another program that may look at depth itself: it has features before its last layer.

    Of a program that only answers there are no others than its logits, for which this was not measured.
    """
    return isinstance(source, ImportedClassifier) and not source.teacher_only


def look_at_pairs(setting: Setting, features: Look) -> PairInputs:
    """Features of the pairs that this setting takes."""
    source, backbone = setting.source, setting.backbone
    layers = FRAME_LAYERS if setting.corrects_back else RGB_LAYERS
    if setting.imported:  # what is stored of its images was computed by the network that describes the frames
        rgb = features("RGB of pairs", source.backbone, "paired RGB", setting.source_kind)
        generic = Kind(layers, True, "plain", setting.views)
        as_kept = features(WAY_BACK, backbone, "paired RGB", generic) if setting.kept else rgb
    else:
        kind = dataclasses.replace(setting.source_kind, layers=layers)
        as_kept = features("RGB of pairs", source.backbone, "paired RGB", kind)
        rgb = as_kept.last(WIDTH) if setting.corrects_back else as_kept
    needed: list[Encoding] = ["plain"] if setting.identity and setting.shared else []
    needed += [name for group in setting.encodings for name in group]
    frames = {
        name: features(f"{name} frames of pairs", backbone, "paired frames", setting.frame_kind(name))
        for name in dict.fromkeys(needed)
    }
    seen = None
    if setting.shared:
        seen = frames["plain"].last(WIDTH) if "plain" in frames else None
    elif setting.identity:
        seen = features(
            "frames of pairs to the source model", source.backbone, "paired frames", setting.source_kind
        )
    return PairInputs(rgb, as_kept, frames, seen, _own_look(setting, "paired frames", features))


@dataclass(frozen=True)
class TaskInputs:
    """Features of the task's frames, as the chosen translation takes them.

    Attributes:
        network: what the network is fitted on that is exported. normals: whether these are surface normals.
        frames: those that are translated, and what the translation corrects. back: those that the way back leads to.
        own: the plain frame's last layer, where the identity is corrected and the plain frame is at hand; of a source
            model of ours only where that is what it sees.
        own_look: what an imported model sees of the frames in the setting's ``own_look``; None without one.
    """

    network: Features
    normals: bool
    frames: TaskFrames
    back: TaskFrames
    own: FrameFeatures | None
    own_look: FrameFeatures | None


def look_at_frames(setting: Setting, chosen: Candidate, pairs: PairInputs, features: Look) -> TaskInputs:
    """Features of the task's frames that the chosen translation takes, and no others."""
    needed: list[Encoding] = ["plain"] if chosen.identity and setting.shared else []
    back_to = setting.back_to(chosen) if setting.goes_back(chosen) else chosen.encodings
    found = {
        name: together(
            pairs.frames[name],
            _of_task(setting, name, features),
        )
        for name in dict.fromkeys((*needed, *chosen.encodings, *back_to))
    }
    own = start = None
    if chosen.identity:
        if "plain" in found and (setting.shared or setting.imported):
            own = together(pairs.frames["plain"].last(WIDTH), found["plain"].task.last(WIDTH))
        assert pairs.seen is not None  # it was tried
        start = own if setting.shared else together(pairs.seen, _seen_of_task(setting, features))
    frames, back = (
        TaskFrames([found[name] for name in names], first)
        for names, first in ((chosen.encodings, start), (back_to, None))
    )
    normals = chosen.encodings != ("plain",)
    known = found.get("normals" if normals else "plain")
    network = _of_task(setting, "normals", features) if known is None else known.task
    look = _own_look(setting, "target", features)
    own_look = None if pairs.own is None or look is None else together(pairs.own, look)
    return TaskInputs(network, normals, frames, back, own, own_look)


def _of_task(setting: Setting, encoding: Encoding, features: Look) -> Features:
    return features(
        f"{encoding} frames of the task", setting.backbone, "target", setting.frame_kind(encoding)
    )


def _seen_of_task(setting: Setting, features: Look) -> Features:
    network, kind = setting.source.backbone, setting.source_kind
    return features("frames of the task to the source model", network, "target", kind)


def _own_look(setting: Setting, images: Of, features: Look) -> Features | None:
    if setting.own_look is None:
        return None
    kind = dataclasses.replace(setting.source_kind, encoding=setting.own_look)
    return features(OWN_LOOK[images], setting.source.backbone, images, kind)


def encodings_of(name: str, normals: Encoding | None) -> tuple[tuple[Encoding, ...], ...]:
    """Groups of encodings to choose among. ``normals``: which kind; None: frames are no depth maps and have none."""
    if normals is None:
        return (("plain",),)
    by_name: dict[str, tuple[tuple[Encoding, ...], ...]] = {
        "plain": (("plain",),),
        "normals": ((normals,),),
        "both": (("plain", normals),),
    }
    return by_name.get(name) or (("plain",), (normals,), ("plain", normals))


def _standardised(rows: Floats) -> Floats:
    """(M, V, D) with mean 0 and spread 1 over pairs and views."""
    moments = Moments()
    moments.add(rows.reshape(-1, rows.shape[-1]))
    result: Floats = ((rows - moments.mean) / moments.scale).astype(np.float32)
    return result
