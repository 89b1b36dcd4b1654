"""TGMB in feature space: translate frames to the source model's features, answer, balance, and train on the answers.

The paper's idea with another place for T: a 5x5 convolution cannot color a depth map, but a linear map from a frame's
generic features to the source model's features of the paired RGB is had in closed form. Nothing here is trained by
gradient steps on images; the first answer is there within minutes on any CPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.answers import Taught, teach
from tgkt_edge.train.methods.translation.choice import Choice, PairFeatures, choose
from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.features import FRAME_LAYERS
from tgkt_edge.train.methods.translation.fit import main_directions
from tgkt_edge.train.methods.translation.head import fit_head, with_head
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.opinions import Opinions, opinions_of
from tgkt_edge.train.methods.translation.setting import (
    Look,
    PairInputs,
    Setting,
    TaskInputs,
    look_at_frames,
    look_at_pairs,
)
from tgkt_edge.train.methods.translation.source_features import (
    SHARES,
    SourceFeatures,
    needs_spread,
    source_features,
)
from tgkt_edge.train.nn.imported import resnet50_in
from tgkt_edge.train.nn.model import Classifier

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTHS = (300.0, 1500.0, 7500.0)
"""Of the ridge, for one view of a pair, that are tried."""


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
    rows: Ints
    about: dict[str, Any]


def translate(
    source: Classifier,
    beside: Mapping[str, Tensor],
    backbone: nn.Module,
    features: Look,
    offset: float | None,
    pair_count: int,
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
        offset: of depth maps, which have surface normals, the distance of code 0 in code ranges
            (:attr:`SensorSpec.near_offset`); None: frames are something else. pair_count: M, rows of what is paired.
        given_prior: (K,) of a file; None: as ``cfg.prior`` names it.
        labelled: frames of the task whose classes a person gave.
    """
    setting = Setting.of(source, beside, backbone, offset, pair_count, cfg)
    pairs = look_at_pairs(setting, features)
    seen = source_features(source, beside, pairs.rgb if needs_spread(source, beside) else None)
    rows = pairs.rows()
    choice = _choice(setting, pairs.for_choice(rows, setting, seen), seen, cfg, log)
    task = look_at_frames(setting, choice.best, pairs, features)
    shares = beside.get(SHARES)
    known = None if shares is None else shares.double().numpy()
    with log.progress("answers", 4) as advance:

        def step() -> None:
            advance(1)

        opinions = opinions_of(
            setting,
            choice.best,
            pairs,
            task,
            seen,
            beside,
            given_prior if known is None else known,
            cfg,
            step,
        )
        components = main_directions(task.frames, max(2, min(cfg.components, len(task.frames) // 3)))
        step()
        taught = teach(opinions.logits, components, known, given_prior, cfg, labelled, opinions.trusted_prior)
        step()
        network = _network(backbone, task, taught, cfg)
        step()
    about = {
        **_about_choice(choice),
        **_about_source(setting, seen, choice),
        **_about_answers(opinions, taught),
        "known_shares": known is not None or given_prior is not None,
        "labelled": 0 if labelled is None else len(labelled),
    }
    return Translation(
        network, taught.labels, taught.first, taught.prior, choice.rgb, choice.translated,
        _unadapted(pairs, rows, seen), rows, about,
    )  # fmt: skip


def _choice(
    setting: Setting, pairs: PairFeatures, seen: SourceFeatures, cfg: TranslationConfig, log: RunLog
) -> Choice:
    strengths = (cfg.strength,) if cfg.strength else STRENGTHS
    with log.progress("choice on pairs left out", len(setting.encodings)) as advance:
        return choose(
            pairs,
            seen.probabilities,
            setting.encodings,
            strengths,
            setting.starts,
            lambda: advance(1),
        )


def _unadapted(pairs: PairInputs, rows: Ints, seen: SourceFeatures) -> Reals | None:
    """(M, K) answers of the source model about the frames as they are, if what it sees of them is at hand."""
    if pairs.seen is None:
        return None
    return seen.probabilities(seen.standard(pairs.seen.rows(rows)).mean(1, dtype=np.float64))


def _network(backbone: nn.Module, task: TaskInputs, taught: Taught, cfg: TranslationConfig) -> Classifier:
    """One frame, one view: a head on what describes the frames, which learns the teacher's labels."""
    head = fit_head(task.network, taught.labels, cfg.head_c / (len(task.network) * cfg.views))
    return with_head(backbone, FRAME_LAYERS, *head, task.normals)


def _about_choice(choice: Choice) -> dict[str, Any]:
    return {
        "chosen": dataclasses.asdict(choice.best),
        "tried": [{**dataclasses.asdict(one), "correlation": value} for one, value in choice.tried.items()],
        "correlation": float(correlation(choice.rgb, choice.translated)[0]),
        "pairs": len(choice.rgb),
        "match_p_value": choice.p_value,
    }


def _about_source(setting: Setting, seen: SourceFeatures, choice: Choice) -> dict[str, Any]:
    answered = {*choice.rgb.argmax(1).tolist()}
    return {
        "own_spread": seen.own,
        "own_backbone": setting.backbone is resnet50_in(setting.source),
        "generic": setting.source.pooled != (),
        "imported": setting.imported,
        "own_look": setting.own_look is not None,
        "unanswered": [k for k in range(choice.rgb.shape[1]) if k not in answered],
    }


def _about_answers(opinions: Opinions, taught: Taught) -> dict[str, Any]:
    trial, doubt = taught.trial, taught.doubt
    return {
        "prior": taught.prior.tolist(),
        "prior_doubt": None
        if doubt is None
        else {
            "estimate": doubt.estimate.tolist(),
            "nats": doubt.nats,
            "limit": doubt.limit,
            "differs": doubt.differs,
        },
        "reverse": opinions.reverse,
        "opinions": len(opinions.logits),
        "way_back": opinions.images if len(opinions.logits) > 1 else 0,
        "smoothing": None if trial is None else {**dataclasses.asdict(trial), "harms": trial.harms},
    }
