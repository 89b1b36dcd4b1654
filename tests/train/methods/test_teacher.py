"""The teacher that remembers its answers is the teacher that computes them every time."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.training import rows_seen
from tgkt_edge.train.batches import Store, Views
from tgkt_edge.train.methods.teacher import Teacher
from tgkt_edge.train.methods.tgkt import draw, view_bank
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, frozen, normalise

SIZE, SIDE, IMAGES, VIEWS = 32, 37, 5, 3
CPU = Compute(torch.device("cpu"), "fp32")


@dataclass
class Setting:
    source: SceneClassifier
    translated_source: SceneClassifier  # the same weights with other batch-norm statistics
    translator: Translator
    target: Store
    rgb: Store

    def teacher(self, views: int) -> Teacher:
        return Teacher(
            self.source, self.translated_source, self.translator, self.target, self.rgb, SIZE, CPU, views
        )

    def frames(self, views: Views) -> Tensor:
        return normalise(self.target.take(views, SIZE))


@pytest.fixture(scope="module")
def setting() -> Setting:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    source, translator = SceneClassifier(4), Translator()
    translated_source = copy.deepcopy(source)
    with torch.no_grad():
        translated_source.get_buffer("bottleneck.norm.running_mean").fill_(0.5)
    for model in (source, translated_source, translator):
        frozen(model)
    codes = rng.integers(0, 65536, (IMAGES, SIDE, SIDE), dtype=np.uint16)
    rgb = rng.integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    return Setting(source, translated_source, translator, Store(codes, CPU.device), Store(rgb, CPU.device))


def test_the_teacher_answers_as_source_of_translator_does(setting: Setting, rng: np.random.Generator) -> None:
    bank = view_bank(rng, setting.target, SIZE, 1)
    views, _ = draw(rng, np.array([3, 1]), setting.target, SIZE, bank)
    with torch.no_grad():
        logits = setting.translated_source(setting.translator(setting.frames(views)))
        features = setting.source.features(normalise(setting.rgb.take(views, SIZE)))
    assert torch.equal(setting.teacher(0).logits(setting.frames(views), views, None), logits)
    assert torch.equal(setting.teacher(0).features(views, None), features)


def test_remembered_answers_are_the_computed_ones(setting: Setting, rng: np.random.Generator) -> None:
    plain, memo = setting.teacher(0), setting.teacher(VIEWS)
    tr_bank, ti_bank = (view_bank(rng, store, SIZE, VIEWS) for store in (setting.target, setting.rgb))
    for _ in range(6):  # 24 draws from 15 views: known and new ones in every mixture
        index = rng.permutation(IMAGES)[:4]
        tr, tr_slots = draw(rng, index, setting.target, SIZE, tr_bank)
        ti, ti_slots = draw(rng, index, setting.rgb, SIZE, ti_bank)
        frames = setting.frames(tr)
        remembered = memo.logits(frames, tr, tr_slots)
        assert not remembered.requires_grad
        assert remembered.shape == (4, 4)
        torch.testing.assert_close(remembered, plain.logits(frames, tr, None), rtol=1e-4, atol=1e-4)
        features = memo.features(ti, ti_slots)
        torch.testing.assert_close(features, plain.features(ti, None), rtol=1e-4, atol=1e-4)


def test_a_view_seen_before_is_not_computed_again(setting: Setting, rng: np.random.Generator) -> None:
    teacher = setting.teacher(VIEWS)
    bank = view_bank(rng, setting.target, SIZE, VIEWS)
    views, slots = draw(rng, np.array([0, 1, 2]), setting.target, SIZE, bank)
    assert slots is not None
    seen = rows_seen(setting.translated_source.backbone)

    first = teacher.logits(setting.frames(views), views, slots)
    assert seen == [3]
    assert torch.equal(teacher.logits(setting.frames(views), views, slots), first)
    assert seen == [3]

    # One image is new, and one comes in another of its views: two rows are computed, and each lands in its place.
    again = np.array([1, 3, 0])
    other = np.array([slots[1], 0, (slots[0] + 1) % VIEWS])
    top, left, flip = (
        np.stack([getattr(v, name) for v in bank])[other, again] for name in ("top", "left", "flip")
    )
    mixed = Views(again, top, left, flip)
    found = teacher.logits(setting.frames(mixed), mixed, other)
    assert seen == [3, 2]
    assert torch.equal(found[0], first[1])
    expected = setting.teacher(0).logits(setting.frames(mixed), mixed, None)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_features_are_remembered_too(setting: Setting, rng: np.random.Generator) -> None:
    teacher = setting.teacher(VIEWS)
    bank = view_bank(rng, setting.rgb, SIZE, VIEWS)
    views, slots = draw(rng, np.array([4, 0]), setting.rgb, SIZE, bank)
    seen = rows_seen(setting.source.backbone)
    first = teacher.features(views, slots)
    assert torch.equal(teacher.features(views, slots), first)
    assert seen == [2]


def test_without_memory_everything_is_computed_every_time(setting: Setting, rng: np.random.Generator) -> None:
    views, slots = draw(rng, np.array([0, 1]), setting.target, SIZE, [])
    assert slots is None
    seen = rows_seen(setting.translated_source.backbone)
    teacher = setting.teacher(0)
    for _ in range(2):
        teacher.logits(setting.frames(views), views, slots)
    assert seen == [2, 2]


# Views for the teacher


def test_draw_returns_views_of_the_bank(rng: np.random.Generator, setting: Setting) -> None:
    bank = view_bank(rng, setting.target, SIZE, VIEWS)
    assert len(bank) == VIEWS
    assert all(views.index.tolist() == list(range(IMAGES)) for views in bank)
    index = np.array([4, 0, 2, 0])
    used = set()
    for _ in range(20):
        views, slots = draw(rng, index, setting.target, SIZE, bank)
        assert slots is not None
        assert views.index.tolist() == index.tolist()
        for i, (image, slot) in enumerate(zip(index, slots, strict=True)):
            drawn = (views.top[i], views.left[i], views.flip[i])
            assert drawn == (bank[slot].top[image], bank[slot].left[image], bank[slot].flip[image])
        used |= set(slots.tolist())
    assert used == set(range(VIEWS))


def test_without_a_bank_every_draw_is_new(rng: np.random.Generator, setting: Setting) -> None:
    assert view_bank(rng, setting.target, SIZE, 0) == []
    index = np.zeros(50, np.int64)
    views, _ = draw(rng, index, setting.target, SIZE, [])
    crops = set(zip(views.top.tolist(), views.left.tolist(), views.flip.tolist(), strict=True))
    assert len(crops) > VIEWS
