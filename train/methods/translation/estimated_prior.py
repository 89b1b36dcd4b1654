"""The class shares of the task's frames, estimated from two translations that err apart, without a label.

Both translations answer for the same frames, balanced towards a prior; the prior towards which they agree best, by the
mutual information of their answers, is near the true shares. First along one line, the source's shares to some power,
on which no class can die; then class by class, held near what was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.prior import balance, log_softmax

Reals = NDArray[np.float64]

POWERS = np.arange(-1.0, 1.51, 0.125)
"""Of the source's class shares, that are tried as priors: 1 is the shares themselves, 0 uniform, -1 reversed."""

NEAR = 1.0
"""Weight of KL(prior || shares ** power), against the mutual information in nats, in the second step."""

STEPS = 250
"""Evaluations of the second step, from each of two starts."""

FRAMES = 2000
"""Frames that it is estimated on at most, evenly spread over the list."""

ROUNDS = 30
"""Of balancing for each prior that is tried."""

TRUSTED = (0.02, 0.06)
"""Nats of mutual information gained over the source's shares up to which the estimate counts nothing, and from which it
counts alone. Weak translations agree a little better on flatter priors whatever the shares are: with 20 to 200 pairs of
nyuv2-5 by up to 0.03, where shares that truly differ bring 0.03 (60 pairs) to 0.3."""

TRUSTED_OF_MEANS = (0.04, 0.12)
"""The same where the second translation compares frames with class means: it goes with the first one more closely, and
gains twice as much on the same frames, whether their shares are the source's (up to 0.05) or not (0.05 to 0.2)."""


@dataclass(frozen=True)
class Estimate:
    """What two translations say of the class shares.

    Attributes:
        prior: (K,) of sum 1. power: of the source's shares, after the first step.
        gain: nats of mutual information over that with the source's shares.
    """

    prior: Reals
    power: float
    gain: float

    def trust(self, limits: tuple[float, float] = TRUSTED) -> float:
        """How much it counts, 0 to 1, beside what is assumed without it: nothing at the lower of the limits."""
        low, high = limits
        return float(np.clip((self.gain - low) / (high - low), 0, 1))


@dataclass(frozen=True)
class Doubt:
    """A prior that was given, beside what two translations say of the class shares.

    Attributes:
        estimate: (K,) of sum 1. nats: of mutual information that the given prior loses against it. limit: from which on
            the estimate would count alone if none were given: the two differ beyond chance.
    """

    estimate: Reals
    nats: float
    limit: float

    @property
    def differs(self) -> bool:
        """Whether the frames speak against the given prior."""
        return self.nats >= self.limit


def doubt(one: Reals, other: Reals, shares: Reals, given: Reals, limit: float) -> Doubt:
    """What two opinions, (N, K) logits about the same frames, say of a prior (K,) that a person gave.

    Args:
        shares: (K,) of the classes among the source's images, or what replaces them. limit: nats, of TRUSTED.
    """
    some = _evenly(len(one))
    found = estimated_prior(one, other, shares).prior
    lost = information(one[some], other[some], found) - information(one[some], other[some], given)
    return Doubt(found, lost, limit)


def information(one: Reals, other: Reals, prior: Reals) -> float:
    """Mutual information in nats of the classes that two (N, K) answers give, both balanced towards ``prior``."""
    a, b = (np.exp(balance(logits, prior, ROUNDS)[0]) for logits in (one, other))
    joint = a.T @ b / len(a)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


def estimated_prior(one: Reals, other: Reals, shares: Reals) -> Estimate:
    """The prior towards which two opinions agree best.

    Args:
        one, other: (N, K) logits about the same frames. shares: (K,) of the classes among the source's images; a class
            that has none gets none.
    """
    some = _evenly(len(one))
    one, other = one[some], other[some]
    used = shares > 0
    power = 1.0 if np.ptp(shares[used]) < 1e-9 else _best_power(one, other, shares)
    near = powered(shares, power)
    prior = _by_class(one, other, near)
    gain = information(one, other, prior) - information(one, other, shares)
    return Estimate(prior, power, gain)


def _evenly(count: int) -> NDArray[np.int64]:
    """Rows that are looked at: FRAMES at most."""
    return np.unique(np.linspace(0, count - 1, min(count, FRAMES)).round().astype(np.int64))


def powered(shares: Reals, power: float) -> Reals:
    """(K,) ``shares ** power``, of sum 1; 0 stays 0."""
    used = shares > 0
    found = np.where(used, np.where(used, shares, 1.0) ** power, 0.0)
    result: Reals = found / found.sum()
    return result


def _best_power(one: Reals, other: Reals, shares: Reals) -> float:
    tried = np.array([information(one, other, powered(shares, float(power))) for power in POWERS])
    best = int(tried.argmax())
    power = float(POWERS[best])
    if 0 < best < len(POWERS) - 1:  # the top of the parabola through the best three
        below, top, above = tried[best - 1 : best + 2]
        bend = below - 2 * top + above
        if bend < 0:
            power += float(POWERS[1] - POWERS[0]) * 0.5 * float((below - above) / bend)
    return power


def _by_class(one: Reals, other: Reals, near: Reals) -> Reals:
    """argmax of information(p) - NEAR * KL(p || near), by Nelder and Mead's simplex on log p, from two starts."""
    used = near > 0

    def prior(logs: Reals) -> Reals:
        found = np.zeros(len(near))
        found[used] = np.exp(log_softmax(logs[None])[0])
        return found

    def loss(logs: Reals) -> float:
        p = prior(logs)
        apart = float((p[used] * np.log(p[used] / near[used])).sum())
        return NEAR * apart - information(one, other, p)

    starts = (np.log(near[used]), np.zeros(int(used.sum())))
    found = [
        scipy.optimize.minimize(loss, start, method="Nelder-Mead", options={"maxfev": STEPS})
        for start in starts
    ]
    return prior(min(found, key=lambda result: float(result.fun)).x)
