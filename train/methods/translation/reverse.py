"""The way back: the source's labelled features as frame features, and a head that is trained among the frames.

A second opinion beside the translation of frames: it errs elsewhere, since its head sees the frames' own features.
From zero, or, for frames that look like RGB, as a correction of the identity between the same layers of both.

From zero there are two heads. A softmax regression is the better one where pairs are many; with few of them it learns
from directions that the ridge did not find. Then the class means, which :mod:`class_means` compares frames with, are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.class_means import likeness, means_of
from tgkt_edge.train.methods.translation.discriminant import discriminant
from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.fit import FrameFeatures, TaskFrames, solve
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.softmax_regression import (
    balancing_weights,
    one_hot,
    softmax_regression,
)

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Head = Literal["regression", "means", "discriminant"]

SOFTENING = 1e-3
"""Added to the spread of a translated feature: one that the ridge found nothing for is not blown up."""

HEADS: dict[str, tuple[Head, ...]] = {
    "auto": ("regression", "means"),
    "regression": ("regression",),
    "means": ("means",),
}
"""By ``translation.reverse_head``."""

ITERATIONS = 60
"""Of L-BFGS: the head is stopped early, which costs nothing seen and saves half the time."""


def reverse_logits(
    task: TaskFrames,
    rgb: Features,
    standard_rgb: Callable[[Floats], Floats],
    source: Floats,
    labels: NDArray[np.int64],
    classes: int,
    strength: float,
    c: float,
    identity: bool = False,
    heads: Sequence[Head] = HEADS["auto"],
) -> dict[Head, Reals]:
    """(N, K) of the task's frames by class-balanced heads on translated features of the source's own images.

    Args:
        task: the frames in the encodings that are used, D features. rgb: of the pairs, C features.
        standard_rgb: to mean 0 and spread 1 over RGB images. source: (S, V, C) of the source's own, raw.
        labels: (S,). strength: of the ridge. c: of the softmax regression, for each view of each image.
        identity: whether the ridge corrects the identity, D = C, or starts from zero. The head is then that of linear
            discriminant analysis, without ``c``. heads: that are asked for where it starts from zero.
    """
    frames = task.frames
    mean_rgb, mean_frames = Moments(), Moments()
    for x, y in _pairs(frames, rgb, standard_rgb):
        mean_rgb.add(x)
        mean_frames.add(y)

    def centred() -> Iterator[tuple[Reals, Reals]]:
        for x, y in _pairs(frames, rgb, standard_rgb):
            from_mean, to_mean = x - mean_rgb.mean, y - mean_frames.mean
            yield from_mean, to_mean - from_mean if identity else to_mean

    weights = solve(centred(), mean_rgb.rows, len(mean_rgb.mean), strength)  # (C, D)
    known = standard_rgb(source).reshape(-1, source.shape[-1]) - mean_rgb.mean
    as_frames = (known @ weights + known if identity else known @ weights).astype(np.float32)  # (S V, D)
    views = source.shape[1]
    of_rows = np.repeat(labels, views)
    found: dict[Head, Reals] = {}
    if not identity and "means" in heads:
        found["means"] = likeness(task, means_of(as_frames, of_rows, classes))
    if identity or "regression" in heads:
        moments = Moments()
        moments.add(as_frames)
        as_frames = ((as_frames - moments.mean) / (moments.std + SOFTENING)).astype(np.float32)
        seen = Moments()
        for block, _ in task.blocks():
            seen.add(block)
        name: Head
        if identity:
            name = "discriminant"
            head = discriminant(as_frames, of_rows, classes)
        else:
            name = "regression"
            rows = one_hot(of_rows, classes) * balancing_weights(of_rows, classes)[:, None]
            head = softmax_regression(lambda: [(as_frames, rows)], c, iterations=ITERATIONS)
        found[name] = np.concatenate([head((block - seen.mean) / seen.scale) for block, _ in task.blocks()])
    if identity or "means" in found:  # of a class without an image nothing is known
        absent = np.bincount(labels, minlength=classes) == 0
        for name, logits in found.items():
            if name != "regression":
                logits[:, absent] = logits[:, ~absent].min(1, keepdims=True)
    return found


def standard_over(features: Features) -> Callable[[Floats], Floats]:
    """What brings rows of such features to mean 0 and spread 1 over all views of these images."""
    return _standard(block for _, block in features.blocks())


def standard_of(rows: Floats) -> Callable[[Floats], Floats]:
    """The same for images whose features (S, V, D) are in memory."""
    return _standard([rows])


def _standard(blocks: Iterable[Floats]) -> Callable[[Floats], Floats]:
    moments = Moments()
    for block in blocks:
        moments.add(block.reshape(-1, block.shape[-1]))

    def standard(rows: Floats) -> Floats:
        result: Floats = ((rows - moments.mean) / moments.scale).astype(np.float32)
        return result

    return standard


def _pairs(
    frames: Sequence[FrameFeatures], rgb: Features, standard_rgb: Callable[[Floats], Floats]
) -> Iterator[tuple[Floats, Floats]]:
    """Rows of RGB features and of frame features, of every view of every pair."""
    sets = [one.pairs.blocks() for one in frames]
    for _, block in rgb.blocks():
        y = np.concatenate([one.standard(next(s)[1]) for one, s in zip(frames, sets, strict=True)], -1)
        x = standard_rgb(block)
        yield x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])


def mean_opinion(opinions: Sequence[Reals], scale: float, weights: Sequence[float] = (1.0, 1.0)) -> Reals:
    """(N, K) logits: the weighted mean of several, each brought to one spread, times ``scale``."""
    found = []
    for logits in opinions:
        centred = logits - logits.mean(1, keepdims=True)
        found.append(centred / max(float(centred.std()), 1e-12))
    result: Reals = scale * np.average(found, 0, weights[: len(found)])
    return result
