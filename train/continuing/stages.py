"""The stages of a continued run: a new head in closed form, then perhaps SGD of the whole network."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Frames
from tgkt_edge.train.batches import JoinedStore, Store
from tgkt_edge.train.continuing.new_head import continue_network
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.student import train_student
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, save_checkpoint
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, frozen
from tgkt_edge.train.nn.predict import refuse_diverged
from tgkt_edge.train.run_folder.folder import Run

Reals = NDArray[np.float64]
Timed = Callable[[str, Callable[[], Any]], Any]
"""Runs a stage and records what it cost."""


def train_continued(
    run: Run,
    folder: Path,
    shipped: Classifier,
    header: Header,
    about: Header,
    target: Store,
    old: Frames | None,
    given_prior: Reals | None,
    labelled: Labelled | None,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    timed: Timed,
    train: Callable[[str, Callable[..., Classifier]], Classifier],
) -> Classifier:
    """The target network, frozen, on the device; what is there already is taken.

    Args:
        folder: of features: the run's own, which is deleted in the end, or one that runs share.
        shipped: frozen, on the device; ``header`` names its classes. about: for the checkpoints.
        target: the new frames. old: frames that the shipped network knew, or None.
        train: the network of a stage, trained or from its checkpoint.
    """
    file = run.stages(config)["continue"]
    frames = target if old is None else JoinedStore([target, Store(old.codes, compute.device)])
    if not file.is_file():
        found = timed(
            "continue",
            lambda: continue_network(shipped, frames, given_prior, labelled, config, compute, log, folder),
        )
        made = compute.place(found.network)
        refuse_diverged("continue", made, shipped, target, config.image_size, config.batch, compute)
        beside = {
            name: torch.from_numpy(np.ascontiguousarray(getattr(found.taught, name)))
            for name in ("labels", "first", "prior")
        }
        save_checkpoint(file, made, dataclasses.replace(about, kind="target", beside=beside))
    loaded, kept = load_classifier(file, "target")
    network = frozen(compute.place(loaded))
    shutil.rmtree(run.features, ignore_errors=True)
    shares = zip(header.classes, kept.beside["prior"].tolist(), strict=True)
    log.say("continue: shares of the classes: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    if not config.continuing.epochs:
        return network
    labels, first, prior = (kept.beside[name].numpy() for name in ("labels", "first", "prior"))
    whole = dataclasses.replace(
        config, student=dataclasses.replace(config.student, epochs=config.continuing.epochs)
    )
    return train(
        "tgkt",
        lambda state: train_student(network, frames, labels, first, prior, whole, compute, log, state),
    )
