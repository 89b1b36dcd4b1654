"""Self-training and neighbors together, and whether frames that look alike may decide: seen without a label.

Both move answers towards what the frames' own main directions tell apart. That is most of the gain on a sensor whose
frames the first answers know badly, and a loss where these are better than the directions: a few frames whose classes
look alike. Two translations show which it is, since they err apart: each is smoothed by itself and compared with the
other's answers as they were. A noisy reference that errs independently ranks two estimates as the truth does (after
Lehtinen et al., Noise2Noise, ICML 2018). They share some errors, though, and smoothing that corrects these costs
agreement: so much of it as they disagree on at first is granted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.neighbors import Neighborhood
from tgkt_edge.train.methods.translation.prior import balance
from tgkt_edge.train.methods.translation.self_training import self_train

Reals = NDArray[np.float64]

FRAMES = 5000
"""Frames that the trial is made on at most, evenly spread over the list."""


class Smoother:
    """Self-training, then neighbors, of N frames, as the options say.

    Args:
        components: (N, C) of the frames, of mean 0 and unit spread.
    """

    def __init__(self, components: Reals, cfg: TranslationConfig) -> None:
        self._components, self._cfg = components, cfg
        count = len(components)
        self._near = None
        if cfg.spread and min(cfg.neighbors, count - 1) >= 1:
            self._near = Neighborhood(components, cfg.neighbors)

    @property
    def idle(self) -> bool:
        """Whether the options leave answers as they are."""
        return self._near is None and self._cfg.rounds < 1

    def __call__(self, logits: Reals, prior: Reals, labelled: Labelled | None = None) -> Reals:
        """(N, K) logits, up to a constant a row, to probabilities whose mean is the ``prior``.

        Args:
            labelled: frames that keep the class that a person gave.
        """
        cfg = self._cfg
        found = np.exp(
            self_train(
                self._components, logits, prior, rounds=cfg.rounds, c=cfg.c / len(logits), keep=cfg.keep,
                labelled=labelled,
            )
        )  # fmt: skip
        if labelled is not None:
            found = labelled.fixed(found)
        if self._near is not None:
            found = self._near.spread(found, prior, cfg.spread, cfg.spread_power)
        return found


@dataclass(frozen=True)
class Trial:
    """What smoothing does to the agreement of two translations.

    Attributes:
        agreement: share of the frames that both give one class, neither smoothed.
        change: of that share, if either is smoothed and the other is not. error: its standard error over frames.
    """

    agreement: float
    change: float
    error: float

    @property
    def harms(self) -> bool:
        """Whether the two then disagree on more than twice the frames, beyond one standard error.

        Errors that both share are taken to be as frequent as those that they do not: with all of them corrected, twice
        the frames is what they would disagree on.
        """
        return self.change + (1 - self.agreement) < -self.error


def trial(one: Reals, other: Reals, components: Reals, prior: Reals, cfg: TranslationConfig) -> Trial:
    """Smooth each of two translations by itself, and look at the other.

    Args:
        one, other: (N, K) logits about the same frames. components: (N, C) of the frames.
        prior: (K,) that all answers are balanced towards.
    """
    some = np.unique(np.linspace(0, len(one) - 1, min(len(one), FRAMES)).round().astype(np.int64))
    smoother = Smoother(components if len(some) == len(one) else components[some], cfg)
    logits = (one[some], other[some])
    before = [balance(each, prior)[0].argmax(1) for each in logits]
    after = [smoother(each, prior).argmax(1) for each in logits]
    same = before[0] == before[1]
    change = ((after[0] == before[1]).astype(float) + (after[1] == before[0])) / 2 - same
    return Trial(float(same.mean()), float(change.mean()), float(change.std() / np.sqrt(len(change))))
