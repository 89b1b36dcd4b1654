"""Baselines SHOT and SOCKET: adapt the network on target frames alone, and with paired TI features, without T.

SHOT: Liang, Hu and Feng, 2020. SOCKET: Ahmed, Lohit, Peng, Jones and Roy-Chowdhury, 2022, a published method with a
pending patent application (WO2024009708A1); written from its formulas as a research baseline to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.config import AdaptConfig, ShotConfig
from tgkt_edge.train.batches import Store, ahead, batches, endless, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.bn_matching import NormWatch, record_bn_stats
from tgkt_edge.train.methods.losses import information_maximisation, self_training, squared_distance
from tgkt_edge.train.methods.pseudo_labels import label_notes, pseudo_labels
from tgkt_edge.train.methods.target_network import start_target_network
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms
from tgkt_edge.train.nn.model import Classifier, normalise
from tgkt_edge.train.nn.optim import classifier_sgd, descend
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState


def train_shot(
    source: Classifier,
    target: Store,
    paired_rgb: Store,
    paired_frames: Store,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    state: StageState,
) -> Classifier:
    """Train F_t from a copy of F_s with C frozen: ``im L_IM + pseudo L_self + f L_f + bns L_bns``.

    ``config.method`` says whose weights are used, SHOT's or SOCKET's.

    Args:
        source: frozen, in evaluation mode, on the device.
        target: unlabelled frames of the task (TR). paired_rgb, paired_frames: other scenes (TI), row by row, which
            share crop and flip; read only where L_f has a weight.
    """
    name = config.method
    cfg: ShotConfig = config.socket if name == "socket" else config.shot
    size = config.image_size
    torch.manual_seed(config.seed + 3)
    student = start_target_network(source, target, cfg.student_norm, config, compute)
    sgd = classifier_sgd(student, cfg, classifier=False)
    ranks = compute.ranks
    norms = NormWatch(student, source, ranks) if cfg.bns else None
    steps = steps_per_epoch(len(target), config.batch)
    done = state.load({"student": student}, {"sgd": sgd})
    previous: Tensor | None = state.extra.get("pseudo_labels")

    def forward(frames: Tensor, paired_frames_of_step: Tensor | None = None) -> Outputs:
        with compute.autocast():
            # TI first: the running statistics of batch norm then lean to the frames of the task.
            paired = () if paired_frames_of_step is None else (student.features(paired_frames_of_step),)
            with record_bn_stats(norms):
                logits = student(frames)
        statistics = () if norms is None else norms.taken(len(frames))
        return (logits, *paired, *statistics)

    def losses(outputs: Outputs, known: Outputs, rows: int) -> Terms:
        mean = partial(ranks.mean, size=rows)
        logits, rest = outputs[0], list(outputs[1:])
        terms: Terms = {}
        loss = torch.zeros((), device=compute.device)
        if cfg.f:
            terms["f"] = mean(squared_distance(known[1], rest.pop(0), cfg.f_distance))
            loss = loss + cfg.f * terms["f"]
        if norms is not None:
            terms["bns"] = norms.distance(rest)
            loss = loss + cfg.bns * terms["bns"]
        terms["im"] = information_maximisation(logits, None, ranks, rows)
        terms["self"] = mean(self_training(logits, known[0]))
        return {"loss": loss + cfg.im * terms["im"] + cfg.pseudo * terms["self"], **terms}

    objective = Objective(student, forward, losses, config.accumulate)

    def drawn(epoch: int) -> Iterator[tuple[Outputs, Tensor | None, NDArray[np.int64], int]]:
        """Frames, and where L_f has a weight those of pairs; RGB of pairs; numbers of the frames; rows of the batch."""
        rng = epoch_rng(config.seed, name, epoch)
        tr_batches = batches(rng, len(target), config.batch)
        ti_batches = endless(rng, len(paired_rgb), [len(index) for index in tr_batches]) if cfg.f else []
        for step, tr in enumerate(tr_batches):
            mine = ranks.part(len(tr))  # as many TI as TR
            rgb: Tensor | None = None
            pairs: Outputs = ()
            if cfg.f:
                views = random_views(rng, ti_batches[step], paired_rgb.side, size)[mine]
                rgb = normalise(paired_rgb.take(views, size))
                pairs = (normalise(paired_frames.take(views, size)),)
            frames = normalise(target.take(random_views(rng, tr, target.side, size)[mine], size))
            yield (frames, *pairs), rgb, tr[mine], len(tr)

    with log.stage(name, cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            features, logits = predict_target(student, target, size, config.batch, compute)
            stage.answers(epoch, logits.softmax(1))
            labels = pseudo_labels(features, logits.softmax(1), cfg.pseudo_distance, cfg.pseudo_threshold)
            stage.note(epoch, label_notes(labels, previous, student.num_classes))
            previous = labels

            student.train()
            taken = enumerate(ahead(drawn(epoch), compute.device), start=epoch * steps)
            for step, (inputs, rgb, numbers, rows) in taken:
                known: Outputs = (labels[torch.from_numpy(numbers).to(labels.device)],)
                if rgb is not None:
                    with torch.no_grad(), compute.autocast():
                        known = (*known, source.features(rgb))
                backward = partial(objective.backward, inputs, known, rows)
                _, terms = descend(sgd, backward, step, cfg.epochs * steps, ranks=ranks)
                stage.step(terms)
            state.save(epoch + 1, {"student": student}, {"sgd": sgd}, {"pseudo_labels": labels})
    return student.eval()
