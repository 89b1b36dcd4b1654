"""Baselines SHOT and SOCKET: adapt the network on target frames alone, and with paired TI features, without T.

SHOT: Liang, Hu and Feng, 2020. SOCKET: Ahmed, Lohit, Peng, Jones and Roy-Chowdhury, 2022, a published method with a
pending patent application (WO2024009708A1); written from its formulas as a research baseline to compare with.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from tgkt_edge.config import AdaptConfig, ShotConfig
from tgkt_edge.train.batches import Store, batches, endless, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.bn_matching import NormWatch, record_bn_stats
from tgkt_edge.train.methods.losses import information_maximisation, self_training, squared_distance
from tgkt_edge.train.methods.pseudo_labels import label_notes, pseudo_labels
from tgkt_edge.train.methods.target_network import start_target_network
from tgkt_edge.train.nn.device import Compute
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

    with log.stage(name, cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            features, logits = predict_target(student, target, size, config.batch, compute)
            stage.answers(epoch, logits.softmax(1))
            labels = pseudo_labels(features, logits.softmax(1), cfg.pseudo_distance, cfg.pseudo_threshold)
            stage.note(epoch, label_notes(labels, previous, student.num_classes))
            previous = labels

            student.train()
            rng = epoch_rng(config.seed, name, epoch)
            tr_batches = batches(rng, len(target), config.batch)
            ti_batches = endless(rng, len(paired_rgb), [len(index) for index in tr_batches]) if cfg.f else []
            for step, tr in enumerate(tr_batches):
                mine, mean = ranks.part(len(tr)), partial(ranks.mean, size=len(tr))  # as many TI as TR
                terms: dict[str, Tensor] = {}
                loss = torch.zeros((), device=compute.device)
                if cfg.f:
                    views = random_views(rng, ti_batches[step], paired_rgb.side, size)[mine]
                    with compute.autocast():
                        with torch.no_grad():
                            expected = source.features(normalise(paired_rgb.take(views, size)))
                        # TI first: the running statistics of batch norm then lean to the frames of the task.
                        paired = student.features(normalise(paired_frames.take(views, size)))
                    terms["f"] = mean(squared_distance(expected, paired, cfg.f_distance))
                    loss = loss + cfg.f * terms["f"]
                frames = normalise(target.take(random_views(rng, tr, target.side, size)[mine], size))
                with compute.autocast(), record_bn_stats(norms):
                    logits = student(frames)
                if norms is not None:
                    terms["bns"] = norms.distance()
                    loss = loss + cfg.bns * terms["bns"]
                terms["im"] = information_maximisation(logits, None, ranks, len(tr))
                named = labels[torch.from_numpy(tr[mine]).to(labels.device)]
                terms["self"] = mean(self_training(logits, named))
                loss = loss + cfg.im * terms["im"] + cfg.pseudo * terms["self"]
                descend(sgd, loss, epoch * steps + step, cfg.epochs * steps, ranks=ranks)
                stage.step({"loss": loss, **terms})
            state.save(epoch + 1, {"student": student}, {"sgd": sgd}, {"pseudo_labels": labels})
    return student.eval()
