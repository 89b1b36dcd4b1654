"""Pairs that no stage trains on: the only images about which the source model can be asked in both modalities."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.sets import Pairs, take_rows

MIN_PAIRS = 4
"""Pairs held out at least, where that is no more than a third of all."""

RUNS = 16
"""Most runs of neighbouring pairs that are held out."""

Ints = NDArray[np.int64]


def held_out(count: int, share: float, seed: int) -> list[Ints]:
    """Which of ``count`` pairs to keep from training: runs of neighbours, spread evenly over the list.

    Neighbours in a recording look alike, so single pairs drawn at random would have twins among the trained ones. For
    the same reason a bootstrap should draw whole runs.

    Args:
        share: of all pairs, 0 to 0.5; 0 holds none out.

    Returns:
        Ascending, disjoint runs of indices, lengths differing by one at most; at most RUNS of them.
    """
    if share == 0:
        return []
    expected = max(round(share * count), min(MIN_PAIRS, count // 3))
    rng = np.random.default_rng([seed, *b"holdout"])
    runs = min(expected, RUNS)
    chosen = []
    for number, stretch in enumerate(np.array_split(np.arange(count), runs) if runs else []):
        length = expected // runs + (number < expected % runs)
        start = int(rng.integers(0, len(stretch) - length + 1))
        chosen.append(stretch[start : start + length])
    return chosen


def split_pairs(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs, list[int]]:
    """Pairs to train on, held-out pairs (see :func:`held_out`), and the lengths of their runs in order."""
    runs = held_out(len(pairs), share, seed)
    held = np.concatenate([np.empty(0, np.int64), *runs])
    kept = np.setdiff1d(np.arange(len(pairs)), held)
    return take_pairs(pairs, kept), take_pairs(pairs, held), [len(run) for run in runs]


def neighbour_runs(count: int) -> list[int]:
    """Lengths of up to RUNS runs of neighbours that ``count`` pairs fall into, for a bootstrap over whole runs."""
    return [len(run) for run in np.array_split(np.arange(count), min(RUNS, count)) if len(run)]


def distinct(pairs: Pairs) -> Pairs:
    """Without pairs that copy an earlier one, pixel by pixel: a copy teaches nothing, and leaks into the hold-out."""
    seen: dict[bytes, int] = {}
    for number in range(len(pairs)):
        key = hashlib.sha256(pairs.rgb[number].tobytes() + pairs.codes[number].tobytes()).digest()
        seen.setdefault(key, number)
    return take_pairs(pairs, np.array(sorted(seen.values()), np.int64))


def no_pairs(side: int) -> Pairs:
    """Nothing, in the shapes of pairs of ``side`` pixels."""
    return Pairs(np.empty((0, side, side, 3), np.uint8), np.empty((0, side, side), np.uint16), ())


def take_pairs(pairs: Pairs, index: Ints) -> Pairs:
    """Those of these numbers, in their order."""
    if len(index) == len(pairs) and (index == np.arange(len(pairs))).all():
        return pairs
    return Pairs(
        take_rows(pairs.rgb, index), take_rows(pairs.codes, index), tuple(pairs.names[i] for i in index)
    )
