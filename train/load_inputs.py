"""Reading all that a run learns from, and refusing what nothing can be learnt from, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.check.check import note_quickly
from tgkt_edge.data.loading import Frames, Images, Pairs, load_images, load_pairs
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


@dataclass(frozen=True)
class _Reading:
    """How every set of images is read: arguments of :func:`load_inputs`, and ``side``, pixels of decoded images."""

    side: int
    skip_bad: bool
    progress: Progress
    digests: DataDigests
    cache: Cache | None

    def labelled_images(self, source: Path) -> Images:
        images = load_images(
            source, self.side,
            skip_bad=self.skip_bad, progress=self.progress, digests=self.digests.source, cache=self.cache,
        )  # fmt: skip
        refuse_fewer("`source`", len(images))
        return images

    def own_images(self, source: Path, header: Header, keep: int) -> OwnImages:
        return load_own_images(
            source, header, self.side, keep,
            skip_bad=self.skip_bad, progress=self.progress, digests=self.digests.source, cache=self.cache,
        )  # fmt: skip

    def target(self, target: str, sensor: SensorSpec) -> tuple[Frames, SensorSpec]:
        return load_target(target, sensor, self.side, self.skip_bad, self.progress, self.digests, self.cache)

    def pairs(self, paired: Path, sensor: SensorSpec) -> Pairs:
        return load_pairs(
            paired, sensor, self.side,
            skip_bad=self.skip_bad, progress=self.progress, digests=self.digests.paired, cache=self.cache,
        )  # fmt: skip


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

    Raises:
        UsageError, ConfigError, DataError: (exit 2) what is missing, too little, or does not fit the rest.
        CheckpointError, MissingDependency: a source model that cannot be read.
    """
    progress = read_progress(RunLog(None).say)
    if inputs.continue_from is not None:
        return load_continued(inputs, sensor, config, skip_bad, kept, digests, cache, progress)
    if config.distills:
        check_student(config.student.arch, config.image_size)
        load_student(NamedClassifier(config.student.arch, 2), config.student.weights)
    if inputs.labels is not None and not config.by_features:
        raise UsageError(
            f"`labels={inputs.labels}`: only a translation of features learns from them (`method=tgkt` or "
            f"`method=translate`, `translator=features`); leave them out, and measure with tgkt-edge audit or evaluate"
        )
    reading = _Reading(resize_side(config.image_size), skip_bad, progress, digests, cache)
    loaded = _sources(inputs, config, kept, options, reading)
    prior = read_prior(config.translation.prior, loaded.classes) if config.by_features else None
    target, pinned = reading.target(inputs.target, sensor)
    labelled = None
    if inputs.labels is not None:
        labelled = load_labels(Path(inputs.labels), target.names, loaded.classes)
        refuse_labels_of_no_share(labelled, prior, loaded.classes, config.translation.prior)
    pairs, held, held_runs = _pairs(inputs, sensor, config, target, len(loaded.classes), reading)
    _refuse_too_few_pairs(inputs, config, len(pairs), len(held))
    _try_weights(loaded.source, config, required=loaded.own is not None)
    features = None if cache is None else cache.features
    return Loaded(
        loaded.images, target, pairs, held, held_runs, pinned, loaded.source, prior, labelled, features,
        own=loaded.own,
    )  # fmt: skip


@dataclass(frozen=True)
class _Sources:
    """The source model, or the labelled images that one is trained on; of another program's model perhaps both."""

    classes: tuple[str, ...]
    source: tuple[Classifier, Header] | None = None
    images: Images | None = None
    own: OwnImages | None = None


def _sources(
    inputs: RunInputs, config: AdaptConfig, kept: Path | None, options: ImportOptions, reading: _Reading
) -> _Sources:
    if inputs.source_model is not None:
        source = source_model(Path(inputs.source_model), kept, options, asks_shares=inputs.source is None)
        refuse_unfit(source[0], config)
        if inputs.source is None:
            return _Sources(source[1].classes, source)
        if kept is None or not kept.is_file():
            refuse_unneeded(*source, inputs.source)
        refuse_images(inputs.source, config)
        own = reading.own_images(Path(inputs.source), source[1], config.source.keep)
        return _Sources(source[1].classes, source, own=own)
    if inputs.source is None:
        raise UsageError(
            "give either `source_model=FILE` (a source checkpoint, or a classifier of another program with "
            "`source_classes`) or `source=SRC` (labelled RGB)"
        )
    if options.given:
        given = ", ".join(options.given)
        raise UsageError(
            f"{given}: only with a `source_model` that another program trained, not with `source`"
        )
    images = reading.labelled_images(Path(inputs.source))
    return _Sources(images.classes, images=images)


def _pairs(
    inputs: RunInputs,
    sensor: SensorSpec,
    config: AdaptConfig,
    target: Frames,
    classes: int,
    reading: _Reading,
) -> tuple[Pairs, Pairs, list[int]]:
    """Pairs to train on, those that are left out, and the lengths of the runs of neighbors among these."""
    if inputs.paired is None:
        none = no_pairs(reading.side)
        return none, none, []
    # The same sensor took the pairs, but a set of other scenes may be stored at another resolution.
    pairs = reading.pairs(Path(inputs.paired), sensor)
    note_other_scale(pairs.levels, target.levels, sensor, inputs.paired, inputs.target)
    note_quickly(pairs, target, inputs.paired)
    if config.by_features:  # each is left out once
        return distinct_pairs(pairs, inputs.paired, classes), no_pairs(reading.side), []
    return split_pairs(pairs, config.holdout, config.seed)


def _refuse_too_few_pairs(inputs: RunInputs, config: AdaptConfig, count: int, held: int) -> None:
    """Where the method learns from pairs."""
    with_f = config.method == "shot" and config.shot.f > 0
    if config.method in WITHOUT_PAIRS and not with_f:
        return
    if inputs.paired is None:
        what = f"`method={config.method}`" + (f" with shot.f = {config.shot.f}" if with_f else "")
        other = "shot.f = 0" if with_f else f"`method={' or '.join(WITHOUT_PAIRS)}`"
        raise UsageError(
            f"{what} is trained on pairs: give `paired=SRC` (a folder with rgb/ and frame/, or a CSV rgb,frame of "
            f"other scenes), or {other}"
        )
    if not config.by_features:
        refuse_fewer("`paired`", count, f" beside the {held} held out (holdout = {config.holdout})")


def _try_weights(source: tuple[Classifier, Header] | None, config: AdaptConfig, *, required: bool) -> None:
    """Read the pretrained weights that will be needed, so that bad ones are refused before anything is written.

    Args:
        required: whether it has to be some, since features of the source model's images are compared by them.
    """
    if source is None:
        pretrained_backbone(config.weights)
    elif config.by_features and not source[0].pooled:
        try:
            generic = pretrained_backbone(config.weights, required=required)
        except UsageError as error:
            if required:
                raise
            raise UsageError(
                f"{error} With `source_model` these weights describe the frames; with `weights=none` the source "
                f"model's own features do, which costs accuracy."
            ) from error
        refuse_other_features(source[1], config, generic)
