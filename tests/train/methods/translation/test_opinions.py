"""What of several readings of the same frames is averaged, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.choice import Candidate
from tgkt_edge.train.methods.translation.features import Encoding, Features
from tgkt_edge.train.methods.translation.fit import TaskFrames, fit, together, translated_logits
from tgkt_edge.train.methods.translation.opinions import opinions_of
from tgkt_edge.train.methods.translation.reverse import mean_opinion
from tgkt_edge.train.methods.translation.setting import PairInputs, Setting, TaskInputs
from tgkt_edge.train.methods.translation.source_features import SourceFeatures
from tgkt_edge.train.nn.imported import ImportedClassifier, Pixels, Trunk

PAIRS, FRAMES, VIEWS, WIDTH, SEEN, CLASSES = 40, 30, 2, 12, 6, 3


class InMemory(Features):
    """Features as they are given, (N, V, D)."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        super().__init__([], len(rows))
        self._rows = rows

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        yield 0, self._rows


def random(rng: np.random.Generator, count: int, width: int) -> InMemory:
    return InMemory(rng.normal(size=(count, VIEWS, width)).astype(np.float32))


@pytest.mark.parametrize("looks", [True, False])
def test_what_an_imported_model_sees_itself_counts_as_much_as_generic_features(
    looks: bool, rng: np.random.Generator
) -> None:
    source = ImportedClassifier(Trunk(nn.Identity(), Pixels()), SEEN, [[0], [1], [2]], {})
    cfg = dataclasses.replace(TranslationConfig(), views=VIEWS)
    setting = Setting.of(source, {}, nn.Identity(), 0.1, PAIRS, cfg)
    assert setting.own_look == "normals"
    rgb = random(rng, PAIRS, SEEN)
    frames = together(random(rng, PAIRS, WIDTH), random(rng, FRAMES, WIDTH))
    look = together(random(rng, PAIRS, SEEN), random(rng, FRAMES, SEEN)) if looks else None
    weight = rng.normal(size=(SEEN, CLASSES))
    seen = SourceFeatures(
        nn.Identity(), False, np.zeros(SEEN), np.ones(SEEN), lambda z: np.asarray(z @ weight), False
    )
    name: Encoding = "relative normals"
    pairs = PairInputs(rgb, rgb, {name: frames.pairs}, None, look.pairs if look else None)
    from_zero = TaskFrames([frames], None)
    task = TaskInputs(frames.task, True, from_zero, from_zero, None, look)
    found = opinions_of(setting, Candidate((name,), 300.0, False), pairs, task, seen, {}, None, cfg)

    strength = 300.0 * VIEWS
    expected = translated_logits(from_zero, fit([frames], None, rgb, seen.standard, strength), seen.head)
    if look is not None:
        corrected = translated_logits(
            TaskFrames([frames], look), fit([frames], look, rgb, seen.standard, strength), seen.head
        )
        assert np.abs(mean_opinion([corrected], 1.0) - mean_opinion([expected], 1.0)).max() > 0.1
        expected = mean_opinion([expected, corrected], cfg.scale)
    assert len(found.logits) == 1  # one translation, to those who estimate from two
    np.testing.assert_allclose(found.logits[0], expected, rtol=1e-10)
