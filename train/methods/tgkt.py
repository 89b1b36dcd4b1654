"""Stage 3, TGKT: transfer to the target network F_t, with F_s, C and T frozen (paper, section 3.2, algorithm 2).

``x`` is a frame of the task (TR, target modality); ``r`` and ``t`` are RGB and frame of one pair of another scene (TI),
cropped and mirrored alike. F_t starts as a copy of F_s and shares the frozen classifier C. What is minimised::

    L_kd   = mean over x of  KL( softmax C(F_t(x)) || softmax C(F_s(T(x))) )          (7)
    L_f    = mean over pairs of  | F_s(r) - F_t(t) |^2                                (8)
    L_self = mean over x of  -log softmax C(F_t(x)) [label of x]                      (9)
    L      = kd L_kd + f L_f + self_training L_self                                   (10)

The labels of (9) are pseudo-labels, renewed before every epoch from F_t itself: the class whose centroid is nearest
(11) to (14), see :mod:`tgkt_edge.train.methods.pseudo_labels`.

Ours, and off in the paper's configuration: L_kd only of frames whose pseudo-label the teacher gives, too
(``kd_frames``); batch-norm statistics of the frames in F_t (``student_norm``) and of the translated frames in F_s
(``teacher_norm``) before the first step; and ``im L_IM`` (5) of the target network, as SHOT has it, towards expected
shares of the classes (``im_prior``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.batches import Store, ahead, batches, endless, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.losses import (
    distillation,
    information_maximisation,
    self_training,
    squared_distance,
)
from tgkt_edge.train.methods.pseudo_labels import label_notes, label_shares, pseudo_labels
from tgkt_edge.train.methods.target_network import start_target_network
from tgkt_edge.train.methods.teacher import make_teacher
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms
from tgkt_edge.train.nn.model import Classifier, Translator, normalise
from tgkt_edge.train.nn.optim import classifier_sgd, descend
from tgkt_edge.train.nn.predict import NO_FEATURES, predict_target
from tgkt_edge.train.resume_state import StageState


def train_tgkt(
    source: Classifier,
    translator: Translator,
    target: Store,
    paired_rgb: Store,
    paired_frames: Store,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    state: StageState,
) -> Classifier:
    """Train F_t and return C(F_t(.)) of the last epoch, in evaluation mode.

    Args:
        source, translator: C(F_s(.)) and T, frozen, in evaluation mode, on the device.
        target: the frames x. paired_rgb, paired_frames: r and t, row by row.
    """
    cfg, size = config.tgkt, config.image_size
    torch.manual_seed(config.seed + 2)
    student = start_target_network(source, target, cfg.student_norm, config, compute)
    sgd = classifier_sgd(student, cfg, classifier=False)
    teacher = make_teacher(source, translator, target, config, compute)
    teacher_probs = teacher.answers(target, config)  # (N, K)
    teacher_class = teacher_probs.argmax(1)  # (N,)
    prior: Tensor | None = None  # (K,) shares of the classes for L_IM; None: all alike
    if cfg.im_prior == "teacher":
        prior = teacher_probs.mean(0)
    elif cfg.im_prior == "start":
        start = predict_target(student, target, size, config.batch, compute, kept=NO_FEATURES)[1]
        prior = start.softmax(1).mean(0)
    ranks = compute.ranks
    steps = steps_per_epoch(len(target), config.batch)
    done = state.load({"student": student}, {"sgd": sgd})
    previous: Tensor | None = state.extra.get("pseudo_labels")

    def forward(x: Tensor, t: Tensor) -> Outputs:
        # Two passes, x last: the running statistics of batch norm then lean to the frames of the task.
        with compute.autocast():
            paired = student.features(t)
            return student(x), paired  # (B, K), (B, 256)

    def losses(outputs: Outputs, known: Outputs, rows: int) -> Terms:
        mean = partial(ranks.mean, size=rows)
        logits, paired = outputs
        teacher_logits, teacher_features, labels_of_rows, followed = known
        weight = followed if cfg.kd_frames == "agreeing" else None  # (B,)
        kd = mean(distillation(logits, teacher_logits, cfg.kd_order, weight))  # (7)
        f = mean(squared_distance(teacher_features, paired, cfg.f_distance))  # (8)
        self_loss = mean(self_training(logits, labels_of_rows))  # (9)
        loss = cfg.kd * kd + cfg.f * f + cfg.self_training * self_loss  # (10)
        terms = {"kd": kd, "f": f, "self": self_loss}
        if cfg.im:
            terms["im"] = information_maximisation(logits, prior, ranks, rows)  # (5)
            loss = loss + cfg.im * terms["im"]
        return {"loss": loss, **terms}

    objective = Objective(student, forward, losses, config.accumulate, by_row=not cfg.im)

    def drawn(epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor, NDArray[np.int64], int]]:
        rng = epoch_rng(config.seed, "tgkt", epoch)
        tr_batches = batches(rng, len(target), config.batch)
        ti_batches = endless(rng, len(paired_rgb), [len(index) for index in tr_batches])
        for tr, ti in zip(tr_batches, ti_batches, strict=True):
            mine = ranks.part(len(tr))  # as many TI as TR
            x = normalise(target.take(random_views(rng, tr, target.side, size)[mine], size))  # (B, 3, S, S)
            views = random_views(rng, ti, paired_rgb.side, size)[mine]  # of both halves of a pair
            r, t = (normalise(images.take(views, size)) for images in (paired_rgb, paired_frames))
            yield x, r, t, tr[mine], len(tr)

    with log.stage("tgkt", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            features, logits = predict_target(student, target, size, config.batch, compute)
            probs = logits.softmax(1)  # (N, K)
            labels = pseudo_labels(
                features, probs, cfg.pseudo_distance, cfg.pseudo_threshold
            )  # (11) to (14): (N,)
            agrees = (labels == teacher_class).float()  # (N,)
            stage.answers(epoch, probs)
            notes = label_notes(labels, previous, student.num_classes)
            stage.note(epoch, {**notes, "teacher_agrees": agrees.mean().item()})
            previous = labels
            if cfg.im_prior == "pseudo":
                prior = label_shares(labels, student.num_classes)

            student.train()
            taken = enumerate(ahead(drawn(epoch), compute.device), start=epoch * steps)
            for step, (x, r, t, numbers, size_of_batch) in taken:
                rows = torch.from_numpy(numbers).to(labels.device)
                known = (teacher.logits(x), teacher.features(r), labels[rows], agrees[rows])
                backward = partial(objective.backward, (x, t), known, size_of_batch)
                _, terms = descend(sgd, backward, step, cfg.epochs * steps, ranks=ranks)
                stage.step(terms)
            state.save(epoch + 1, {"student": student}, {"sgd": sgd}, {"pseudo_labels": labels})
    return student.eval()
