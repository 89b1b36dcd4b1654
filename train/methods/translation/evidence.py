"""Whether the two halves of the pairs belong together, as far as the translation can tell."""

from __future__ import annotations

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.translate import Translation

LEAST = 0.1
"""Correlation below which nothing was translated, however many pairs say so. Seen on real sets: 0.55 and 0.86."""

SHUFFLES = 2000


def belong_together(found: Translation) -> str | None:
    """None; or, for a person, that the answers on pairs left out do not correlate with those on their RGB.

    They have to correlate better than in 95 % of the cases in which pairs are shuffled; where the best of several
    candidates was taken on these very pairs, each of these has its share of the 5 % (Bonferroni).
    """
    tried = max(1, len(found.about.get("tried", ())))
    value = float(correlation(found.rgb, found.translated)[0])
    rng = np.random.default_rng([0, *b"shuffle"])
    by_chance = [
        float(correlation(found.rgb, found.translated[rng.permutation(len(found.rgb))])[0])
        for _ in range(SHUFFLES)
    ]
    limit = max(LEAST, float(np.quantile(by_chance, 1 - 0.05 / tried)))
    if value >= limit:
        return None
    return (
        f"`paired`: of {len(found.rgb)} pairs left out, answers on translated frames correlate with those on their RGB "
        f"by {value:.2f}, no more than {limit:.2f}, which shuffled or unrelated pairs reach: the frames do not show "
        f"what the source model looks at. Check that each frame shows the scene of its RGB at the same moment, that "
        f"`sensor` describes it correctly, and that the pairs show scenes like those of the task."
    )
