"""Reading all that a run learns from, and refusing what nothing can be learnt from, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.check.check import note_quickly
from tgkt_edge.data.loading import Images, load_images, load_pairs
from tgkt_edge.errors import UsageError
from tgkt_edge.monitoring.value_scale import note_other_scale
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.cache_choice import read_progress
from tgkt_edge.train.continuing.load import load_continued
from tgkt_edge.train.data_checks import distinct_pairs
from tgkt_edge.train.few_labels import load_labels
from tgkt_edge.train.given_source import refuse_unfit, source_model
from tgkt_edge.train.holdout import no_pairs, split_pairs
from tgkt_edge.train.load_frames import load_target, refuse_fewer
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.class_prior import read_prior, refuse_labels_of_no_share
from tgkt_edge.train.nn.checkpoint import Header, pretrained_backbone
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.nn.named_network import NamedClassifier, check_student, load_student
from tgkt_edge.train.pipeline import Loaded
from tgkt_edge.train.run_folder.contents import DataDigests
from tgkt_edge.train.run_folder.folder import WITHOUT_PAIRS, RunInputs
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.own_images import (
    OwnImages,
    load_own_images,
    refuse_images,
    refuse_other_features,
    refuse_unneeded,
)


def load_inputs(
    inputs: RunInputs,
    sensor: SensorSpec,
    config: AdaptConfig,
    skip_bad: bool,
    kept: Path | None,
    options: ImportOptions,
    digests: DataDigests,
    cache: Cache | None,
) -> Loaded:
    """Read everything: each file once, or where it is decoded into the cache twice.

    Args:
        kept: where a run that goes on has its copy of the source model, if it has one already.
        digests: told what each file held. cache: where decoded images are kept; None: in memory.
    """
    progress = read_progress(RunLog(None).say)
    side = resize_side(config.image_size)
    if inputs.continue_from is not None:
        return load_continued(inputs, sensor, config, skip_bad, kept, digests, cache, progress)
    source: tuple[Classifier, Header] | None = None
    images: Images | None = None
    own: OwnImages | None = None
    if inputs.source_model is None and inputs.source is None:
        raise UsageError(
            "give either `source_model=FILE` (a source checkpoint, or a classifier of another program with "
            "`source_classes`) or `source=SRC` (labelled RGB)"
        )
    if config.distills:
        check_student(config.student.arch, config.image_size)
        load_student(NamedClassifier(config.student.arch, 2), config.student.weights)
    if inputs.labels is not None and not config.by_features:
        raise UsageError(
            f"`labels={inputs.labels}`: only a translation of features learns from them (`method=tgkt` or "
            f"`method=translate`, `translator=features`); leave them out, and measure with tgkt-edge audit or evaluate"
        )
    if inputs.source_model is not None:
        asks = inputs.source is None
        source = source_model(Path(inputs.source_model), kept, options, asks_shares=asks)
        refuse_unfit(source[0], config)
        if inputs.source is not None:
            if kept is None or not kept.is_file():
                refuse_unneeded(*source, inputs.source)
            refuse_images(inputs.source, config)
            own = load_own_images(
                Path(inputs.source), source[1], side, config.source.keep,
                skip_bad=skip_bad, progress=progress, digests=digests.source, cache=cache,
            )  # fmt: skip
    elif options.given:
        given = ", ".join(options.given)
        raise UsageError(
            f"{given}: only with a `source_model` that another program trained, not with `source`"
        )
    else:
        images = load_images(
            Path(cast(str, inputs.source)), side,
            skip_bad=skip_bad, progress=progress, digests=digests.source, cache=cache,
        )  # fmt: skip
        refuse_fewer("`source`", len(images))
    classes = source[1].classes if source is not None else cast(Images, images).classes
    prior = read_prior(config.translation.prior, classes) if config.by_features else None
    target, pinned = load_target(inputs.target, sensor, side, skip_bad, progress, digests, cache)
    labelled = None
    if inputs.labels is not None:
        labelled = load_labels(Path(inputs.labels), target.names, classes)
        refuse_labels_of_no_share(labelled, prior, classes, config.translation.prior)
    pairs, held = no_pairs(side), no_pairs(side)
    held_runs: list[int] = []
    if inputs.paired is not None:
        # The same sensor took the pairs, but a set of other scenes may be stored at another resolution.
        pairs = load_pairs(
            Path(inputs.paired), sensor, side,
            skip_bad=skip_bad, progress=progress, digests=digests.paired, cache=cache,
        )  # fmt: skip
        note_other_scale(pairs.levels, target.levels, sensor, inputs.paired, inputs.target)
        note_quickly(pairs, target, inputs.paired)
        if config.by_features:
            pairs = distinct_pairs(pairs, inputs.paired, len(classes))
        else:
            pairs, held, held_runs = split_pairs(pairs, config.holdout, config.seed)
    with_f = config.method == "shot" and config.shot.f > 0
    if config.method not in WITHOUT_PAIRS or with_f:
        if inputs.paired is None:
            what = f"`method={config.method}`" + (f" with shot.f = {config.shot.f}" if with_f else "")
            other = "shot.f = 0" if with_f else f"`method={' or '.join(WITHOUT_PAIRS)}`"
            raise UsageError(
                f"{what} is trained on pairs: give `paired=SRC` (a folder with rgb/ and frame/, or a CSV rgb,frame of "
                f"other scenes), or {other}"
            )
        if not config.by_features:
            beside = f" beside the {len(held)} held out (holdout = {config.holdout})"
            refuse_fewer("`paired`", len(pairs), beside)
    if source is None:
        # A trial, so that a bad --weights is refused before anything is written.
        pretrained_backbone(config.weights)
    elif config.by_features and not source[0].pooled:
        try:
            generic = pretrained_backbone(config.weights)
        except UsageError as error:
            raise UsageError(
                f"{error} With `source_model` these weights describe the frames; with `weights=none` the source "
                f"model's own features do, which costs accuracy."
            ) from error
        refuse_other_features(source[1], config, generic)
    features = None if cache is None else cache.features
    return Loaded(images, target, pairs, held, held_runs, pinned, source, prior, labelled, features, own=own)
