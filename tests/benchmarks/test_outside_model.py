"""A model of 365 classes in Places365's layout, made of one that knows the task's: what the import sees in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from outside_model import RECIPES, as_places, train_outside
from safetensors.torch import load_file

from tests.support.training import make_tiny
from tests.train.source_import.conftest import saved
from tgkt_edge.data.discovery import labelled
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source

pytestmark = pytest.mark.slow

CLASSES = ("bath", "bed", "kitchen")
IMAGES = (12, 18, 30)


def test_its_kinds_merge_to_the_classes_of_the_task(tmp_path: Path) -> None:
    """Its head tells features apart by class; the list of names alone knows no shares, the one with images does."""
    torch.manual_seed(0)
    file = saved(torchvision.models.resnet50(num_classes=3).state_dict(), tmp_path / "model.pth")
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), IMAGES)
    features = np.abs(rng.normal(1, 0.2, (60, 2048)) + 2 * (np.arange(2048) % 3 == labels[:, None]))
    features = features.astype(np.float32)
    wide, names, counted, mapped = as_places(file, features, labels, CLASSES, 8, 0)
    assert len(names.read_text().splitlines()) == 365
    plain = read_source(wide, ImportOptions(names, map=mapped, size=64))
    assert plain.header.classes == CLASSES
    assert "class_shares" not in plain.header.beside
    about = plain.header.extra["import"]
    assert (about["arch"], about["outputs"]) == ("resnet50", 365)
    assert {name: len(kinds) for name, kinds in about["merged"].items()} == {
        "bath": 3,
        "bed": 3,
        "kitchen": 2,
    }
    known = read_source(wide, ImportOptions(counted, map=mapped, size=64))
    assert known.header.beside["class_shares"].tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert isinstance(known.model, ImportedClassifier)
    with torch.no_grad():
        answers = known.model.classifier(torch.from_numpy(features))
    assert (answers.argmax(1).numpy() == labels).mean() == 1


def test_the_frozen_recipe_trains_the_fc_alone(tmp_path: Path) -> None:
    """Running statistics of its batch norms stay, too, so its features are those of the weights it began with."""
    tiny = make_tiny(tmp_path)
    files, labels = labelled(tiny.data / "source", "--source", "image")
    classes = sorted(set(labels))
    numbers = np.array([classes.index(label) for label in labels], np.int64)
    begun = load_file(tiny.weights)
    for recipe in RECIPES:
        file = tmp_path / f"{recipe}.pth"
        train_outside(files, numbers, classes, tiny.weights, 32, 1, 0, file, recipe)
        state = torch.load(file, weights_only=True)
        assert state["fc.weight"].shape == (6, 2048)
        same = [
            torch.equal(state[name], begun[name].float()) for name in ("conv1.weight", "bn1.running_mean")
        ]
        assert same == [recipe == "frozen"] * 2
    assert (tmp_path / "frozen.csv").read_text().splitlines()[:2] == ["class,images", "bedroom,2"]
