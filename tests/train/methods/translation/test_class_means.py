"""Class means as a head: what it makes of frames that are all alike, and of many frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tgkt_edge.train.methods.translation import class_means
from tgkt_edge.train.methods.translation.class_means import likeness, means_of
from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.fit import TaskFrames, together
from tgkt_edge.train.nn.checkpoint import save_tensors


def on_disk(rows: np.ndarray, folder: Path, name: str, files: int = 1) -> Features:
    paths = [folder / f"{name}{number}" for number in range(files)]
    for path, part in zip(paths, np.array_split(rows.astype(np.float16), files), strict=True):
        save_tensors(path, {"features": torch.from_numpy(part)}, {})
    return Features(paths, len(rows))


def test_means_are_those_of_the_classes_that_occur_less_their_own_mean() -> None:
    rows = np.array([[1, 0], [3, 0], [0, 4]], np.float32)
    found = means_of(rows, np.array([0, 0, 2]), 4)
    np.testing.assert_allclose(found, [[1, -2], [0, 0], [-1, 2], [0, 0]])


def test_frames_that_are_all_alike_are_like_no_class_more_than_another(tmp_path: Path) -> None:
    alike = np.ones((6, 1, 3))
    frames = together(on_disk(alike, tmp_path, "pairs"), on_disk(alike, tmp_path, "task"))
    np.testing.assert_array_equal(likeness(TaskFrames([frames], None), np.eye(3)), np.zeros((6, 3)))


def test_of_many_frames_the_covariance_is_that_of_some_and_every_frame_is_answered(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first and the last, and as many between them; in blocks as in one."""
    rows, pairs, means = rng.normal(size=(40, 2, 5)), rng.normal(size=(9, 2, 5)), rng.normal(size=(3, 5))
    answers = []
    for files in (1, 4):
        folder = tmp_path / str(files)
        folder.mkdir()
        frames = together(on_disk(pairs, folder, "pairs"), on_disk(rows, folder, "task", files))
        answers.append(likeness(TaskFrames([frames], None), means))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-12)
    monkeypatch.setattr(class_means, "FRAMES", 14)  # every third of the 40
    some = likeness(TaskFrames([frames], None), means)
    x = np.concatenate([block for block, _ in TaskFrames([frames], None).blocks()])
    away = x - x.mean(0)
    covariance = away[::3].T @ away[::3] / 14
    by_hand = away @ np.linalg.inv(covariance + np.trace(covariance) * np.eye(5)) @ means.T
    np.testing.assert_allclose(some, by_hand, atol=1e-6)
