"""The expected shares of the classes, and answers that are balanced towards them (Sinkhorn, in the log domain)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

ROUNDS = 60
"""Times that columns and rows are scaled."""


BLOCK = 65536
"""Frames that are worked on at a time, so that what is computed on the way stays small beside the answers."""


def stretches(count: int) -> list[slice]:
    """range(count) in stretches of BLOCK; at least one."""
    return [slice(start, min(start + BLOCK, count)) for start in range(0, max(count, 1), BLOCK)]


def log_softmax(logits: Reals) -> Reals:
    """Rows of (N, K) whose exponentials sum to 1."""
    shifted = logits - logits.max(1, keepdims=True)
    result: Reals = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def balance(logits: Reals, prior: Reals, rounds: int = ROUNDS) -> tuple[Reals, Reals]:
    """Answers whose mean over frames is ``prior``: columns and rows are scaled in turn (Sinkhorn and Knopp, 1967).

    Each frame keeps its own order of classes up to one offset a class, the same for all frames.

    Args:
        logits: (N, K), up to a constant a row; may be log probabilities.
        prior: (K,) shares of sum 1. A class of share 0 gets no frame.

    Returns:
        (N, K) log probabilities, rows of sum 1, and the (K,) offsets that were added before the softmax.
    """
    logits = np.asarray(logits, np.float64)
    offsets = np.zeros(logits.shape[1])
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior.astype(np.float64))
    used = prior > 0
    offsets[~used] = -np.inf
    parts = stretches(len(logits))
    for _ in range(rounds):
        found = [_log_sum(log_softmax(logits[part] + offsets)[:, used]) for part in parts]
        offsets[used] += log_prior[used] - _log_mean(found, len(logits))
    answers = np.empty_like(logits)
    for part in parts:
        answers[part] = log_softmax(logits[part] + offsets)
    return answers, offsets


def _log_sum(logs: Reals) -> tuple[Reals, Reals]:
    """(K,) largest of each column, and the sum of the exponentials of what is left without it: none can underflow."""
    top = logs.max(0)
    return top, np.exp(logs - top).sum(0)


def _log_mean(parts: Sequence[tuple[Reals, Reals]], count: int) -> Reals:
    """(K,) log of the mean of the exponentials of ``count`` rows, from :func:`_log_sum` of parts of them."""
    if len(parts) == 1:  # nearly always, and thousands of times for a class prior: bit for bit what follows
        ((top, total),) = parts
        alone: Reals = top + np.log(total / count)
        return alone
    top = np.max([one for one, _ in parts], 0)
    total = np.sum([sums * np.exp(one - top) for one, sums in parts], 0)
    result: Reals = top + np.log(total / count)
    return result


def class_shares(labels: NDArray[np.int64], classes: int) -> Reals:
    """(K,) share of each class among (N,) labels."""
    result: Reals = np.bincount(labels, minlength=classes) / len(labels)
    return result


def mixed(shares: Reals, uniform: float) -> Reals:
    """``shares`` with ``uniform`` of their weight, 0 to 1, spread over all classes alike."""
    result: Reals = (1 - uniform) * shares + uniform / len(shares)
    return result
