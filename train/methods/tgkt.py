"""Stage 3, TGKT: transfer to the target network, with F_s, C and T frozen (paper, section 3.2, algorithm 2)."""

from __future__ import annotations

import copy
import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tgkt_edge.config import AdaptConfig, TgktConfig
from tgkt_edge.train.batches import Store, Views, batches, endless, epoch_rng, random_views
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.bn_matching import NormWatch, record_bn_stats
from tgkt_edge.train.methods.losses import (
    distillation,
    information_maximisation,
    self_training,
    squared_distance,
)
from tgkt_edge.train.methods.pseudo_labels import class_balance, label_shares, pseudo_labels
from tgkt_edge.train.methods.source import classifier_groups
from tgkt_edge.train.methods.teacher import Teacher
from tgkt_edge.train.nn.device import Compute, inverse_decay, set_rates
from tgkt_edge.train.nn.model import Classifier, Translator, normalise
from tgkt_edge.train.nn.predict import predict_target, reestimate_batch_norm
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
    name: str = "tgkt",
    start: Classifier | None = None,
) -> Classifier:
    """Train F_t, which starts as a copy of F_s; C is shared and stays frozen. Returns C(F_t(.)) of the last epoch,
    or with ``ema`` its moving average.

    Args:
        source, translator: frozen, in evaluation mode, on the device.
        target: unlabelled frames of the task (TR). paired_rgb, paired_frames: other scenes (TI), row by row.
        name: of the stage, in logs and for its random numbers. start: target network of the round before.
    """
    cfg, size = config.tgkt, config.image_size
    torch.manual_seed(config.seed + 2)
    student = copy.deepcopy(source if start is None else start).requires_grad_(True)
    student.classifier.requires_grad_(False)
    sgd = torch.optim.SGD(
        classifier_groups(student, cfg.lr, cfg.head_lr, classifier=False),
        lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay, nesterov=cfg.momentum > 0,
    )  # fmt: skip
    if cfg.student_norm == "target" and start is None:
        reestimate_batch_norm(student, target, size, config.batch, compute)
    through: nn.Module | None = translator if cfg.teacher_input == "translated" else None
    translated_source = source
    if cfg.teacher_norm == "translated":
        translated_source = copy.deepcopy(source)
        reestimate_batch_norm(translated_source, target, size, config.batch, compute, through)
    _, taught_centre = predict_target(translated_source, target, size, config.batch, compute, through)
    teacher_said = taught_centre.softmax(1)  # (N, K)
    teacher_class = teacher_said.argmax(1)  # (N,)
    prior: Tensor | None = None  # (K,)
    if cfg.im_prior == "teacher":
        prior = teacher_said.mean(0)
    elif cfg.im_prior == "start":
        prior = predict_target(student, target, size, config.batch, compute)[1].softmax(1).mean(0)
    teacher = Teacher(
        source, translated_source, through or nn.Identity(), target, paired_rgb, size, compute, cfg.views
    )
    norms = NormWatch(student, source) if cfg.bns else None
    bank_rng = epoch_rng(config.seed, f"{name}-views", 0)
    tr_bank = view_bank(bank_rng, target, size, cfg.views)
    ti_bank = view_bank(bank_rng, paired_rgb, size, cfg.views)
    steps = len(batches(np.random.default_rng(0), len(target), config.batch))
    average = moving_average(student, cfg.ema * steps) if cfg.ema else None
    modules: dict[str, nn.Module] = {"student": student} | ({} if average is None else {"average": average})
    done = state.load(modules, {"sgd": sgd})
    previous: Tensor | None = state.extra.get("pseudo_labels")

    with log.stage(name, cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            features, logits = predict_target(student, target, size, config.batch, compute)
            said = logits.softmax(1)  # (N, K)
            stage.answers(epoch, said)
            believed = said if cfg.pseudo_from == "student" else (said + teacher_said) / 2
            labels = pseudo_labels(features, believed, cfg.pseudo_distance, cfg.pseudo_threshold)
            changed = (
                None if previous is None else (labels != previous.to(labels.device)).float().mean().item()
            )
            counts = torch.bincount(labels, minlength=student.num_classes).tolist()
            agreeing = (labels == teacher_class).float()  # (N,)
            stage.note(
                epoch,
                {
                    "pseudo_label_counts": counts,
                    "pseudo_labels_changed": changed,
                    "teacher_agrees": agreeing.mean().item(),
                },
            )
            previous = labels
            if cfg.im_prior == "pseudo":
                prior = label_shares(labels, student.num_classes)
            balance = class_balance(labels, cfg.pseudo_balance) if cfg.pseudo_balance else None  # (N,)

            student.train()
            rng = epoch_rng(config.seed, name, epoch)
            tr_batches = batches(rng, len(target), config.batch)
            ti_batches = endless(rng, len(paired_rgb), [len(index) for index in tr_batches])
            for step, (tr, ti) in enumerate(zip(tr_batches, ti_batches, strict=True), start=epoch * steps):
                set_rates(sgd, inverse_decay(step, cfg.epochs * steps))
                tr_views, tr_slots = draw(rng, tr, target, size, tr_bank)
                ti_views, ti_slots = draw(rng, ti, paired_rgb, size, ti_bank)
                frames = normalise(target.take(tr_views, size))
                taught = teacher.logits(frames, tr_views, tr_slots)  # (B, K)
                expected = teacher.features(ti_views, ti_slots)  # (B, 256)

                # Two passes, TR last: the running statistics of batch norm then lean to the frames of the task.
                with compute.autocast():
                    paired = student.features(normalise(paired_frames.take(ti_views, size)))
                    with record_bn_stats(norms):
                        logits = student(frames)
                rows = torch.from_numpy(tr).to(labels.device)
                trusted = None  # (B,)
                if cfg.kd_frames == "agreeing":
                    trusted = agreeing[rows]
                elif cfg.kd_frames == "confident":
                    trusted = taught.softmax(1).amax(1)
                kd = distillation(logits, taught, cfg.kd_order, trusted)
                f = squared_distance(expected, paired, cfg.f_distance)
                self_loss = self_training(logits, labels[rows], None if balance is None else balance[rows])
                terms = {"kd": kd, "f": f, "self": self_loss}
                loss = kd_weight(cfg, step / steps) * kd + cfg.f * f + cfg.self_training * self_loss
                if cfg.kd_paired:
                    with compute.autocast():
                        answers, expected_answers = student.classifier(paired), source.classifier(expected)
                    terms["kd_paired"] = distillation(answers, expected_answers, cfg.kd_order)
                    loss = loss + cfg.kd_paired * terms["kd_paired"]
                if cfg.im:
                    terms["im"] = information_maximisation(logits, prior)
                    loss = loss + cfg.im * terms["im"]
                if norms is not None:
                    terms["bns"] = norms.distance()
                    loss = loss + cfg.bns * terms["bns"]
                sgd.zero_grad(set_to_none=True)
                loss.backward()
                sgd.step()
                if average is not None:
                    average.update_parameters(student)
                stage.step({"loss": loss, **terms})
            state.save(epoch + 1, modules, {"sgd": sgd}, {"pseudo_labels": labels})
    return (student if average is None else cast(Classifier, average.module)).eval()


def kd_weight(cfg: TgktConfig, epochs_done: float) -> float:
    """Weight of L_kd after so many (fractions of) epochs: grows evenly over the first ``kd_warmup``."""
    return cfg.kd if not cfg.kd_warmup else cfg.kd * min(1.0, epochs_done / cfg.kd_warmup)


def moving_average(model: nn.Module, steps: float) -> AveragedModel:
    """Exponential average of ``model``'s weights and batch-norm statistics, to be updated after every step.

    It begins with the weights of the first update; those of ``steps`` updates ago count 1/e of the newest.
    """
    fade = get_ema_multi_avg_fn(math.exp(-1 / steps))
    return AveragedModel(model, multi_avg_fn=fade, use_buffers=True)


def view_bank(rng: np.random.Generator, store: Store, size: int, count: int) -> list[Views]:
    """``count`` fixed views of every image; none if every crop is to be new (count 0)."""
    return [random_views(rng, np.arange(len(store)), store.side, size) for _ in range(count)]


def draw(
    rng: np.random.Generator, index: np.ndarray, store: Store, size: int, bank: list[Views]
) -> tuple[Views, np.ndarray | None]:
    """Views for ``index``: new ones, or one of the bank's for each, with its number (B,) there."""
    if not bank:
        return random_views(rng, index, store.side, size), None
    slots = rng.integers(0, len(bank), size=len(index))
    top, left, flip = (
        np.stack([getattr(views, name) for views in bank])[slots, index] for name in ("top", "left", "flip")
    )
    return Views(index, top, left, flip), slots
