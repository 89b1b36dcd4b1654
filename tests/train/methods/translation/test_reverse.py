"""The translation the other way, in a world where both spaces show the same classes; and opinions of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.fit import TaskFrames, together
from tgkt_edge.train.methods.translation.reverse import mean_opinion, reverse_logits
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
    assert logits.shape == (30, 2)
    assert (logits.argmax(1) == truth).mean() > 0.9


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
