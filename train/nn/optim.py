"""What every trained stage shares: its optimizer, how the learning rate falls, and one step of descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tgkt_edge.train.nn.fused import on_fused_kernels
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

    On CPUs with torch's fused kernel (:mod:`tgkt_edge.train.nn.fused`), which takes a quarter of the time.
    """
    return on_fused_kernels(
        torch.optim.SGD,
        groups,
        lr=cfg.lr,
        momentum=cfg.momentum,
        weight_decay=cfg.weight_decay,
        nesterov=cfg.momentum > 0,
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
        shorten_gradient(parameters, clip)
    optimizer.step()
    return found


def shorten_gradient(parameters: Sequence[nn.Parameter], longest: float) -> None:
    """torch's ``clip_grad_norm_``, bit for bit; on a CPU a gradient that is short enough is left alone, where torch
    multiplies all of it by 1 so as not to wait for a GPU."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients or any(gradient.device.type != "cpu" for gradient in gradients):
        nn.utils.clip_grad_norm_(parameters, longest)
        return
    length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(one) for one in gradients]))
    factor = longest / (length + 1e-6)
    if not factor >= 1:  # nor where it is not a number
        for gradient in gradients:
            gradient.mul_(factor)


def moving_average(model: nn.Module, steps: float) -> AveragedModel:
    """Exponential average of ``model``'s weights and batch-norm statistics, to be updated after every step.

    It begins with the weights of the first update; those of ``steps`` updates ago count 1/e of the newest.
    """
    fade = get_ema_multi_avg_fn(math.exp(-1 / steps))
    return AveragedModel(model, multi_avg_fn=fade, use_buffers=True)
