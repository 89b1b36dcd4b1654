"""ONNX and TorchScript classifiers answer, and nothing else: as teachers of a translation of features."""

from __future__ import annotations

import copy
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from tests.train.source_import.conftest import NAMES, small_resnet
from tgkt_edge.config import build_config
from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.train.given_source import refuse_unfit
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import normalise
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source

HALF = (0.5, 0.5, 0.5)


class Ending(nn.Module):
    """A network and what a person puts behind it."""

    def __init__(self, network: nn.Module, softmax: bool) -> None:
        super().__init__()
        self.network, self.softmax = network, softmax

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits.softmax(1) if self.softmax else logits


def program(kind: str, network: nn.Module, folder: Path, shape: tuple[int, ...] = (1, 3, 64, 64)) -> Path:
    file = folder / ("model.onnx" if kind == "onnx" else "model.pt")
    if kind == "torchscript":
        torch.jit.trace(network, torch.zeros(shape)).save(str(file))
        return file
    torch.onnx.export(
        network, (torch.zeros(shape),), file, dynamo=False, input_names=["x"], output_names=["y"]
    )
    return file


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.slow
def test_it_answers_as_the_program_did(kind: str, softmax: bool, names: Path, tmp_path: Path) -> None:
    network = small_resnet()
    file = program(kind, Ending(network, softmax).eval(), tmp_path)
    found = read_source(file, ImportOptions(names, mean=HALF, std=HALF))
    ends = "probabilities" if softmax else "logits"
    assert f"{kind} program, 5 classes, {ends}: a teacher only" in found.lines[0]
    model = found.model
    assert isinstance(model, ImportedClassifier)
    assert model.teacher_only
    assert model.width == len(NAMES)
    save_checkpoint(tmp_path / "s.safetensors", model, found.header)
    again = load_classifier(tmp_path / "s.safetensors", "source")[0]
    x = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = network(x * 2 - 1).softmax(1)
        for one in (model, again, copy.deepcopy(again)):
            torch.testing.assert_close(one(normalise(x)).softmax(1), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["tgmb", "shot", "socket", "source-only"])
@pytest.mark.slow
def test_methods_that_need_more_are_refused(method: str, names: Path, tmp_path: Path) -> None:
    model = read_source(program("onnx", small_resnet(), tmp_path), ImportOptions(names)).model
    with pytest.raises(
        UsageError, match=f"`method={method}`: needs the gradients or a copy of the source model"
    ):
        refuse_unfit(model, build_config(None, (), {"method": method}))
    with pytest.raises(UsageError, match="`method=tgkt` `translator=pixels`: needs the gradients"):
        refuse_unfit(model, build_config(None, (), {"translator": "pixels"}))
    refuse_unfit(model, build_config(None, (), {"weights": "imagenet"}))
    with pytest.raises(
        UsageError, match=r"`weights=none`: the source model is a network of another kind \(onnx\)"
    ):
        refuse_unfit(model, build_config(None, ["source.mode=finetune"], {"weights": "none"}))


def refused(network: nn.Module, words: str, names: Path, folder: Path, shape: tuple[int, ...]) -> None:
    file = program("onnx", network, folder, shape)
    with pytest.raises(CheckpointError, match=words) as caught:
        read_source(file, ImportOptions(names))
    assert str(caught.value).startswith(f"{file}: ")


def test_programs_that_are_no_classifiers_of_rgb(names: Path, tmp_path: Path) -> None:
    gray = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    refused(gray, r"its input x is \[1, 1, 64, 64\]; expected N x 3", names, tmp_path, (1, 1, 64, 64))
    maps = nn.Conv2d(3, 5, 3)
    refused(
        maps,
        r"its answer to 2 images is \(2, 5, 62, 62\); expected \(2, classes\)",
        names,
        tmp_path,
        (1, 3, 64, 64),
    )
    flat = nn.Linear(12, 5)
    refused(flat, r"its inputs are x tensor\(float\) \[1, 12\]; expected one", names, tmp_path, (1, 12))


def test_a_program_for_a_number_of_images_other_than_one(names: Path, tmp_path: Path) -> None:
    words = "its input takes 4 images at once, and no other number"
    refused(small_resnet(), words, names, tmp_path, (4, 3, 64, 64))


def test_a_damaged_program(names: Path, tmp_path: Path) -> None:
    file = program("onnx", small_resnet(), tmp_path)
    model = onnx.load(file)
    model.graph.node[3].op_type = "NoSuchOperator"
    onnx.save_model(model, file)
    with pytest.raises(CheckpointError, match="the onnx program cannot be loaded"):
        read_source(file, ImportOptions(names))
