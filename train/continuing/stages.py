"""The stages of a continued run: a new head in closed form, then perhaps SGD of the whole network."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.data.loading import Frames
from tgkt_edge.train.batches import JoinedStore, Store
from tgkt_edge.train.continuing.new_head import continue_network
from tgkt_edge.train.methods.student import train_student
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.nn.model import Classifier, frozen
from tgkt_edge.train.stages import Stages

Reals = NDArray[np.float64]


def train_continued(
    stages: Stages, old: Frames | None, given_prior: Reals | None, labelled: Labelled | None
) -> Classifier:
    """The target network, frozen, on the device; what is there already is taken.

    Args:
        stages: whose source is the shipped network, and whose target are the new frames.
        old: frames that the shipped network knew, or None. given_prior: (K,) expected class shares of a file.
        labelled: new frames whose classes a person gave.
    """
    run, config, compute, log, target = stages.run, stages.config, stages.compute, stages.log, stages.target
    file = run.stages(config)["continue"]
    frames = target if old is None else JoinedStore([target, Store(old.codes, compute.device)])
    if not file.is_file():
        found = stages.timed(
            "continue",
            lambda: continue_network(
                stages.source, frames, given_prior, labelled, config, compute, log, stages.features
            ),
        )
        made = compute.place(found.network)
        stages.refuse_diverged("continue", made)
        beside = {
            name: torch.from_numpy(np.ascontiguousarray(getattr(found.taught, name)))
            for name in ("labels", "first", "prior")
        }
        save_checkpoint(file, made, dataclasses.replace(stages.about, kind="target", beside=beside))
    loaded, kept = load_classifier(file, "target")
    network = frozen(compute.place(loaded))
    shutil.rmtree(run.features, ignore_errors=True)
    shares = zip(stages.header.classes, kept.beside["prior"].tolist(), strict=True)
    log.say("continue: shares of the classes: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    if not config.continuing.epochs:
        return network
    labels, first, prior = (kept.beside[name].numpy() for name in ("labels", "first", "prior"))
    whole = dataclasses.replace(
        config, student=dataclasses.replace(config.student, epochs=config.continuing.epochs)
    )
    return stages.student(
        "tgkt",
        lambda state: train_student(network, frames, labels, first, prior, whole, compute, log, state),
    )
