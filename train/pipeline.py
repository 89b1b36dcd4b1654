"""The stages of a run, in order: each is trained, or taken from its checkpoint where a run goes on."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Frames, Images, Pairs
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.batches import Store
from tgkt_edge.train.continuing.shipped import CONTINUED
from tgkt_edge.train.continuing.stages import train_continued
from tgkt_edge.train.feature_stages import Translated, train_by_features
from tgkt_edge.train.holdout import take_pairs
from tgkt_edge.train.imported_stage import prepare_imported
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.make_source import make_source
from tgkt_edge.train.methods.shot import train_shot
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.methods.tgmb import train_tgmb
from tgkt_edge.train.methods.translation.choice import MOST
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.setting import looks_itself
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, load_into, load_tensors, save_checkpoint
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import Classifier, Translator, frozen
from tgkt_edge.train.nn.predict import refuse_diverged
from tgkt_edge.train.report.material import Material, Model
from tgkt_edge.train.report.summary import write_report
from tgkt_edge.train.run_folder.folder import Run
from tgkt_edge.train.source_import.header_keys import IMPORT, KEPT
from tgkt_edge.train.source_import.own_images import OwnImages
from tgkt_edge.train.speed import expectation, measure_speed
from tgkt_edge.train.stages import RunContext, Stages
from tgkt_edge.train.time_left import TimeLeft, parts_of_run


@dataclass(frozen=True)
class Loaded:
    """Everything a run reads, in memory or mapped from the cache."""

    images: Images | None
    target: Frames
    pairs: Pairs  # to train on; perhaps none
    held: Pairs  # kept from every stage, for the report
    held_runs: list[int]  # lengths of the runs of neighbours among them
    sensor: SensorSpec
    source: tuple[Classifier, Header] | None
    prior: NDArray[np.float64] | None = None  # (K,) expected class shares of a file
    labelled: Labelled | None = None  # target frames whose classes a person gave
    features: Path | None = (
        None  # folder of features that other runs share; None: they are this run's, and deleted
    )
    old: Frames | None = None  # frames that the network knew which is continued
    old_held: Frames | None = None  # more of them, which nothing learns from
    own: OwnImages | None = None  # labelled images of a source model that another program trained

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the source model."""
        return self.source[1].classes if self.source is not None else cast(Images, self.images).classes


def train_stages(
    run: Run, loaded: Loaded, config: AdaptConfig, compute: Compute, log: RunLog
) -> dict[str, Any]:
    """Train what is not there yet, then write the report; returns what ``report.json`` holds."""
    log.time_left = _time_left(run, loaded, config)
    factor = measure_speed(config, compute) / compute.ranks.count
    log.say(expectation(log.time_left.expected(factor)))
    context = RunContext(run, loaded.features or run.features, config, compute, log)
    target = Store(loaded.target.codes, compute.device)
    source, header = _source(context, loaded, target)
    source = frozen(compute.place(source))
    rgb, frames = Store(loaded.pairs.rgb, compute.device), Store(loaded.pairs.codes, compute.device)
    if isinstance(source, ImportedClassifier) and not config.continues:
        header = prepare_imported(context, source, header, loaded.own, rgb if len(rgb) else target)
    about = _about(header, loaded, config)
    stages = Stages(run, context.features, config, compute, log, source, header, about, target)
    models = {config.baseline: Model(source)}
    by_features: Translated | None = None
    if config.by_features:
        by_features = train_by_features(
            stages, rgb, frames, loaded.sensor.near_offset, loaded.prior, loaded.labelled
        )
        models |= by_features.models
    elif config.continues:
        models["target"] = Model(train_continued(stages, loaded.old, loaded.prior, loaded.labelled))
    else:
        models |= _train_others(stages, rgb, frames, models[config.baseline])
    if not compute.ranks.first:
        compute.ranks.wait()  # for the report
        found: dict[str, Any] = json.loads((run.path / "report.json").read_text(encoding="utf-8"))
        return found
    report = write_report(_material(stages, loaded, models, by_features))
    compute.ranks.wait()
    return report


def _about(header: Header, loaded: Loaded, config: AdaptConfig) -> Header:
    """What the header of a network that learns from the source model says, but for its kind."""
    extra = {key: header.extra[key] for key in (IMPORT, CONTINUED) if key in header.extra}
    extra = {"source" if key == IMPORT else key: value for key, value in extra.items()}
    return dataclasses.replace(
        header, image_size=config.image_size, sensor=loaded.sensor, extra=extra, beside={}
    )


def _train_others(stages: Stages, rgb: Store, frames: Store, source_only: Model) -> dict[str, Model]:
    """The models of the methods that translate pixels, or nothing: the paper's, SHOT, SOCKET, source-only."""
    source, target, method = stages.source, stages.target, stages.config.method
    rest = (rgb, frames, stages.config, stages.compute, stages.log)
    if method in ("shot", "socket"):
        student = stages.student(method, lambda state: train_shot(source, target, *rest, state))
        return {"target": Model(student)}
    if method in ("tgmb", "tgkt"):
        translator = stages.network(
            "tgmb", "translator", _load_translator, lambda state: train_tgmb(source, target, *rest, state)
        )
        translated = Model(source, translator)
        if method == "tgmb":
            return {"tgmb": translated, "target": translated}
        student = stages.student("tgkt", lambda state: train_tgkt(source, translator, target, *rest, state))
        return {"tgmb": translated, "target": Model(student)}
    if stages.compute.ranks.first and not stages.run.target.is_file():
        # source-only: can be exported as it is
        save_checkpoint(stages.run.target, source, dataclasses.replace(stages.about, kind="target"))
    return {"target": source_only}


def _material(
    stages: Stages, loaded: Loaded, models: dict[str, Model], by_features: Translated | None
) -> Material:
    """What the report is made of."""
    held, held_runs = loaded.held, loaded.held_runs
    if by_features is not None:  # the target network learnt from none of the pairs
        held, held_runs = take_pairs(loaded.pairs, by_features.rows), by_features.runs
    return Material(
        run=stages.run,
        config=stages.config,
        sensor=loaded.sensor,
        classes=stages.header.classes,
        target=loaded.target,
        pairs=len(loaded.pairs) + len(loaded.held),
        held=held,
        held_runs=held_runs,
        models=models,
        device=stages.compute.device,
        translation=by_features.about if by_features is not None else None,
        left_out=by_features.left_out if by_features is not None else None,
        store=stages.target,
        old=loaded.old_held,
    )


def _time_left(run: Run, loaded: Loaded, config: AdaptConfig) -> TimeLeft:
    """What the run still has to do; a stage that is there costs nothing."""
    known = loaded.source is not None and KEPT in loaded.source[1].extra.get(IMPORT, {})
    stages = parts_of_run(
        config,
        0 if loaded.images is None else len(loaded.images),
        len(loaded.target) + (0 if loaded.old is None else len(loaded.old)),
        len(loaded.pairs),
        min(len(loaded.pairs), MOST) if config.by_features else len(loaded.held),
        loaded.sensor.kind == "depth",
        (config.linear_source if loaded.source is None else loaded.source[0].pooled != ())
        or config.weights == "none",
        0 if loaded.own is None or known else len(loaded.own.images),
        (known or loaded.own is not None) and bool(config.translation.reverse),
        loaded.source is not None and looks_itself(loaded.source[0]),
    )
    there = [name for name, file in run.stages(config).items() if file.is_file()]
    if loaded.own is not None and not known:
        there.remove("source")  # its checkpoint is there, without what is learnt from its images
    return TimeLeft({name: parts for name, parts in stages.items() if name not in there})


def _source(context: RunContext, loaded: Loaded, target: Store) -> tuple[Classifier, Header]:
    """The source model: the user's, that of the run, or one trained now."""
    run, config, compute = context.run, context.config, context.compute
    if loaded.source is not None:
        if compute.ranks.first and not run.first(config).is_file():
            save_checkpoint(run.first(config), *loaded.source)
        return loaded.source
    if run.source.is_file():
        return load_classifier(run.source)
    images = loaded.images
    assert images is not None
    state = context.state("source")
    model, header = context.timed(
        "source", lambda: make_source(images, config, compute, context.log, state, context.features)
    )
    model = compute.place(model)
    refuse_diverged("source", model, model, target, config.image_size, config.batch, compute)
    if compute.ranks.first:
        save_checkpoint(run.source, model, header)
        state.clear()
    compute.ranks.wait()
    # What was fitted in closed form may differ by a rounding on another machine.
    return (model, header) if compute.ranks.first else load_classifier(run.source)


def _load_translator(path: Path) -> Translator:
    translator = Translator()
    load_into(translator, load_tensors(path)[0], path)
    return translator
