"""All pairs of a set, looked at a block at a time: of each the figures are kept, and no pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tgkt_edge.data.check.alignment import MIN_PAIRS, Alignment, measure_alignment
from tgkt_edge.data.check.belonging import (
    Belonging,
    Edges,
    Place,
    blocks,
    compare_block,
    edges_of,
    measure_step,
    stretches,
)
from tgkt_edge.data.check.edges import compressed, luminance
from tgkt_edge.data.check.gather import Bad, Pair, PairFiles
from tgkt_edge.data.loading import spread

_AT_ONCE = 16

LOOKED_AT = 40
"""Pairs by which the alignment is measured: evenly spread over all."""


@dataclass(frozen=True)
class Survey:
    """What is known of all pairs.

    Attributes:
        pairs: those that can be read, in order, without their pictures. positions: of these in the set.
        bad: the rest. alignment, belonging: None: too few pairs.
    """

    pairs: list[Pair]
    positions: list[int]
    bad: list[Bad]
    alignment: Alignment | None
    belonging: Belonging | None


def survey_pairs(files: PairFiles) -> Survey:
    """Read every pair once, and some of them twice more.

    Raises:
        DataError: a file that was read cannot be read again.
    """
    alignment = _alignment(files)
    place: Place = (1.0, 1.0, 0.0, 0.0)
    if alignment is not None and alignment.off:
        place = (alignment.across, alignment.down, alignment.right, alignment.below)
    figures: dict[int, Pair] = {}
    bad: dict[int, Bad] = {}
    own, others, better = np.zeros((3, len(files)))
    for block in blocks(len(files)):
        known: dict[int, Edges] = {}
        for position, one in zip(block.tolist(), files.read(block.tolist()), strict=True):
            if isinstance(one, Bad):
                bad[position] = one
            else:
                figures[position], known[position] = one.figures, _edges(one, place)
        if known:
            rows = list(known)
            own[rows], others[rows], better[rows] = compare_block(list(known.values()))
    positions = sorted(figures)
    belonging = None
    if len(positions) >= MIN_PAIRS:
        runs = [[positions[i] for i in run] for run in stretches(len(positions))]
        step = measure_step([_edges_of_run(files, run, place) for run in runs])
        belonging = Belonging(own[positions], others[positions], float(better[positions].mean()), step)
    pairs = [figures[position] for position in positions]
    return Survey(pairs, positions, [bad[position] for position in sorted(bad)], alignment, belonging)


def _alignment(files: PairFiles) -> Alignment | None:
    """Of :data:`LOOKED_AT` pairs that can be read; None: none can."""
    chosen = spread(len(files), LOOKED_AT)
    some = [one for one in files.read(chosen) if isinstance(one, Pair)]
    if len(some) < len(chosen):  # others take the place of those that cannot be read
        rest = sorted(set(range(len(files))) - set(chosen))
        for block in np.array_split(np.array(rest, int), max(1, len(rest) // LOOKED_AT)):
            if len(some) == LOOKED_AT:
                break
            found = [one for one in files.read(block.tolist()) if isinstance(one, Pair)]
            some += found[: LOOKED_AT - len(some)]
    if not some:
        return None
    return measure_alignment(
        [luminance(pair.rgb) for pair in some],
        [compressed(pair.half.codes) for pair in some],
        [pair.half.solid for pair in some],
    )


def _edges_of_run(files: PairFiles, positions: list[int], place: Place) -> list[Edges]:
    """Of pairs that were read before; the pictures of a few are in memory at a time."""
    parts = [positions[start : start + _AT_ONCE] for start in range(0, len(positions), _AT_ONCE)]
    return [_edges(one, place) for part in parts for one in files.good(part)]


def _edges(pair: Pair, place: Place) -> Edges:
    return edges_of(luminance(pair.rgb), compressed(pair.half.codes), pair.half.solid, place)
