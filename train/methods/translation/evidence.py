"""Whether the two halves of the pairs belong together, as far as the translation can tell."""

from __future__ import annotations

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.translate import Translation

LEAST = 0.1
"""Correlation below which nothing was translated, however many pairs say so. Seen on real sets: 0.55 and 0.86."""

SIGNIFICANCE = 0.01
"""Level of the permutation test of :mod:`matching` up to which pairs are believed to belong together."""

SHUFFLES = 2000


def belong_together(found: Translation) -> str | None:
    """None; or, for a person, that pairs left out do not show it.

    Either the features show it, or the answers do. These then correlate better than in 95 % of the cases in which pairs
    are shuffled; where the best of several candidates was taken, each of these has its share of the 5 % (Bonferroni).
    Of few pairs the features tell more. Whatever they tell, answers that hardly correlate teach nothing.
    """
    tried = max(1, len(found.about.get("tried", ())))
    p_value = float(found.about.get("match_p_value", 1.0))  # translations of before do not tell
    value = float(correlation(found.rgb, found.translated)[0])
    rng = np.random.default_rng([0, *b"shuffle"])
    by_chance = [
        float(correlation(found.rgb, found.translated[rng.permutation(len(found.rgb))])[0])
        for _ in range(SHUFFLES)
    ]
    limit = max(LEAST, float(np.quantile(by_chance, 1 - 0.05 / tried)))
    if value >= limit or (value >= LEAST and p_value <= SIGNIFICANCE):
        return None
    start = (
        f"`paired`: of {len(found.rgb)} pairs left out, answers on translated frames correlate with those on their RGB "
        f"by {value:.2f}, "
    )
    if p_value <= SIGNIFICANCE:
        return (
            f"{start}which is too little to learn from, though frames and RGB do match: what the source model looks at "
            f"does not show on them, or the pairs are too few. Pairs of scenes like those of the task, and more of "
            f"them, may help."
        )
    return (
        f"{start}no more than {limit:.2f}, which shuffled or unrelated pairs reach: the frames do not show what the "
        f"source model looks at. Check that each frame shows the scene of its RGB at the same moment, that `sensor` "
        f"describes it correctly, and that the pairs show scenes like those of the task."
    )
