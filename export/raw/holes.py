"""Filling holes with the nearest pixel, as docs/preprocessing.md has it, without a loop over pixels: rule 7.

The rule visits pixels one after the other, twice. What it leaves can be had for all pixels at once:

- The distances after the first pass are the least sums of forward steps from a pixel that is no hole. Steps add up in
  any order, so they are taken direction by direction; 1, 2, 4, ... steps of a direction at a time reach all pixels.
  The least sum mixes two neighbouring directions at most, so that no path needs to leave the image.
- The pixel that a distance was taken from is the first neighbour, in the rule's order, whose distance and step are
  equal to it. All pixels know theirs at once.
- Following these pointers 1, 2, 4, ... times leads every hole to its pixel.

The second pass is the same, the other way round, from the distances of the first. All numbers are whole and below 2^24,
so float32 holds them exactly, and the result is bit for bit the rule's.
"""

from __future__ import annotations

import numpy as np

from tgkt_edge.export.raw.nodes import Nodes

STEPS = (
    (-2, -1, 71988),
    (-2, 1, 71988),
    (-1, -2, 71988),
    (-1, -1, 45875),
    (-1, 0, 32768),
    (-1, 1, 45875),
    (-1, 2, 71988),
    (0, -1, 32768),
)
"""Rows, columns and distance of the first pass's neighbours in their order; in 32768ths, half of the rule's numbers."""

FAR = 1e9
"""Distance of what no pixel was found for. A power of two would, with a step added, be rounded to itself."""


def add_filling(nodes: Nodes, mean: str, hole: str, side: int) -> str:
    """Add nodes that fill each hole of (side, side) ``mean`` with the value of the nearest pixel that is not a hole.

    Args:
        hole: (side, side) bool.

    Returns:
        (side, side) float32; where everything is a hole, ``mean``.
    """
    start = nodes.add("Where", hole, nodes.number(FAR), nodes.number(0))
    itself = nodes.constant(np.arange(side * side, dtype=np.int32).reshape(side, side))
    forward = _distances(nodes, start, side, 1)
    first = _pointers(nodes, forward, itself, side, 1)
    backward = _distances(nodes, forward, side, -1)
    second = _pointers(nodes, backward, itself, side, -1)
    nearer = nodes.add("Less", backward, forward)
    second = nodes.add("Where", nearer, second, itself)
    flat = nodes.integers(-1)
    roots = [_followed(nodes, nodes.add("Reshape", one, flat), side) for one in (first, second)]
    nearest = nodes.add("Gather", roots[0], roots[1], axis=0)
    values = nodes.add("Gather", nodes.add("Reshape", mean, flat), nearest, axis=0)
    return nodes.add("Reshape", values, nodes.integers(side, side))


def _distances(nodes: Nodes, start: str, side: int, sign: int) -> str:
    """The least of ``start`` and of what any steps of one pass make of it."""
    found = start
    for rows, columns, step in STEPS:
        count = 1
        while count * max(abs(rows), abs(columns)) < side:
            moved = _moved(nodes, found, sign * rows * count, sign * columns * count, side)
            found = nodes.add("Min", found, nodes.add("Add", moved, nodes.number(step * count)))
            count *= 2
    return found


def _pointers(nodes: Nodes, distances: str, itself: str, side: int, sign: int) -> str:
    """For each pixel the number of the first neighbour that its distance was taken from; else its own."""
    found = itself
    for rows, columns, step in reversed(STEPS):  # so that the first has the last word
        rows, columns = sign * rows, sign * columns
        taken = nodes.add("Add", _moved(nodes, distances, rows, columns, side), nodes.number(step))
        same = nodes.add("Equal", taken, distances)
        there = nodes.constant(
            np.arange(side * side, dtype=np.int32).reshape(side, side) + np.int32(rows * side + columns)
        )
        found = nodes.add("Where", same, there, found)
    return found


def _moved(nodes: Nodes, image: str, rows: int, columns: int, side: int) -> str:
    """(side, side): at each pixel what lies ``rows`` below and ``columns`` to the right of it; FAR outside."""
    top, left = max(0, rows), max(0, columns)
    kept = nodes.add(
        "Slice", image, nodes.integers(top, left), nodes.integers(side + min(0, rows), side + min(0, columns)),
        nodes.integers(0, 1),
    )  # fmt: skip
    before = (max(0, -rows), max(0, -columns))
    return nodes.add("Pad", kept, nodes.integers(*before, top, left), nodes.number(FAR))


def _followed(nodes: Nodes, pointers: str, side: int) -> str:
    """Where (side * side,) pointers end: a chain is shorter than the image is high or wide."""
    for _ in range(int(np.ceil(np.log2(max(2, side))))):
        pointers = nodes.add("Gather", pointers, pointers, axis=0)
    return pointers
