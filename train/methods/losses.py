"""The losses of the paper as pure functions. Every one is a scalar to be minimised; computed in float32."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tgkt_edge.train.nn.ranks import ALONE, Ranks

EPS = 1e-5
"""Keeps log(0) away in the entropies, as SHOT does."""


def squared_distance(a: Tensor, b: Tensor, how: Literal["mean", "sum", "frobenius"] = "mean") -> Tensor:
    """L_rec (1) on images and L_f (8) on features: mean over the batch of ||a_i - b_i||^2.

    Args:
        a, b: (B, ...) of equal shape.
        how: "mean": averaged over elements too; "sum": summed within a sample, as the equation reads;
            "frobenius": the root of that sum.
    """
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {tuple(a.shape)} and {tuple(b.shape)}")
    squares = (a.float() - b.float()).square()
    if how == "mean":
        return squares.mean()
    sums = squares.flatten(1).sum(1)  # (B,)
    return sums.mean() if how == "sum" else sums.sqrt().mean()


def domain_loss(logits: Tensor, is_first: bool) -> Tensor:
    """Binary cross-entropy of a discriminator that should answer "first domain" (or not), the terms of (2) and (3).

    Args:
        logits: (B, 1) discriminator outputs before the sigmoid.
    """
    logits = logits.float()
    target = torch.ones_like(logits) if is_first else torch.zeros_like(logits)
    return F.binary_cross_entropy_with_logits(logits, target)


def information_maximisation(
    logits: Tensor, prior: Tensor | None = None, ranks: Ranks = ALONE, size: int = 0
) -> Tensor:
    """L_IM (5): mean conditional entropy minus the entropy of the batch-mean prediction, in nats.

    Small when each prediction is confident and all classes are used; from -log K to 0 or just above. Except for the
    constant log K, the second part is the divergence of the mean from equally frequent classes. With ``prior`` it is
    KL(batch mean || prior), 0 at least: for frames whose classes are known to be of other shares.

    Args:
        logits: (B, K).
        prior: (K,) expected shares of the classes, of sum 1; None: all alike, without the constant.
        ranks: over whose ``size`` rows the means go; ``logits`` are this rank's.
    """
    p = logits.float().softmax(1)
    conditional = ranks.mean(-(p * torch.log(p + EPS)).sum(1).mean(), size)
    mean = ranks.mean(p.mean(0), size)
    if prior is not None:
        return conditional + (mean * (torch.log(mean + EPS) - torch.log(prior.float() + EPS))).sum()
    marginal = -(mean * torch.log(mean + EPS)).sum()
    return conditional - marginal


def distillation(
    student: Tensor,
    teacher: Tensor,
    order: Literal["student-first", "teacher-first"] = "student-first",
    weight: Tensor | None = None,
) -> Tensor:
    """L_kd (7): KL(student || teacher) of the softmax outputs, mean over the batch, in nats.

    Args:
        student, teacher: (B, K) logits.
        order: "teacher-first" gives KL(teacher || student), the usual distillation loss.
        weight: (B,) factor of each frame before the mean; None: 1.
    """
    log_p, log_q = student.float().log_softmax(1), teacher.float().log_softmax(1)
    if order == "teacher-first":
        log_p, log_q = log_q, log_p
    divergence = (log_p.exp() * (log_p - log_q)).sum(1)  # (B,)
    return (divergence if weight is None else divergence * weight).mean()


def self_training(logits: Tensor, pseudo_labels: Tensor) -> Tensor:
    """L_self (9), with the minus sign missing there: cross-entropy with pseudo-labels.

    Args:
        logits: (B, K). pseudo_labels: (B,) int64.
    """
    return F.cross_entropy(logits.float(), pseudo_labels)
