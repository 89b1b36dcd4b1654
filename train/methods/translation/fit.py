"""The translation fitted on all pairs, and the task's frames translated by it; block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.ridge import Block, dual_weights, normal_equations
from tgkt_edge.train.methods.translation.self_training import principal_components

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class FrameFeatures:
    """One encoding of the frames of pairs and task, standardised over both together."""

    pairs: Features
    task: Features
    mean: Reals
    scale: Reals

    def standard(self, block: Floats) -> Floats:
        """(n, V, D) of either set, with mean 0 and spread 1 over both."""
        result: Floats = ((block - self.mean) / self.scale).astype(np.float32)
        return result


def together(pairs: Features, task: Features) -> FrameFeatures:
    """Mean and standard deviation over all views of the frames of pairs and task together."""
    moments = Moments()
    for features in (pairs, task):
        for _, block in features.blocks():
            moments.add(block.reshape(-1, block.shape[-1]))
    return FrameFeatures(pairs, task, moments.mean, moments.scale)


def fit(
    frames: Sequence[FrameFeatures],
    last: FrameFeatures | None,
    rgb: Features,
    standard_rgb: Callable[[Floats], Floats],
    strength: float,
) -> Reals:
    """W (D, 2048): ridge from the views of all paired frames to those of their RGB.

    Args:
        frames: encodings whose features are concatenated. last: what W corrects (the identity); None: W starts at zero.
        rgb: of the source model; standard_rgb: to mean 0 and spread 1 over the source's own images.
    """

    def blocks() -> Iterator[tuple[Floats, Floats]]:
        sets = [one.pairs.blocks() for one in frames]
        lasts = last.pairs.blocks() if last is not None else None
        for _, rgb_block in rgb.blocks():
            x = np.concatenate(
                [one.standard(next(s)[1]) for one, s in zip(frames, sets, strict=True)], -1
            )  # (n, V, D)
            y = standard_rgb(rgb_block)
            if last is not None and lasts is not None:
                y = y - last.standard(next(lasts)[1])
            yield x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])

    views = next(iter(rgb.blocks()))[1].shape[1]
    return solve(blocks(), len(rgb) * views, sum(len(one.mean) for one in frames), strength)


def solve(blocks: Iterable[Block], rows: int, columns: int, strength: float) -> Reals:
    """W (columns, M) by the normal equations, or by their dual where there are fewer ``rows``."""
    if rows > columns:
        return normal_equations(blocks).solve(strength)
    xs, ys = zip(*blocks, strict=True)
    x = np.concatenate(xs).astype(np.float64)
    result: Reals = x.T @ dual_weights(x @ x.T, np.concatenate(ys), strength)
    return result


@dataclass(frozen=True)
class TaskFrames:
    """The task's frames as the mean over their views: of the features that are translated, and of ``last``."""

    frames: Sequence[FrameFeatures]
    last: FrameFeatures | None

    def __len__(self) -> int:
        return len(self.frames[0].task)

    def blocks(self) -> Iterator[tuple[Reals, Reals | None]]:
        """(n, D) and (n, 2048) or None, in order."""
        sets = [one.task.blocks() for one in self.frames]
        lasts = self.last.task.blocks() if self.last is not None else None
        for first in sets[0]:
            parts = [first[1], *(next(other)[1] for other in sets[1:])]
            x = np.concatenate(
                [
                    one.standard(part).mean(1, dtype=np.float64)
                    for one, part in zip(self.frames, parts, strict=True)
                ],
                -1,
            )
            last = None
            if self.last is not None and lasts is not None:
                last = self.last.standard(next(lasts)[1]).mean(1, dtype=np.float64)
            yield x, last

    def translated(self, weights: Reals) -> Iterator[Reals]:
        """(n, 2048) of each block."""
        for x, last in self.blocks():
            yield x @ weights if last is None else x @ weights + last


def translated_logits(task: TaskFrames, weights: Reals, head: Callable[[Reals], Reals]) -> Reals:
    """(N, K): the translated features, of unit spread over the task's frames, through the source's head."""
    moments = Moments()
    for z in task.translated(weights):
        moments.add(z)
    return np.concatenate([head(z / moments.scale) for z in task.translated(weights)])


def main_directions(task: TaskFrames, count: int) -> Reals:
    """(N, C) the frames along their ``count`` largest principal components, each of unit spread."""
    moments = Moments()
    for x, _ in task.blocks():
        moments.add(x)
    columns, n = len(moments.mean), len(task)
    if n <= columns:
        x = np.concatenate([block for block, _ in task.blocks()]) - moments.mean
        _, vectors = principal_components(x @ x.T, min(count, n))
        result: Reals = vectors * np.sqrt(n)
        return result
    covariance = np.zeros((columns, columns))
    for x, _ in task.blocks():
        covariance += (x - moments.mean).T @ (x - moments.mean)
    values, vectors = principal_components(covariance, count)
    found, start = np.empty((n, len(values))), 0
    for x, _ in task.blocks():
        found[start : start + len(x)] = (x - moments.mean) @ vectors / np.sqrt(values / n)
        start += len(x)
    return found
