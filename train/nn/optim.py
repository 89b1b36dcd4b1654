"""What every trained stage shares: its optimizer, how the learning rate falls, and one step of descent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.nn.ranks import ALONE, Ranks

R = TypeVar("R")


class SgdConfig(Protocol):
    """The options of a stage that say how it descends: learning rate at step 0, momentum, weight decay."""

    @property
    def lr(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


class HeadSgdConfig(SgdConfig, Protocol):
    """The same with a learning rate of its own for what lies behind the backbone."""

    @property
    def head_lr(self) -> float: ...


def nesterov_sgd(groups: list[dict[str, Any]], cfg: SgdConfig) -> torch.optim.SGD:
    """SGD with Nesterov momentum. Each of ``groups`` has its ``params`` and ``base``, its learning rate at step 0.

    Not torch's fused kernel, which takes a quarter of the time on CPUs: it goes through memory as it lies, and momentum
    that comes from a file lies otherwise than channels-last weights, so that a resumed run would end elsewhere.
    """
    return torch.optim.SGD(
        groups, lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay, nesterov=cfg.momentum > 0
    )


def classifier_sgd(model: Classifier, cfg: HeadSgdConfig, classifier: bool) -> torch.optim.SGD:
    """:func:`nesterov_sgd` of the backbone at ``lr``, and of the bottleneck, together with the classifier C if
    ``classifier``, at ``head_lr``."""
    head = model.head_parameters() + (list(model.classifier.parameters()) if classifier else [])
    backbone = list(model.backbone.parameters())
    return nesterov_sgd([{"params": backbone, "base": cfg.lr}, {"params": head, "base": cfg.head_lr}], cfg)


def inverse_decay(step: int, total: int) -> float:
    """Factor on the learning rate: (1 + 10 step/total)^-0.75 (Ganin and Lempitsky, 2015)."""
    return float((1 + 10 * step / total) ** -0.75)


def descend(
    optimizer: torch.optim.Optimizer,
    backward: Callable[[], R],
    step: int,
    total: int,
    clip: float | None = None,
    ranks: Ranks = ALONE,
    factor: Callable[[int, int], float] = inverse_decay,
) -> R:
    """Step number ``step`` (from 0) of ``total`` down the gradient that ``backward`` computes, at the learning rates of
    that step: each group's ``base`` times ``factor``.

    Args:
        backward: adds to the gradients of the parameters.
        ranks: whose gradients are summed.
        clip: a gradient longer than this (Euclidean, over all parameters) is shortened to it; None: none is.

    Returns:
        What ``backward`` returned.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * factor(step, total)
    optimizer.zero_grad(set_to_none=True)
    found = backward()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    ranks.sum_gradients(parameters)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()
    return found


def moving_average(model: nn.Module, steps: float) -> AveragedModel:
    """Exponential average of ``model``'s weights and batch-norm statistics, to be updated after every step.

    It begins with the weights of the first update; those of ``steps`` updates ago count 1/e of the newest.
    """
    fade = get_ema_multi_avg_fn(math.exp(-1 / steps))
    return AveragedModel(model, multi_avg_fn=fade, use_buffers=True)
