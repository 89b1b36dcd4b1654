"""The translation the other way and its heads, where both spaces show the same classes; and opinions of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tgkt_edge.train.methods.translation.discriminant import SHRINKAGE
from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.fit import TaskFrames, together
from tgkt_edge.train.methods.translation.reverse import (
    ITERATIONS,
    SOFTENING,
    Head,
    mean_opinion,
    reverse_logits,
    standard_over,
)
from tgkt_edge.train.methods.translation.softmax_regression import softmax_regression
from tgkt_edge.train.nn.checkpoint import save_tensors


def on_disk(rows: np.ndarray, folder: Path, name: str) -> Features:
    save_tensors(folder / name, {"features": torch.from_numpy(rows.astype(np.float16))}, {})
    return Features([folder / name], len(rows))


def test_a_head_on_translated_source_features_classifies_frames(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    """A scene is a point in three dimensions; RGB and frames see it through two different maps. Class: a sign."""
    to_rgb, to_frame = rng.normal(size=(3, 6)), rng.normal(size=(3, 5))

    def scenes(count: int) -> np.ndarray:
        return rng.normal(size=(count, 1, 3)) + np.zeros((count, 2, 3))

    pairs, source, task = scenes(40), scenes(60), scenes(30)
    labels, truth = (scene[:, 0, 0] > 0 for scene in (source, task))
    frames = together(
        on_disk(pairs @ to_frame, tmp_path, "pairs"), on_disk(task @ to_frame, tmp_path, "task")
    )
    rgb = on_disk(pairs @ to_rgb, tmp_path, "rgb")
    logits = reverse_logits(
        TaskFrames([frames], None), rgb, lambda rows: rows.astype(np.float32), (source @ to_rgb).astype(np.float32),
        labels.astype(np.int64), 2, 0.1, 1.0,
    )  # fmt: skip
    assert set(logits) == {"regression", "means"}
    for found in logits.values():
        assert found.shape == (30, 2)
        assert (found.argmax(1) == truth).mean() > 0.9


@pytest.fixture
def alike(rng: np.random.Generator, tmp_path: Path) -> tuple[TaskFrames, Features, np.ndarray, np.ndarray]:
    """40 pairs, 30 frames and 20 source images in two views of six features; frames nearly look like their RGB."""
    rgb, source = 3 * rng.normal(size=(40, 2, 6)) + 1, 3 * rng.normal(size=(20, 2, 6)) + 1
    to_frame = np.eye(6) + 0.3 * rng.normal(size=(6, 6))
    frames = together(
        on_disk(rgb @ to_frame, tmp_path, "pairs"),
        on_disk(3 * rng.normal(size=(30, 2, 6)) @ to_frame, tmp_path, "task"),
    )
    source = source.astype(np.float16).astype(np.float32)
    return TaskFrames([frames], None), on_disk(rgb, tmp_path, "rgb"), source, np.arange(20) % 3


def by_hand(
    task: TaskFrames, rgb: Features, source: np.ndarray, labels: np.ndarray, strength: float, identity: bool
) -> np.ndarray:
    """The same in a few lines of numpy, all rows at once."""
    one = task.frames[0]
    pairs, images = (next(f.blocks())[1].reshape(-1, 6).astype(np.float64) for f in (one.pairs, rgb))
    frames = next(one.task.blocks())[1].astype(np.float64)
    both = np.concatenate([pairs, frames.reshape(-1, 6)])
    y, mean_task = (pairs - both.mean(0)) / both.std(0), ((frames - both.mean(0)) / both.std(0)).mean(1)
    x = (images - images.mean(0)) / images.std(0)
    known = (source.reshape(-1, 6) - images.mean(0)) / images.std(0)
    wanted = y - y.mean(0) - (x if identity else 0)
    weights = np.linalg.solve(x.T @ x + strength * np.eye(6), x.T @ wanted)
    seen = known @ weights + (known if identity else 0)
    seen = (seen - seen.mean(0)) / (seen.std(0) + SOFTENING)
    counts = np.bincount(labels)
    asked = (mean_task - mean_task.mean(0)) / mean_task.std(0)
    if identity:
        return discriminant_by_hand(seen, np.repeat(labels, 2), asked)
    rows = np.repeat(np.eye(3)[labels] * (len(labels) / (3 * counts))[labels][:, None], 2, 0)
    return softmax_regression(lambda: [(seen, rows)], 1.0, iterations=ITERATIONS)(asked)


def discriminant_by_hand(x: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The covariance is the mean of those of the three classes."""
    means = np.stack([x[labels == k].mean(0) for k in range(3)])
    within = np.mean([np.cov(x[labels == k].T, bias=True) for k in range(3)], 0)
    means = means - means.mean(0)
    spread = np.sqrt(np.diag(within) + means.var(0)) + SOFTENING
    means, within = means / spread, within / np.outer(spread, spread)
    weight = np.linalg.inv(within + SHRINKAGE * 6 * np.eye(6)) @ means.T
    result: np.ndarray = asked @ weight - 0.5 * np.diag(means @ weight)
    return result


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("strength", [0.1, 30.0])
def test_it_is_a_ridge_and_a_head_that_counts_classes_alike(
    strength: float, identity: bool, alike: tuple[TaskFrames, Features, np.ndarray, np.ndarray]
) -> None:
    task, rgb, source, labels = alike
    found = reverse_logits(task, rgb, standard_over(rgb), source, labels, 3, strength, 1.0, identity)
    head = found["discriminant" if identity else "regression"]
    np.testing.assert_allclose(head, by_hand(task, rgb, source, labels, strength, identity), atol=1e-3)


def test_a_ridge_without_strength_to_move_leaves_the_sources_features_as_they_are(
    alike: tuple[TaskFrames, Features, np.ndarray, np.ndarray],
) -> None:
    """The correction of the identity goes to zero, and the head is that of RGB features, asked about frames."""
    task, rgb, source, labels = alike
    found = reverse_logits(task, rgb, standard_over(rgb), source, labels, 3, 1e12, 1.0, True)["discriminant"]
    known = standard_over(rgb)(source).reshape(-1, 6)
    known = (known - known.mean(0)) / (known.std(0) + SOFTENING)
    frames = np.concatenate([block for block, _ in task.blocks()])
    asked = (frames - frames.mean(0)) / frames.std(0)
    np.testing.assert_allclose(found, discriminant_by_hand(known, np.repeat(labels, 2), asked), atol=1e-3)


def test_the_other_head_from_zero_is_how_like_a_frame_is_to_the_class_means(
    alike: tuple[TaskFrames, Features, np.ndarray, np.ndarray],
) -> None:
    """Class means of the translated source, and the covariance of the frames, shrunken by all of their variance."""
    task, rgb, source, labels = alike
    found = reverse_logits(task, rgb, standard_over(rgb), source, labels, 3, 30.0, 1.0, heads=("means",))
    assert set(found) == {"means"}
    one = task.frames[0]
    y = one.standard(next(one.pairs.blocks())[1]).reshape(-1, 6).astype(np.float64)
    x = standard_over(rgb)(next(rgb.blocks())[1]).reshape(-1, 6).astype(np.float64)
    weights = np.linalg.solve(x.T @ x + 30 * np.eye(6), x.T @ (y - y.mean(0)))
    as_frames = standard_over(rgb)(source).astype(np.float64) @ weights
    means = np.stack([as_frames[labels == k].mean((0, 1)) for k in range(3)])
    frames = np.concatenate([block for block, _ in task.blocks()])
    away = frames - frames.mean(0)
    covariance = away.T @ away / len(away)
    strength = np.trace(covariance) * np.eye(6)
    by_hand = away @ np.linalg.inv(covariance + strength) @ (means - means.mean(0)).T
    np.testing.assert_allclose(found["means"], by_hand, atol=1e-4)


@pytest.mark.parametrize("identity", [False, True])
def test_a_class_without_an_image_is_nobodys_first(
    identity: bool, alike: tuple[TaskFrames, Features, np.ndarray, np.ndarray]
) -> None:
    task, rgb, source, labels = alike
    name: Head = "discriminant" if identity else "means"
    known = reverse_logits(task, rgb, standard_over(rgb), source, labels, 3, 1.0, 1.0, identity)[name]
    found = reverse_logits(task, rgb, standard_over(rgb), source, labels, 4, 1.0, 1.0, identity)[name]
    np.testing.assert_array_equal(found[:, :3], known)
    np.testing.assert_array_equal(found[:, 3], known.min(1))


def test_rows_are_standardised_over_all_views_of_the_images_given(
    alike: tuple[TaskFrames, Features, np.ndarray, np.ndarray],
) -> None:
    _, rgb, source, _ = alike
    rows = next(rgb.blocks())[1].reshape(-1, 6)
    found = standard_over(rgb)(source)
    assert found.shape == source.shape
    np.testing.assert_allclose(found, (source - rows.mean(0)) / rows.std(0), atol=1e-5)


def test_opinions_count_alike_whatever_their_size(rng: np.random.Generator) -> None:
    one, other = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    found = mean_opinion([one, 100 * other + 7], 3.0)
    np.testing.assert_allclose(found, mean_opinion([one, other], 3.0))
    weighted = mean_opinion([one, other], 1.0, (1.0, 2.0))
    np.testing.assert_allclose(weighted, (mean_opinion([one], 1.0) + 2 * mean_opinion([other], 1.0)) / 3)
    alone = mean_opinion([one], 3.0)
    np.testing.assert_allclose(alone.std(), 3.0)
    np.testing.assert_allclose(alone.sum(1), 0, atol=1e-12)


def test_an_opinion_that_says_nothing_is_nothing() -> None:
    assert mean_opinion([np.full((4, 2), 5.0)], 3.0).tolist() == [[0.0, 0.0]] * 4
