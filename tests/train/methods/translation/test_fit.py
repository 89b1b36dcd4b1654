"""The translation fitted and applied block by block equals what plain arrays give."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation import head as module
from tgkt_edge.train.methods.translation.features import BLOCK, Features
from tgkt_edge.train.methods.translation.fit import (
    TaskFrames,
    fit,
    main_directions,
    together,
    translated_logits,
)
from tgkt_edge.train.methods.translation.head import fit_head
from tgkt_edge.train.methods.translation.ridge import ridge
from tgkt_edge.train.methods.translation.softmax_regression import one_hot, softmax_regression
from tgkt_edge.train.nn.checkpoint import save_tensors

Floats = NDArray[np.float32]


def on_disk(rows: Floats, folder: Path, name: str, cut: tuple[int, ...] = (2, 5)) -> Features:
    """(N, V, D) in three files, as :func:`extract` writes them."""
    files = []
    for number, block in enumerate(np.split(rows, cut)):
        files.append(folder / f"{name}{number}.safetensors")
        save_tensors(files[-1], {"features": torch.from_numpy(block.astype(np.float16))}, {})
    return Features(files, len(rows))


def drawn(rng: np.random.Generator, *shape: int) -> Floats:
    """Numbers that half precision holds exactly."""
    drawn: Floats = (rng.integers(-8, 9, shape) / 4).astype(np.float32)
    return drawn


@pytest.mark.parametrize("columns", [3, 40])
@pytest.mark.parametrize("identity", [False, True])
def test_fitted_and_applied_in_blocks(
    columns: int, identity: bool, rng: np.random.Generator, tmp_path: Path
) -> None:
    """With 16 rows: more than columns (normal equations), and fewer (their dual)."""
    pairs, task = drawn(rng, 8, 2, columns), drawn(rng, 9, 2, columns)
    normals = drawn(rng, 8, 2, 2), drawn(rng, 9, 2, 2)
    rgb = drawn(rng, 8, 2, 2)
    plain = together(on_disk(pairs, tmp_path, "p"), on_disk(task, tmp_path, "t"))
    other = together(on_disk(normals[0], tmp_path, "pn"), on_disk(normals[1], tmp_path, "tn"))
    last = together(plain.pairs.last(2), plain.task.last(2)) if identity else None

    weights = fit([plain, other], last, on_disk(rgb, tmp_path, "r"), lambda rows: rows - 0.5, 2.0)

    both = np.concatenate([pairs, task]).reshape(-1, columns)
    both_normals = np.concatenate(normals).reshape(-1, 2)
    mean, std, mean_n, std_n = both.mean(0), both.std(0), both_normals.mean(0), both_normals.std(0)
    x = np.concatenate([(pairs - mean) / std, (normals[0] - mean_n) / std_n], -1).reshape(16, -1)
    y = (rgb - 0.5).reshape(16, -1)
    if identity:
        y = y - x.reshape(16, -1)[:, columns - 2 : columns]
    expected = ridge([(x, y)], 2.0)
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-5)

    frames = TaskFrames([plain, other], last)
    x = np.concatenate([(task - mean) / std, (normals[1] - mean_n) / std_n], -1).mean(1)
    z = x @ expected + (x[:, columns - 2 : columns] if identity else 0)
    found = translated_logits(frames, weights, lambda rows: rows * 3)
    np.testing.assert_allclose(found, 3 * z / z.std(0), rtol=1e-3, atol=1e-3)
    assert len(frames) == 9


@pytest.mark.parametrize("columns", [4, 30])
def test_main_directions_have_unit_spread_and_span_the_frames(
    columns: int, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Fewer columns than frames (covariance), and more (Gram matrix)."""
    task = drawn(rng, 9, 2, columns)
    plain = together(on_disk(drawn(rng, 6, 2, columns), tmp_path, "p"), on_disk(task, tmp_path, "t"))
    found = main_directions(TaskFrames([plain], None), 3)
    assert found.shape == (9, 3)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(found.T @ found / 9, np.eye(3), atol=1e-9)
    x = plain.standard(task).mean(1, dtype=np.float64)
    u, _, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(np.diag(u[:, :3].T @ found)) / 3, 1, atol=1e-9)  # the same up to signs


def test_a_head_sees_every_view_standardised(
    rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels = drawn(rng, 9, 2, 3), one_hot(rng.integers(0, 2, 9), 2)
    features = on_disk(rows, tmp_path, "f")
    moments, head = fit_head(features, labels, 0.7)
    flat = rows.reshape(-1, 3)
    np.testing.assert_allclose(moments.mean, flat.mean(0), atol=1e-6)
    x = (flat - flat.mean(0)) / flat.std(0)
    expected = softmax_regression(lambda: [(x, np.repeat(labels, 2, 0))], 0.7)
    np.testing.assert_allclose(head.weight, expected.weight, atol=1e-4)
    # Read again at every step instead of kept in memory: the same numbers.
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    _, streamed = fit_head(features, labels, 0.7)
    np.testing.assert_array_equal(streamed.weight, head.weight)


class Drawn(Features):
    """Features of any number of images that are drawn when they are read, and never all in memory."""

    def __init__(self, count: int, columns: int, seed: int) -> None:
        super().__init__([], count)
        self._columns, self._seed = columns, seed

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        for start in range(0, len(self), BLOCK):
            rng = np.random.default_rng([self._seed, start])
            n = min(BLOCK, len(self) - start)
            yield start, rng.normal(size=(n, 2, self._columns)).astype(np.float32)


def peak(count: int) -> int:
    """Bytes at most while a translation is fitted to ``count`` pairs and a head to as many frames."""
    pairs, task, rgb = Drawn(count, 24, 1), Drawn(count, 24, 2), Drawn(count, 8, 3)
    labels = np.tile([0.3, 0.7], (count, 1))
    tracemalloc.start()
    frames = together(pairs, task)
    weights = fit([frames], None, rgb, lambda rows: rows, 2.0)
    for z in TaskFrames([frames], None).translated(weights):
        assert z.shape[1] == 8
    fit_head(task, labels, 1e-6)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", BLOCK)
    few, many = peak(4 * BLOCK), peak(40 * BLOCK)
    assert many < 1.1 * few
