"""Which translation to use: decided by pairs left out, never by the task's own frames, whose classes nobody knows.

For every way to encode the frames, strength of the ridge, and start (from zero or from the identity), the translation
is fitted on four fifths of the pairs and answers for the rest. What counts is how well its answers correlate, class
by class, with the source model's on the RGB of the same pairs. Both halves show one scene, so a translation that
keeps what the source model looks at has a high one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.features import Encoding
from tgkt_edge.train.methods.translation.matching import match_p_value
from tgkt_edge.train.methods.translation.moments import Moments

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

FOLDS = 5
"""Parts of the pairs, each left out once."""

MOST = 1500
"""Pairs that the choice is made on at most, evenly spread over the list."""


@dataclass(frozen=True)
class Candidate:
    """One translation to try.

    Attributes:
        encodings: of the frame, whose features are concatenated, such as ("plain", "normals").
        strength: of the ridge, for one view of a pair.
        identity: whether W corrects the identity (b = 1) or starts from zero (b = 0).
    """

    encodings: tuple[Encoding, ...]
    strength: float
    identity: bool


@dataclass(frozen=True)
class PairFeatures:
    """Features of M pairs in V views, standardised.

    Attributes:
        frames: by encoding (M, V, D). last: (M, V, 2048), the plain frame's last layer, standardised on its own; None
            where the identity is not tried.
        rgb: (M, V, 2048) of the source model.
    """

    frames: Mapping[Encoding, Floats]
    last: Floats | None
    rgb: Floats


def folds_of(count: int) -> Ints:
    """(count,) the fold of each pair, at random, the same for the same count. At least 2 pairs.

    Folds of whole runs of neighbours would be stricter, and were tried: they favoured the identity for depth, which is
    the worse choice on the task's own frames.
    """
    fold: Ints = np.random.default_rng([0, *b"folds"]).permutation(count) % min(FOLDS, count)
    return fold


def left_out(pairs: PairFeatures, encodings: Sequence[Encoding], strengths: Sequence[float]) -> dict[
    tuple[float, bool], Reals
]:  # fmt: skip
    """Translated features of every pair, from a ridge that was fitted without its fold.

    The system is solved for the pairs left out, of which there are few, and not for all columns of the features.

    Returns:
        (strength, identity) to (M, 2048), the mean over the views; of the identity only with ``pairs.last``.
    """
    x = np.concatenate([pairs.frames[name] for name in encodings], -1)  # (M, V, D) float32
    count, views, columns = x.shape
    mean_x = x.mean(1)  # (M, D)
    last = pairs.last
    outputs = pairs.rgb if last is None else np.concatenate([pairs.rgb, last], -1)  # (M, V, 1 or 2 * 2048)
    width = pairs.rgb.shape[-1]
    mean_last = None if last is None else last.mean(1, dtype=np.float64)
    fold = folds_of(count)
    begins = (False,) if last is None else (False, True)
    found = {(s, b): np.empty((count, width)) for s in strengths for b in begins}
    flat = x.reshape(-1, columns)
    rows_fold = np.repeat(fold, views)
    dual = len(flat) <= columns
    # Products in float32, whose rounding is far below any strength; systems are solved in float64.
    gram = (flat @ flat.T if dual else flat.T @ flat).astype(np.float64)
    for number in range(fold.max() + 1):
        inside, out = rows_fold != number, fold == number
        y = outputs[~out].reshape(-1, outputs.shape[-1])
        if dual:
            system, seen = gram[np.ix_(inside, inside)], flat[inside] @ mean_x[out].T  # (n, n), (n, m)
        else:
            rest = flat[~inside]
            system, seen = gram - (rest.T @ rest).astype(np.float64), mean_x[out].T
            y = flat[inside].T @ y
        for strength in strengths:
            lifted = system.copy()
            lifted[np.diag_indices_from(lifted)] += strength * views
            hat = scipy.linalg.solve(lifted, seen, assume_a="pos", overwrite_a=True)
            answer = (hat.T.astype(np.float32) @ y).astype(np.float64)  # (m, 1 or 2 * 2048)
            found[strength, False][out] = answer[:, :width]
            if mean_last is not None:
                found[strength, True][out] = answer[:, :width] - answer[:, width:] + mean_last[out]
    return found


def unit_spread(z: Reals) -> Reals:
    """(M, D) columns divided by their spread over the rows."""
    moments = Moments()
    moments.add(z)
    result: Reals = z / moments.scale
    return result


@dataclass(frozen=True)
class Choice:
    """The translation that pairs left out favor.

    Attributes:
        best: of ``tried``, which has the correlation of each.
        rgb, translated: (M, K) answers about the RGB and about its translated frames, of nested left-out pairs: for
            each fold by the candidate that is best on all others, so that their correlation is not flattered by the
            choice.
        p_value: of the match of both halves, by the best; see :func:`match_p_value`.
    """

    best: Candidate
    tried: dict[Candidate, float]
    rgb: Reals
    translated: Reals
    p_value: float


def choose(
    pairs: PairFeatures,
    head: Callable[[Reals], Reals],
    encodings: Sequence[tuple[Encoding, ...]],
    strengths: Sequence[float],
    starts: Sequence[bool],
    watch: Callable[[], None] = lambda: None,
) -> Choice:
    """Try every candidate; of equals the first.

    Args:
        head: (M, 2048) features of the source model, mean over views, to (M, K) probabilities.
        watch: called after each set of encodings.

    Raises:
        ValueError: there is nothing to try.
    """
    seen = pairs.rgb.mean(1, dtype=np.float64)
    rgb = head(seen)
    found: dict[Candidate, Reals] = {}
    tried: dict[Candidate, float] = {}
    best, features = None, np.empty(0)  # the best so far, and what it makes of the frames
    for names in encodings:
        for (strength, identity), z in left_out(pairs, names, strengths).items():
            if identity not in starts:
                continue
            candidate, answers = Candidate(names, strength, identity), head(unit_spread(z))
            value = float(correlation(rgb, answers)[0])
            if best is None or value > tried[best]:
                best, features = candidate, z
            found[candidate], tried[candidate] = answers, value
        watch()
    if best is None:
        raise ValueError("no candidate: at least one encoding, strength and start is expected")
    fold, nested = folds_of(len(rgb)), np.empty_like(rgb)
    for number in range(fold.max() + 1):
        others, out = fold != number, fold == number
        without = max(found, key=lambda one: float(correlation(rgb[others], found[one][others])[0]))
        nested[out] = found[without][out]
    return Choice(best, tried, rgb, nested, match_p_value(seen, features, fold))
