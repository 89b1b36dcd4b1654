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
from tgkt_edge.train.nn.program import open_program
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


def with_weights_beside(folder: Path, network: nn.Module) -> Path:
    """As PyTorch exports by default: model.onnx, and its weights in model.onnx.data."""
    whole = program("onnx", network, folder)
    model = onnx.load(whole)
    folder = folder / "two"
    folder.mkdir()
    onnx.save_model(
        model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data", size_threshold=0
    )
    return folder / "model.onnx"


def test_weights_in_a_file_beside_an_onnx_file_become_part_of_the_checkpoint(
    names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_resnet()
    file = with_weights_beside(tmp_path, network)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.onnx.data").write_bytes(bytes((file.parent / "model.onnx.data").stat().st_size))
    monkeypatch.chdir(elsewhere)  # where other weights of that name lie
    found = read_source(file, ImportOptions(names, mean=HALF, std=HALF))
    save_checkpoint(tmp_path / "source.safetensors", found.model, found.header)
    (file.parent / "model.onnx.data").unlink()
    kept, _ = load_classifier(tmp_path / "source.safetensors", "source")
    x = torch.randn(2, 3, 64, 64)
    images = normalise((x + 1) / 2)
    with torch.no_grad():
        expected, answered = network(x), kept(images)
    centered = [one - one.mean(1, keepdim=True) for one in (expected, answered)]
    assert torch.allclose(centered[0], centered[1], atol=1e-4)
    with pytest.raises(
        CheckpointError, match=r"model\.onnx: its weights are in another file, expected beside it"
    ):
        read_source(file, ImportOptions(names))


def test_a_program_whose_weights_were_left_behind_never_takes_others(tmp_path: Path) -> None:
    content = with_weights_beside(tmp_path, small_resnet()).read_bytes()
    with pytest.raises(CheckpointError, match="its weights are not in it"):
        open_program("onnx", content)


def cast_output(file: Path, kind: int) -> Path:
    """The same program, whose output is turned into numbers of another type."""
    model = onnx.load(file)
    model.graph.node.append(onnx.helper.make_node("Cast", ["y"], ["z"], to=kind))
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("z", kind, [1, len(NAMES)]))
    onnx.save(model, file)
    return file


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE])
def test_probabilities_of_another_precision(kind: int, names: Path, tmp_path: Path) -> None:
    file = cast_output(program("onnx", Ending(small_resnet(), True).eval(), tmp_path), kind)
    assert "5 classes, probabilities: a teacher only" in read_source(file, ImportOptions(names)).lines[0]


def test_answers_that_are_whole_numbers(names: Path, tmp_path: Path) -> None:
    file = cast_output(program("onnx", small_resnet(), tmp_path), onnx.TensorProto.INT64)
    with pytest.raises(CheckpointError, match=r"output z is tensor\(int64\); expected floating-point"):
        read_source(file, ImportOptions(names))
