"""``task`` chooses which scenes of a public set are classified; the others give the pairs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.public_sets import add_diml, write_noise
from tgkt_edge.data.public.prepare import describe, prepare
from tgkt_edge.errors import UsageError


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """RGB-NIR Scene with two pairs of each of four scenes, one of which the paper's split does not know."""
    root = tmp_path / "nirscene1"
    for scene in ("country", "forest", "urban", "harbour"):
        for index in range(2):
            write_noise(root / scene / f"{index}_rgb.png", seed=index)
            write_noise(root / scene / f"{index}_nir.png", channels=1, seed=index)
    return root


def labels(file: Path) -> list[str]:
    with file.open(newline="") as text:
        return sorted({row["label"] for row in csv.DictReader(text)})


def folders(file: Path) -> list[str]:
    with file.open(newline="") as text:
        return sorted({Path(row["frame"]).parent.name for row in csv.DictReader(text)})


def test_the_chosen_scenes_are_classified_and_the_others_give_pairs(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (report,) = prepare("rgbnir", scenes, out, task=("Forest", "2. urban"))
    assert labels(out / "source.csv") == labels(out / "labels.csv") == ["forest", "urban"]
    assert folders(out / "paired.csv") == ["country"]  # harbour is of no split, as without `task`
    assert report["counts"]["target_frames"] == 4
    # Nothing is compared with the paper's counts, which are those of another task.
    assert [line for line in report["differs"] if "paper" in line] == []
    assert "next: tgkt-edge adapt" in describe(report)[-1]


def test_a_scene_that_the_set_has_and_the_paper_does_not_use_may_be_chosen(
    scenes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prepare("rgbnir", scenes, out, task=("harbour", "country"))
    assert labels(out / "source.csv") == ["country", "harbour"]
    assert folders(out / "paired.csv") == ["forest", "urban"]


def test_scenes_are_named_without_the_numbers_of_their_folders(tmp_path: Path) -> None:
    add_diml(tmp_path)
    out = tmp_path / "out"
    prepare("diml", tmp_path, out, task=("warehouse", "cafe"))
    assert labels(out / "source.csv") == ["cafe", "warehouse"]


@pytest.mark.parametrize(
    ("task", "text"),
    [
        (("forest", "moon"), r"`task` 'moon': no such scene; there are country, .*forest, harbour, "),
        (("forest", "urban", "FOREST"), r"`task` 'FOREST': named twice"),
        (("forest",), r"`task`: forest alone; a classifier needs two scenes or more"),
    ],
)
def test_a_task_that_cannot_be(task: Sequence[str], text: str, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        prepare("rgbnir", scenes, tmp_path / "out", task=task)
    assert not (tmp_path / "out").exists()
