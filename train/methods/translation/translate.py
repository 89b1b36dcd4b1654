"""TGMB in feature space: translate frames to the source model's features, answer, balance, and train on the answers.

The paper's idea with another place for T: a 5x5 convolution cannot color a depth map, but a linear map from a frame's
generic features to the source model's features of the paired RGB is had in closed form. Nothing here is trained by
gradient steps on images; the first answer is there within minutes on any CPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.answers import teach
from tgkt_edge.train.methods.translation.choice import MOST, PairFeatures, choose
from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.estimated_prior import TRUSTED, TRUSTED_OF_MEANS
from tgkt_edge.train.methods.translation.features import (
    FRAME_LAYERS,
    RGB_LAYERS,
    WIDTH,
    Encoding,
    Features,
    Kind,
)
from tgkt_edge.train.methods.translation.fit import (
    TaskFrames,
    fit,
    main_directions,
    together,
    translated_logits,
)
from tgkt_edge.train.methods.translation.head import fit_head, with_head
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.reverse import HEADS, mean_opinion
from tgkt_edge.train.methods.translation.second_opinion import favored
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    SHARES,
    kind_of,
    needs_spread,
    source_features,
)
from tgkt_edge.train.methods.translation.source_images import SourceImages
from tgkt_edge.train.nn.imported import ImportedClassifier, resnet50_in
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.time_left import WAY_BACK

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

STRENGTHS = (300.0, 1500.0, 7500.0)
"""Of the ridge, for one view of a pair, that are tried."""

STARTS = {"zero": (False,), "identity": (True,)}

Of = Literal["paired RGB", "paired frames", "target"]
"""Images that have features."""


class Look(Protocol):
    """Gives features of images; they are computed when they are asked for."""

    def __call__(self, name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        """``name`` is for the person who waits."""


@dataclass(frozen=True)
class Translation:
    """What the stage leaves.

    Attributes:
        network: one frame, one view: what is exported, and where the target network starts.
        labels: (N, K) of the teacher for the task's frames; first: (N, K) of the translation alone, balanced.
        prior: (K,) that renewed labels are balanced towards.
        rgb, translated: (M, K) answers about the pairs of the choice, each left out when it was answered, and when it
            was chosen by what translation. unadapted: (M, K) of the source model on their frames as they are;
            None where that was not computed on the way.
        rows: (M,) which pairs these are.
        about: what was chosen and why, for the report.
    """

    network: Classifier
    labels: Reals
    first: Reals
    prior: Reals
    rgb: Reals
    translated: Reals
    unadapted: Reals | None
    rows: NDArray[np.int64]
    about: dict[str, Any]


def translate(
    source: Classifier,
    beside: Mapping[str, Tensor],
    backbone: nn.Module,
    features: Look,
    depth: bool,
    given_prior: Reals | None,
    cfg: TranslationConfig,
    log: RunLog,
    labelled: Labelled | None = None,
) -> Translation:
    """From features to a teacher.

    Args:
        source: frozen, in evaluation mode, on the device. beside: tensors stored with it.
        backbone: frozen ResNet-50 whose features describe the frames: ImageNet's, or the source's own.
        features: of the task's frames ("target") and of other scenes, row by row.
        depth: whether a frame is a depth map, which has surface normals.
        given_prior: (K,) of a file; None: as ``cfg.prior`` names it.
        labelled: frames of the task whose classes a person gave.
    """

    def frame_kind(encoding: Encoding) -> Kind:
        return Kind(FRAME_LAYERS, True, encoding, cfg.views)

    rgb_kind = kind_of(source, cfg.views)
    same = (
        backbone is source.backbone and source.pooled != ()
    )  # then its features are among those of the frames
    imported = isinstance(source, ImportedClassifier)
    kept = bool(cfg.reverse) and {FEATURES, LABELS} <= beside.keys()
    # Frames that look like RGB, and all layers of the source's images at hand: the way back may correct the identity.
    alike = kept and (same or imported) and not depth and EARLY in beside
    layers = FRAME_LAYERS if alike else RGB_LAYERS
    if imported:  # what is stored of its images was computed by the network that describes the frames
        rgb = features("RGB of pairs", source.backbone, "paired RGB", rgb_kind)
        generic = Kind(layers, True, "plain", cfg.views)
        whole_rgb = features(WAY_BACK, backbone, "paired RGB", generic) if kept else rgb
    else:
        kind = dataclasses.replace(rgb_kind, layers=layers)
        whole_rgb = features("RGB of pairs", source.backbone, "paired RGB", kind)
        rgb = whole_rgb.last(WIDTH) if alike else whole_rgb
    seen = source_features(source, beside, rgb if needs_spread(source, beside) else None)
    standard = None if imported else seen.standard
    images = SourceImages(beside, whole_rgb, standard, source.num_classes, cfg) if kept else None
    rows = np.unique(np.linspace(0, len(rgb) - 1, min(len(rgb), MOST)).round().astype(np.int64))
    groups = encodings_of(cfg.encodings, depth)
    starts = STARTS.get(cfg.start, (False,) if depth else (False, True))
    corrects = True in starts  # the identity, which is the plain frame's last layer
    paired = {
        name: features(f"{name} frames of pairs", backbone, "paired frames", frame_kind(name))
        for name in dict.fromkeys(
            (*(("plain",) if corrects and same else ()), *(name for group in groups for name in group))
        )
    }
    last = (
        None
        if not corrects
        else paired["plain"]
        if same
        else features("frames of pairs to the source model", source.backbone, "paired frames", rgb_kind)
    )
    width = WIDTH if same else None
    cut = None if last is None else last.rows(rows) if width is None else last.rows(rows)[..., -width:]
    pairs = PairFeatures(
        {name: _standardised(paired[name].rows(rows)) for group in groups for name in group},
        None if cut is None else _standardised(cut),
        seen.standard(rgb.rows(rows)),
    )
    with log.progress("choice on pairs left out", len(groups)) as advance:
        best, tried, rgb_answers, translated = choose(
            pairs,
            seen.probabilities,
            groups,
            (cfg.strength,) if cfg.strength else STRENGTHS,
            starts,
            lambda: advance(1),
        )
    del pairs
    plain = last if last is not None else paired.get("plain") if same else None
    unadapted = None
    if plain is not None:
        raw = plain.rows(rows)[..., -WIDTH:]
        unadapted = seen.probabilities(seen.standard(raw).mean(1, dtype=np.float64))

    # Of the task's frames only what is used.
    frames = {
        name: together(
            paired[name], features(f"{name} frames of the task", backbone, "target", frame_kind(name))
        )
        for name in dict.fromkeys((*(("plain",) if best.identity and same else ()), *best.encodings))
    }
    start = None
    if best.identity and last is not None:
        task_last = (
            frames["plain"].task
            if same
            else features("frames of the task to the source model", source.backbone, "target", rgb_kind)
        )
        start = together(last, task_last, width)
    task = TaskFrames([frames[name] for name in best.encodings], start)
    shares = beside.get(SHARES)
    known = None if shares is None else shares.double().numpy()
    about: dict[str, Any] = {"reverse": None}
    trusted = TRUSTED
    with log.progress("answers", 4) as advance:
        weights = fit(task.frames, start, rgb, seen.standard, best.strength * cfg.views)
        advance(1)
        opinions = [translated_logits(task, weights, seen.head)]
        if images is not None and (alike or imported or not best.identity):
            if imported:  # read off its own features, and off those that its images are known by
                from_plain = best.identity and "plain" in frames
                own = together(paired["plain"], frames["plain"].task, WIDTH) if from_plain else None
                second = images.forward(task.frames, own, best.strength)
                opinions = [mean_opinion([*opinions, second], cfg.scale)]
            # Of an imported model the class means were not measured yet.
            choice = "regression" if imported and cfg.reverse_head == "auto" else cfg.reverse_head
            back = images.back(task, alike and best.identity, HEADS[choice])
            name, favor = favored(opinions[0], back, given_prior if known is None else known, cfg.scale)
            opinions.append(back[name])
            about["reverse"] = {"head": name, "information": favor}
            trusted = TRUSTED_OF_MEANS if name == "means" else TRUSTED
        components = main_directions(task, max(2, min(cfg.components, len(task) // 3)))
        advance(1)
        taught = teach(opinions, components, known, given_prior, cfg, labelled, trusted)
        advance(1)
        encoding: Encoding = "normals" if "normals" in best.encodings else "plain"
        network = with_head(
            backbone,
            FRAME_LAYERS,
            *fit_head(frames[encoding].task, taught.labels, cfg.head_c / (len(task) * cfg.views)),
            encoding == "normals",
        )
        advance(1)
    about |= {
        "chosen": dataclasses.asdict(best),
        "tried": [{**dataclasses.asdict(one), "correlation": value} for one, value in tried.items()],
        "correlation": float(correlation(rgb_answers, translated)[0]),
        "pairs": len(rows),
        "prior": taught.prior.tolist(),
        "prior_doubt": None
        if taught.doubt is None
        else {
            "estimate": taught.doubt.estimate.tolist(),
            "nats": taught.doubt.nats,
            "limit": taught.doubt.limit,
            "differs": taught.doubt.differs,
        },
        "own_spread": seen.own,
        "own_backbone": backbone is resnet50_in(source),
        "generic": source.pooled != (),
        "imported": imported,
        "unanswered": [k for k in range(rgb_answers.shape[1]) if not (rgb_answers.argmax(1) == k).any()],
        "opinions": len(opinions),
        "way_back": len(images) if images is not None and len(opinions) > 1 else 0,
        "known_shares": known is not None or given_prior is not None,
        "labelled": 0 if labelled is None else len(labelled),
        "smoothing": None
        if taught.trial is None
        else {**dataclasses.asdict(taught.trial), "harms": taught.trial.harms},
    }
    return Translation(
        network, taught.labels, taught.first, taught.prior, rgb_answers, translated, unadapted, rows, about
    )


def encodings_of(name: str, depth: bool) -> tuple[tuple[Encoding, ...], ...]:
    """Groups of encodings to choose among; only depth maps have surface normals."""
    if not depth:
        return (("plain",),)
    by_name: dict[str, tuple[tuple[Encoding, ...], ...]] = {
        "plain": (("plain",),),
        "normals": (("normals",),),
        "both": (("plain", "normals"),),
    }
    return by_name.get(name) or (("plain",), ("normals",), ("plain", "normals"))


def _standardised(rows: Floats) -> Floats:
    """(M, V, D) with mean 0 and spread 1 over pairs and views."""
    moments = Moments()
    moments.add(rows.reshape(-1, rows.shape[-1]))
    result: Floats = ((rows - moments.mean) / moments.scale).astype(np.float32)
    return result
