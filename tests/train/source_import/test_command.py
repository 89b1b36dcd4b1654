"""``tgkt-edge source import``: what it prints names flags, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor
from typer.testing import CliRunner

from tests.support.training import Tiny
from tests.train.source_import.conftest import NAMES, saved
from tgkt_edge.cli.main import app


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["source", "import", *map(str, words)])
    return done.exit_code, done.stderr


def test_what_was_found_names_flags(state: dict[str, Tensor], names: Path, tmp_path: Path) -> None:
    file, out = saved(state, tmp_path / "model.pth"), tmp_path / "source.safetensors"
    code, text = run(file, "-o", out, "--source-classes", names, "--size", 64)
    assert code == 0
    assert out.is_file()
    assert "are taken to be the usual ones: --check-images FOLDER" in text
    assert f"Next: tgkt-edge adapt --source-model {out}" in text
    assert "`" not in text


def test_it_asks_for_the_class_shares_of_the_training_images(
    state: dict[str, Tensor], names: Path, tmp_path: Path
) -> None:
    """Whoever knows them is told that they matter; with them it says which it took."""
    file, out = saved(state, tmp_path / "model.pth"), tmp_path / "source.safetensors"
    counted = tmp_path / "classes.csv"
    rows = [f"{name},{count}" for name, count in zip(NAMES, (10, 20, 30, 100, 40), strict=True)]
    counted.write_text("\n".join(["class,images", *rows]), encoding="utf-8")
    _, text = run(file, "-o", out, "--source-classes", names, "--size", 64)
    assert "class shares of its training images: not known" in text
    assert "Give the labelled images it was trained on as --source" in text
    assert "or --source-classes as a CSV class,images" in text
    _, text = run(file, "-o", out, "--source-classes", counted, "--size", 64, "--overwrite")
    assert "class shares of its training images: 5.0% to 50.0%" in text
    assert "not known" not in text


@pytest.mark.slow
def test_its_labelled_images_are_named_by_flags(
    state: dict[str, Tensor], names: Path, images: Path, tiny: Tiny, tmp_path: Path
) -> None:
    file, out = saved(state, tmp_path / "model.pth"), tmp_path / "source.safetensors"
    words = (file, "-o", out, "--source-classes", names, "--size", 64, "--source", images, "--device", "cpu")
    code, text = run(*words, "--weights", "none")
    assert code == 2
    assert "(--weights none). Give --weights imagenet or --weights FILE, or leave --source out" in text
    code, text = run(*words, "--weights", tiny.weights, "--keep", 0)
    assert code == 2
    assert "0 of its images would be kept: expected 1 or more (--keep, or --set source.keep)" in text
    assert not out.exists()
    code, text = run(*words, "--weights", tiny.weights, "--image-size", 32, "--keep", 10)
    assert code == 0
    assert "images: features of 10 of 20 labelled images are kept, at 32 pixels, and no image" in text
    assert "class shares of its training images: 20.0% to 20.0%" in text
    assert "not known" not in text


def test_what_is_refused_names_flags(state: dict[str, Tensor], names: Path, tmp_path: Path) -> None:
    file, out = saved(state, tmp_path / "model.pth"), tmp_path / "source.safetensors"
    code, text = run(file, "-o", out, "--map", names)
    assert code == 2
    assert "its 5 outputs have no names. Give --source-classes FILE" in text
    code, text = run(file, "-o", out, "--source-classes", names, "--mean", "1,2")
    assert code == 2
    assert "error: --mean 1,2: expected three numbers" in text
