"""Do the halves of the pairs belong together? By features, of which there are more than answers.

Answers about a few pairs of a few classes correlate by chance; 2048 features hardly do. What a translation makes of a
frame that it was fitted without is compared with the RGB of its own pair and with that of others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

SHUFFLES = 999


def match_p_value(rgb: Reals, translated: Reals, folds: Ints) -> float:
    """Of a permutation test: how often shuffled pairs match as well as they do as they are.

    Pairs change places within their fold alone: the translation of a fold has seen all others, and what it makes of a
    frame is like, or unlike, their RGB for that alone.

    Args:
        rgb: (M, D) what the source model sees of the RGB. translated: (M, D) of the frames, each left out of the fit.
        folds: (M,) in which of them each pair was left out.

    Returns:
        From 1 / (1 + SHUFFLES) to 1, which is where folds hold one pair each. The match is the sum of the cosines of
        both halves, each without the mean of its fold.
    """
    rng = np.random.default_rng([0, *b"match"])
    as_they_are, shuffled = 0.0, np.zeros(SHUFFLES)
    for fold in np.unique(folds):
        inside = folds == fold
        cosines = _directions(rgb[inside]) @ _directions(translated[inside]).T
        rows = np.arange(len(cosines))
        as_they_are += float(cosines.trace())
        shuffled += [float(cosines[rows, rng.permutation(len(rows))].sum()) for _ in range(SHUFFLES)]
    # Up to rounding: a fold of one has a single order.
    reached = shuffled >= as_they_are - 1e-9 * len(rgb)
    return float((1 + reached.sum()) / (1 + SHUFFLES))


def _directions(rows: Reals) -> Reals:
    centred = rows - rows.mean(0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    result: Reals = np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0)
    return result
