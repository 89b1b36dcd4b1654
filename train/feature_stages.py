"""The stages of a run that translates features: the translation in closed form, then the target network."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.train.batches import Store
from tgkt_edge.train.holdout import neighbour_runs
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.distill import Frames, distill
from tgkt_edge.train.methods.student import train_student
from tgkt_edge.train.methods.translation.evidence import belong_together
from tgkt_edge.train.methods.translation.features import Features, Kind, extract
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.setting import Look, Of
from tgkt_edge.train.methods.translation.translate import Translation, translate
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, pretrained_backbone, save_checkpoint
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.imported import resnet50_in
from tgkt_edge.train.nn.model import Classifier, frozen
from tgkt_edge.train.report.material import LeftOut, Model
from tgkt_edge.train.resume_state import StageState
from tgkt_edge.train.stages import Stages

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Translated:
    """What these stages leave for the report.

    Attributes:
        models: name -> network, without source-only.
        rows: (M,) which pairs the report asks them about. runs: lengths of the runs of neighbours among these.
        about: of the translation, see :mod:`tgkt_edge.train.methods.translation.translate`.
        left_out: what it answered about pairs while they were left out.
    """

    models: dict[str, Model]
    rows: NDArray[np.int64]
    runs: list[int]
    about: dict[str, Any]
    left_out: LeftOut


def train_by_features(
    stages: Stages,
    paired_rgb: Store,
    paired_frames: Store,
    offset: float | None,
    given_prior: Reals | None,
    labelled: Labelled | None,
) -> Translated:
    """Translate, and unless that is all that was asked for, train the target network; take what is there already.

    Args:
        paired_rgb, paired_frames: M pairs of other scenes, row by row.
        offset: of depth maps, the distance of code 0 (:attr:`SensorSpec.near_offset`); None: frames are something else.
        given_prior: (K,) expected class shares of a file. labelled: frames of the task whose classes a person gave.

    Raises:
        TgktEdgeError: pairs left out show that nothing was translated, and a target network was to be trained on it.
    """
    run, config, log = stages.run, stages.config, stages.log
    stores: dict[Of, Store] = {
        "target": stages.target,
        "paired RGB": paired_rgb,
        "paired frames": paired_frames,
    }
    look = _looks(stages, stores)
    file = run.stages(config)["translate"]
    made: Classifier | None = None
    if not file.is_file():
        made = _translate(stages, file, look, offset, len(paired_rgb), given_prior, labelled)
    loaded, kept = load_classifier(file, "target")
    # Made now, it is the very network that was checked, whose answers to all target frames are known.
    network = frozen(made if made is not None else stages.compute.place(loaded))
    if stages.compute.ranks.first and not config.distills:
        # Of no more use, and larger than all else; a shared folder stays.
        shutil.rmtree(run.features, ignore_errors=True)
    known = kept_translation(network, kept)
    doubt = belong_together(known)
    for line in [*notes(known.about, stages.about.classes), *([doubt] if doubt else [])]:
        log.say(line)
    translated = Translated(
        {"target": Model(network)},
        known.rows,
        neighbour_runs(len(known.rows)),
        {**known.about, "belong_together": doubt is None},
        left_out_pairs(known),
    )
    if config.method == "translate":
        return translated
    if doubt and not config.translation.force:
        raise TgktEdgeError(
            f"{doubt} No target network was trained on that. The translation is kept in {file}: with other pairs begin "
            f"again; to go on all the same, `resume=True` with `set_=translation.force=true`."
        )
    student = stages.student("tgkt", lambda state: _student(stages, known, paired_frames, look, state))
    shutil.rmtree(run.features, ignore_errors=True)
    return dataclasses.replace(translated, models={"translate": Model(network), "target": Model(student)})


def _looks(stages: Stages, stores: Mapping[Of, Store]) -> Look:
    """What extracts features of the run's images, or takes those that were extracted before."""
    config = stages.config

    def look(name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        return extract(
            name, network, stores[images], kind, config.image_size, config.batch, stages.compute, stages.log,
            stages.features,
        )  # fmt: skip

    return look


def _translate(
    stages: Stages,
    file: Path,
    look: Look,
    offset: float | None,
    pair_count: int,
    given_prior: Reals | None,
    labelled: Labelled | None,
) -> Classifier:
    """The network of the translation, on the device, which is also in ``file`` with all that the translation found."""
    source, config, compute, log = stages.source, stages.config, stages.compute, stages.log
    found = stages.timed(
        "translate",
        lambda: translate(
            source, stages.header.beside, _backbone(source, config, compute, log), look, offset, pair_count,
            given_prior, config.translation, log, labelled,
        ),
    )  # fmt: skip
    network = compute.place(found.network)
    compute.ranks.copy_from_first(network.state_dict().values())
    stages.refuse_diverged("translate", network)
    beside = {
        name: torch.from_numpy(np.ascontiguousarray(getattr(found, name)))
        for name in ("labels", "first", "prior", "rgb", "translated", "unadapted", "rows")
        if getattr(found, name) is not None
    }
    extra = {**stages.about.extra, "translation": found.about}
    if compute.ranks.first:
        save_checkpoint(
            file, network, dataclasses.replace(stages.about, kind="target", beside=beside, extra=extra)
        )
    compute.ranks.wait()
    return network


def _student(
    stages: Stages, known: Translation, paired_frames: Store, look: Look, state: StageState
) -> Classifier:
    """The target network: a copy of the translation's that is trained on, or another architecture."""
    network, config, compute, log = known.network, stages.config, stages.compute, stages.log
    if not config.distills:
        return train_student(
            network, stages.target, known.labels, known.first, known.prior, config, compute, log, state
        )
    kind = Kind(network.pooled, True, "normals" if network.normals else "plain", config.translation.views)
    own = look("frames of the task", network.backbone, "target", kind)
    other = look("frames of pairs", network.backbone, "paired frames", kind)
    return distill(
        network, Frames(stages.target, own), Frames(paired_frames, other), known.labels, config, compute, log, state
    )  # fmt: skip


def kept_translation(network: Classifier, kept: Header) -> Translation:
    """What a run kept of its translation, beside the network that it gave."""
    values: dict[str, Any] = {"unadapted": None}
    values |= {name: tensor.numpy() for name, tensor in kept.beside.items()}
    return Translation(network, **values, about=kept.extra["translation"])


def left_out_pairs(known: Translation) -> LeftOut:
    """What the verdict hears of the pairs, each of which was left out once."""
    return LeftOut(known.rgb, known.unadapted, known.translated, belong_together(known) is None)


def _backbone(source: Classifier, config: AdaptConfig, compute: Compute, log: RunLog) -> nn.Module:
    """Whose features describe the frames: the source's own where they are generic, or nothing better is available."""
    if source.pooled or config.weights == "none":
        own = resnet50_in(source)
        assert own is not None  # refused before anything was written
        return own
    return frozen(compute.place(pretrained_backbone(config.weights)))


def notes(about: dict[str, Any], classes: tuple[str, ...]) -> list[str]:
    """What a person should know about how the translation came about."""
    chosen = about["chosen"]
    first = (
        f"translate: chosen by {about['pairs']} pairs, each left out once: frames as "
        f"{' and '.join(chosen['encodings'])}, ridge of strength {chosen['strength']:g} towards "
        f"{'the identity' if chosen['identity'] else 'zero'}. Its answers correlate with those on the RGB "
        f"by {about['correlation']:.2f}"
    )
    lines = [first]
    if not about["own_spread"]:
        lines.append(
            "translate: the source model does not hold mean and spread of its features; those of the paired RGB "
            "replace them, which costs some points."
            + ("" if about["imported"] else " Train it again with this version to have them.")
        )
    if not about["known_shares"]:
        lines.append(
            "translate: the source model does not hold the shares of its classes; they are taken to lie "
            "between what its answers on the frames show and equal ones. "
            + (
                "Import it again with the labelled images that it was trained on as `source`, or with a CSV "
                "class,images as `source_classes`; or give `prior=CSV`, the shares expected among the frames."
                if about["imported"]
                else "Give `prior=CSV` if they are known."
            )
        )
    if about.get("own_look"):
        lines.append(
            "translate: beside the translation of generic features the pairs correct what the imported model itself "
            "sees of the frames' surface normals; the mean of both answers counts"
        )
    if about["imported"] and about.get("way_back"):  # a run that an older version began has none
        lines.append(
            f"translate: a second translation, from RGB to frames, learns from generic features of "
            f"{about['way_back']} labelled images of the source model"
        )
    if about["own_backbone"] and not about["generic"]:
        lines.append(
            "translate: the frames are described by the source model's own features, since there are no ImageNet "
            "weights (`weights=none`), which costs accuracy; give `weights` where there are some."
        )
    if about["unanswered"]:
        names = ", ".join(classes[k] for k in about["unanswered"])
        lines.append(
            f"translate: the source model classifies none of the paired RGB images as {names}: how well the "
            f"translation works for it is not known"
        )
    back = about.get("reverse")  # a run that an older version began has none
    if back and back["head"] == "means" and len(back["information"]) > 1:
        lines.append(
            f"translate: the second translation compares frames with the class means, which agrees better with the "
            f"first one than a head that is trained does ({back['information']['means']:.2f} against "
            f"{back['information']['regression']:.2f} nats): the pairs are few or show little of the classes"
        )
    tried = about.get("smoothing")
    if tried and tried["harms"]:
        lines.append(
            f"translate: self-training and neighbors are left out: the two translations agree on "
            f"{tried['agreement']:.0%} of the frames, and on {tried['agreement'] + tried['change']:.0%} if either is "
            f"mixed with frames that look alike, so these do not tell the classes apart"
        )
    return lines
