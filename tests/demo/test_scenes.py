"""The rendered scenes: determinism, ranges, and whether classes can be told apart."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tgkt_edge.demo.scenes import NEAR_CLASSES, OTHER_CLASSES, TASK_CLASSES, Frames, render, render_clip

CLASSES = TASK_CLASSES + OTHER_CLASSES + NEAR_CLASSES
TRAIN, TEST = 20, 12


@cache
def scenes(name: str, count: int) -> list[Frames]:
    """The class's first scenes, 80 x 60: rendered once for all tests that only look at them."""
    return [render(name, index, width=80, height=60) for index in range(count)]


# --- scenes


def test_class_names() -> None:
    assert len(TASK_CLASSES) >= 6
    assert len(OTHER_CLASSES) >= 4
    assert len(set(CLASSES)) == len(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_frames_of_every_class(name: str) -> None:
    for frames in scenes(name, 8):
        assert frames.rgb.shape == (60, 80, 3)
        assert frames.depth_mm.shape == frames.nir.shape == (60, 80)
        assert [a.dtype.name for a in (frames.rgb, frames.depth_mm, frames.nir)] == [
            "uint8",
            "uint16",
            "uint16",
        ]
        seen = frames.depth_mm[frames.depth_mm > 0]
        assert 400 <= seen.min() <= seen.max() <= 8000
        assert 64 <= frames.nir.min() <= frames.nir.max() <= 1023
        assert frames.rgb.std() > 8
        assert np.ptp(frames.nir) > 200
    holes = [float((frames.depth_mm == 0).mean()) for frames in scenes(name, 8)]
    assert 0.01 < np.mean(holes) < 0.45
    assert max(holes) < 0.8


def test_holes_are_a_minor_part_of_the_task_data() -> None:
    holes = [float((f.depth_mm == 0).mean()) for name in TASK_CLASSES for f in scenes(name, 8)]
    assert 0.01 < np.mean(holes) < 0.3


def same(a: Frames, b: Frames) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Frames))


@pytest.mark.parametrize("name", CLASSES)
def test_scene_is_a_function_of_seed_class_and_index(name: str) -> None:
    first = render(name, 3, seed=5, width=80, height=60)
    render("corridor", 9)
    assert same(first, render(name, 3, seed=5, width=80, height=60))
    assert not same(first, render(name, 4, seed=5, width=80, height=60))
    assert not same(first, render(name, 3, seed=6, width=80, height=60))


def test_default_size() -> None:
    assert render("office", 0).depth_mm.shape == (120, 160)


def test_unknown_class_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'attic'.*bedroom.*corridor"):
        render("attic", 0)


@pytest.mark.parametrize("bad", [{"index": -1}, {"seed": -1}, {"width": 4}, {"height": 0}])
def test_numbers_out_of_range(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        render("office", **{"index": 0, **bad})


def thumbnail(image: NDArray[np.generic]) -> NDArray[np.float64]:
    h, w = image.shape[:2]
    rows, columns = h // 6 * 6, w // 8 * 8
    cells = image[:rows, :columns].astype(np.float64).reshape(6, rows // 6, 8, columns // 8, -1)
    means: NDArray[np.float64] = cells.mean(axis=(1, 3)).ravel()
    return means


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["rgb", "depth_mm", "nir"])
def test_classes_can_be_told_apart_by_each_modality_but_not_trivially(modality: str) -> None:
    """Thumbnails and a linear classifier, 20 scenes a class to learn from; chance is one in six."""
    x, y, learn = [], [], []
    for label, name in enumerate(TASK_CLASSES):
        for index, frames in enumerate(scenes(name, TRAIN + TEST)):
            image = getattr(frames, modality)
            bins = 16 if modality == "rgb" else 32
            channels = np.atleast_3d(image)
            top = {"rgb": 256, "depth_mm": 8001, "nir": 1024}[modality]
            shares = [np.histogram(channels[..., c], bins, (0, top))[0] for c in range(channels.shape[2])]
            x.append(np.concatenate([thumbnail(image), *np.sqrt(shares)]))
            y.append(label)
            learn.append(index < TRAIN)
    features, labels, train = np.array(x), np.array(y), np.array(learn)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    score = model.fit(features[train], labels[train]).score(features[~train], labels[~train])
    assert 0.55 < score < 0.99


def test_clip_moves_smoothly_through_each_scene_in_turn() -> None:
    clip = list(render_clip(["office", "corridor", "office"], 5, width=80, height=60))
    assert [(name, len(list(run))) for name, run in groupby(name for name, _ in clip)] == [
        ("office", 5), ("corridor", 5), ("office", 5)
    ]  # fmt: skip

    def change(a: int, b: int) -> float:
        return float(np.abs(clip[a][1].rgb.astype(float) - clip[b][1].rgb.astype(float)).mean())

    assert 0 < change(0, 1) < change(0, 4)
    assert change(0, 1) < change(4, 5)
    assert change(0, 10) > change(0, 1)  # another office
    again = list(render_clip(["office"], 5, width=80, height=60))
    assert all(same(a, b) for (_, a), (_, b) in zip(clip, again, strict=False))


def test_clip_needs_frames() -> None:
    with pytest.raises(ValueError, match="frames_per_scene"):
        list(render_clip(["office"], 0))
