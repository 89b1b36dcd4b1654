"""The files that the demo writes: what a user could have brought."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.demo.scenes import OTHER_CLASSES, TASK_CLASSES, render
from tgkt_edge.demo.write import write_demo_data

# --- files


SMALL = {
    "source_per_class": 2,
    "target_per_class": 3,
    "pairs_per_class": 2,
    "clip_frames": 14,
    "width": 40,
    "height": 30,
}


def read(path: Path) -> NDArray[np.generic]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image)


def labels_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["depth", "nir"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "new" / "data"
    write_demo_data(folder, seed=1, sensor=request.param, **SMALL)  # type: ignore[arg-type]
    return folder, str(request.param)


def test_layout(written: tuple[Path, str]) -> None:
    folder, _ = written
    assert sorted(p.name for p in folder.iterdir()) == [
        "clip", "clip_labels.csv", "paired", "source", "target", "target_labels.csv"
    ]  # fmt: skip
    assert sorted(p.name for p in (folder / "source").iterdir()) == sorted(TASK_CLASSES)
    assert all(len(list((folder / "source" / name).iterdir())) == 2 for name in TASK_CLASSES)
    assert len(list((folder / "target").glob("*.png"))) == 3 * len(TASK_CLASSES)
    stems = [{p.stem for p in (folder / "paired" / side).iterdir()} for side in ("rgb", "frame")]
    assert stems[0] == stems[1]
    assert len(stems[0]) == 2 * len(OTHER_CLASSES)
    assert sorted(p.name for p in (folder / "clip").iterdir()) == [f"{i:06d}.png" for i in range(14)]
    assert [p.name for p in folder.parent.iterdir()] == ["data"]


def test_sensor_frames_are_one_channel_of_16_bits(written: tuple[Path, str]) -> None:
    folder, sensor = written
    low, high = (0, 8000) if sensor == "depth" else (64, 1023)
    for part in ("target", "paired/frame", "clip"):
        for path in (folder / part).iterdir():
            image = read(path)
            assert image.dtype == np.uint16
            assert image.shape == (30, 40)
            assert low <= int(image.min()) <= int(image.max()) <= high


def test_rgb_files_hold_the_rendered_scene(written: tuple[Path, str]) -> None:
    folder, _ = written
    image = read(folder / "source" / "kitchen" / "000001.png")
    np.testing.assert_array_equal(image[..., ::-1], render("kitchen", 1, seed=1, width=40, height=30).rgb)
    assert read(folder / "paired" / "rgb" / "000000.png").shape == (30, 40, 3)


@pytest.mark.parametrize("part", ["target", "clip"])
def test_labels_name_every_frame_once(written: tuple[Path, str], part: str) -> None:
    folder, _ = written
    rows = labels_of(folder / f"{part}_labels.csv")
    assert list(rows[0]) == ["frame", "label"]
    assert sorted(row["frame"] for row in rows) == sorted(
        f"{part}/{p.name}" for p in (folder / part).iterdir()
    )
    assert {row["label"] for row in rows} == set(TASK_CLASSES)


@pytest.mark.slow
def test_the_clip_shows_as_many_frames_of_each_class_in_many_scenes(tmp_path: Path) -> None:
    """No single scene decides the accuracy on it."""
    write_demo_data(tmp_path / "data", **{**SMALL, "clip_frames": 120})  # type: ignore[arg-type]
    names = [row["label"] for row in labels_of(tmp_path / "data" / "clip_labels.csv")]
    assert {name: names.count(name) for name in TASK_CLASSES} == dict.fromkeys(TASK_CLASSES, 20)
    lengths = [len(list(group)) for _, group in groupby(names)]
    assert all(length % 5 == 0 for length in lengths)
    assert len(lengths) > 2 * len(TASK_CLASSES)


def test_nothing_but_the_label_file_gives_the_target_classes_away(written: tuple[Path, str]) -> None:
    folder, _ = written
    paths = [
        str(p.relative_to(folder))
        for part in ("target", "paired", "clip")
        for p in (folder / part).rglob("*")
    ]
    assert not [path for path in paths for name in TASK_CLASSES + OTHER_CLASSES if name in path]
    order = [row["label"] for row in labels_of(folder / "target_labels.csv")]
    assert len(list(groupby(order))) > len(TASK_CLASSES)  # not class by class


@pytest.mark.slow
def test_target_scenes_are_not_source_scenes(tmp_path: Path) -> None:
    write_demo_data(tmp_path / "data", sensor="depth", **SMALL)  # type: ignore[arg-type]
    source = [render(name, i, width=40, height=30).depth_mm for name in TASK_CLASSES for i in range(2)]
    for path in (tmp_path / "data" / "target").iterdir():
        assert not any(np.array_equal(read(path), depth) for depth in source)


def test_existing_folder_is_refused_untouched(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=tmp_path.name):
        write_demo_data(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interrupted_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def progress(done: int, total: int) -> None:
        if done == 5:
            raise error

    with pytest.raises(error):
        write_demo_data(tmp_path / "data", progress=progress, **SMALL)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_progress_counts_up_to_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_demo_data(tmp_path / "data", progress=lambda *call: calls.append(call), **SMALL)  # type: ignore[arg-type]
    total = 5 * len(TASK_CLASSES) + 2 * len(OTHER_CLASSES) + 14
    assert calls == [(done, total) for done in range(total + 1)]


@pytest.mark.parametrize(
    "bad",
    [
        {"source_per_class": 0},
        {"pairs_per_class": 100_001},
        {"clip_frames": 3},
        {"sensor": "lidar"},
        {"seed": -1},
    ],
)
def test_bad_arguments_write_nothing(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        write_demo_data(tmp_path / "data", **{**SMALL, **bad})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
