"""Stage 3, TGKT after a translation in feature space: the target network learns the teacher's soft labels."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.batches import Store, ahead, batches, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.pseudo_labels import label_notes
from tgkt_edge.train.methods.translation.prior import balance
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms
from tgkt_edge.train.nn.model import Classifier, normalise
from tgkt_edge.train.nn.optim import classifier_sgd, descend, moving_average
from tgkt_edge.train.nn.predict import NO_FEATURES, predict_target
from tgkt_edge.train.resume_state import StageState

Reals = NDArray[np.float64]

CLIP = 1.0
"""Largest norm of a step's gradient: frozen statistics of RGB let single steps on normals of depth grow without it."""


def train_student(
    start: Classifier,
    target: Store,
    labels: Reals,
    first: Reals,
    prior: Reals,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    state: StageState,
) -> Classifier:
    """Soft cross-entropy on random crops of the task's frames; returns the network of the last epoch in evaluation
    mode, or with ``ema`` its moving average; or ``start`` where that is further from the teacher's labels.

    Args:
        start: the network that the translation left, frozen, on the device; a copy of it learns.
        labels: (N, K) of the teacher. first: (N, K) of the translation alone.
        prior: (K,) that renewed labels are balanced towards.
    """
    cfg, size = config.student, config.image_size
    torch.manual_seed(config.seed + 4)
    ranks = compute.ranks
    student = compute.learner(copy.deepcopy(start).requires_grad_(True), config.accumulate)
    sgd = classifier_sgd(student, cfg, classifier=True)
    steps = steps_per_epoch(len(target), config.batch)
    average = moving_average(student, cfg.ema * steps) if cfg.ema else None
    modules: dict[str, nn.Module] = {"student": student} | ({} if average is None else {"average": average})
    done = state.load(modules, {"sgd": sgd})
    previous: Tensor | None = state.extra.get("pseudo_labels")
    teacher_class = torch.from_numpy(labels.argmax(1))

    def forward(x: Tensor) -> Outputs:
        with compute.autocast():
            return (student(x),)  # (B, K)

    def losses(outputs: Outputs, known: Outputs, rows: int) -> Terms:
        loss = -(known[0] * outputs[0].float().log_softmax(1)).sum(1).mean()
        return {"loss": ranks.mean(loss, rows)}

    objective = Objective(student, forward, losses, config.accumulate, by_row=True)

    def drawn(epoch: int, label_probs: Tensor) -> Iterator[tuple[Tensor, Tensor, int]]:
        rng = epoch_rng(config.seed, "tgkt", epoch)
        for index in batches(rng, len(target), config.batch):
            mine = ranks.part(len(index))
            views, taken = random_views(rng, index, target.side, size), slice(None) if cfg.mixup else mine
            x = normalise(target.take(views[taken], size))
            y = label_probs[torch.from_numpy(index[taken]).to(compute.device)]  # (B, K)
            if cfg.mixup:  # the whole batch: others' frames are mixed in
                x, y = mixed_up(x, y, rng, cfg.mixup)
                x, y = x[mine], y[mine]
            yield x, y, len(index)

    with log.stage("tgkt", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            now = student if average is None or epoch == 0 else cast(Classifier, average.module)
            answers = _logits(now, target, config, compute).log_softmax(1)  # (N, K)
            stage.answers(epoch, answers.exp())
            soft = labels if epoch < cfg.renew_after else renewed(answers, first, prior, cfg.keep)
            hard = torch.from_numpy(soft.argmax(1))
            agrees = (hard == teacher_class).float().mean().item()
            stage.note(epoch, {**label_notes(hard, previous, student.num_classes), "teacher_agrees": agrees})
            previous = hard
            label_probs = torch.from_numpy(soft).float().to(compute.device)

            student.train()
            if cfg.norms == "frozen":
                for module in student.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eval()
            drawn_ahead = ahead(drawn(epoch, label_probs), compute.device)
            for step, (x, y, rows) in enumerate(drawn_ahead, start=epoch * steps):
                backward = partial(objective.backward, (x,), (y,), rows)
                _, terms = descend(sgd, backward, step, cfg.epochs * steps, CLIP, ranks)
                if average is not None:
                    average.update_parameters(student)
                stage.step(terms)
            state.save(epoch + 1, modules, {"sgd": sgd}, {"pseudo_labels": hard})
    learnt = (student if average is None else cast(Classifier, average.module)).eval()
    before, after = (
        _distance(_logits(network, target, config, compute), labels) for network in (start, learnt)
    )
    if after <= before:
        return learnt
    log.say(
        f"tgkt: after {cfg.epochs} epochs the network is further from its teacher's labels ({after:.3f} nats a frame) "
        f"than the translation's network that it started from ({before:.3f}), which is kept. A lower rate may help: "
        f"`set_=student.lr={cfg.lr / 10:g}` `set_=student.head_lr={cfg.head_lr / 10:g}`"
    )
    return copy.deepcopy(start)


def _logits(network: Classifier, target: Store, config: AdaptConfig, compute: Compute) -> Tensor:
    """(N, K) of the central crops of all target frames."""
    return predict_target(network, target, config.image_size, config.batch, compute, kept=NO_FEATURES)[1]


def _distance(logits: Tensor, labels: Reals) -> float:
    """Mean cross-entropy of (N, K) answers with the labels; infinite where an answer is no number."""
    logs = logits.double().log_softmax(1).cpu().numpy()
    found = -float((labels * logs).sum(1).mean())
    return found if np.isfinite(found) else float("inf")


def renewed(answers: Tensor, first: Reals, prior: Reals, keep: float) -> Reals:
    """(N, K) labels from the student's (N, K) log probabilities and the first teacher's, balanced towards the prior.

    Args:
        first: (N, K) probabilities. keep: their weight in the logarithm.
    """
    logs = answers.double().cpu().numpy() + keep * np.log(np.maximum(first, 1e-12))
    return np.exp(balance(logs, prior)[0])


def mixed_up(x: Tensor, y: Tensor, rng: np.random.Generator, shape: float) -> tuple[Tensor, Tensor]:
    """Each frame and its label, mixed with another of the batch in one random proportion (Zhang et al., mixup, 2018).

    Args:
        x: (B, C, H, W). y: (B, K) of sum 1. shape: both parameters of the Beta distribution of the proportion.
    """
    share = float(rng.beta(shape, shape))
    other = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]
