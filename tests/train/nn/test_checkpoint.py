"""Checkpoints: what is written comes back, and anything else is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.notes import forget_notes
from tgkt_edge.sensor import PRESETS
from tgkt_edge.train.nn.checkpoint import (
    Header,
    digest,
    load_classifier,
    load_imagenet,
    load_into,
    load_tensors,
    read_header,
    save_checkpoint,
    save_tensors,
)
from tgkt_edge.train.nn.model import SceneClassifier, Translator

CLASSES = ("kitchen", "office", "Flur")


@pytest.fixture(scope="module")
def model() -> SceneClassifier:
    torch.manual_seed(0)
    return SceneClassifier(3)


@pytest.fixture(scope="module")
def saved(model: SceneClassifier, module_folder: Callable[[str], Path]) -> Path:
    """A checkpoint of a target network. Tests only read it."""
    path = module_folder("checkpoint") / "target.safetensors"
    save_checkpoint(path, model, Header("target", CLASSES, 96, PRESETS["depth"]))
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A checkpoint of 2,851 parameters."""
    path = tmp_path / "translator.safetensors"
    save_checkpoint(path, Translator(), Header("translator", CLASSES, 96))
    return path


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Round trip


@pytest.mark.slow
def test_a_classifier_comes_back_with_its_header(model: SceneClassifier, saved: Path) -> None:
    loaded, header = load_classifier(saved, "target")
    assert header == Header("target", CLASSES, 96, PRESETS["depth"])
    assert read_header(saved) == header
    assert same(loaded.state_dict(), model.state_dict())
    assert not loaded.training


def test_channels_last_and_contiguous_weights_have_one_digest(model: SceneClassifier) -> None:
    state = model.state_dict()
    turned = {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in state.items()
    }
    assert not turned["backbone.conv1.weight"].is_contiguous()
    assert digest(turned) == digest(state)


def test_the_digest_sees_names_dtypes_shapes_and_values() -> None:
    base = {"a": torch.zeros(2, 3)}
    others = [
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.tensor([[0.0, 0, 0], [0, 0, -0.0]])},
    ]
    assert len({digest(tensors) for tensors in [base, *others]}) == 5
    assert digest({"a": torch.zeros(2, 3)}) == digest(base)


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(small: Path) -> None:
    save_tensors(small, {"x": torch.ones(2)}, {"kind": "other"})
    tensors, about = load_tensors(small)
    assert same(tensors, {"x": torch.ones(2)})
    assert about == {"kind": "other"}
    assert [path.name for path in small.parent.iterdir()] == [small.name]


# Damage


def test_an_altered_weight_is_found(small: Path) -> None:
    data = bytearray(small.read_bytes())
    data[-100] ^= 1  # one bit of one weight
    small.write_bytes(data)
    with pytest.raises(CheckpointError, match="was altered") as caught:
        load_tensors(small)
    assert str(small) in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("keep", [0, 4, 100, -1, -1000])
def test_a_truncated_file_is_found(small: Path, keep: int) -> None:
    small.write_bytes(small.read_bytes()[:keep])
    for read in (load_tensors, read_header):
        with pytest.raises(
            CheckpointError, match=r"that is cut off|is an empty file|is no model file that is known"
        ):
            read(small)


def test_a_file_of_another_kind_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError, match=r"expected a checkpoint .*; this is a PNG image"):
        load_tensors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (load_tensors, read_header, load_classifier):
        with pytest.raises(CheckpointError, match=r"nowhere\.safetensors: no such checkpoint"):
            read(tmp_path / "nowhere.safetensors")


# Of another task


def test_another_kind_of_checkpoint_is_refused(saved: Path, small: Path) -> None:
    with pytest.raises(CheckpointError, match="holds a target, expected a source network"):
        load_classifier(saved, "source")
    with pytest.raises(CheckpointError, match="holds a translator, expected a source or target network"):
        load_classifier(small)


@pytest.mark.slow
def test_other_classes_than_tensors_are_refused_and_the_tensor_named(
    model: SceneClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "source.safetensors"
    save_checkpoint(path, model, Header("source", (*CLASSES, "attic"), 96))
    with pytest.raises(CheckpointError, match=r"classifier\.bias is \(3,\), expected \(4,\)"):
        load_classifier(path)


def test_missing_and_unknown_tensors_are_named(tmp_path: Path) -> None:
    tensors = dict(Translator().state_dict())
    tensors["extra"] = tensors.pop("out_conv.bias")
    with pytest.raises(CheckpointError, match=r"out_conv\.bias is missing; extra is unknown"):
        load_into(Translator(), tensors, tmp_path / "t")
    with pytest.raises(CheckpointError, match=r"and \d+ more"):
        load_into(Translator(), {}, tmp_path / "t")


def test_nothing_is_filled_in_by_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    model = Translator()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tensors = {name: torch.ones_like(value) for name, value in before.items()}
    del tensors["out_conv.bias"]
    with pytest.raises(CheckpointError):
        load_into(model, tensors, tmp_path / "t")
    assert same(model.state_dict(), before)


def test_plain_weights_are_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path)
    with pytest.raises(CheckpointError, match="Weights of a ResNet-50 go to `weights`"):
        load_classifier(path)


# --weights


@pytest.fixture(scope="module")
def resnet_fp16(module_folder: Callable[[str], Path]) -> Path:
    """torchvision's names with random weights in fp16, last layer included, counters left out."""
    torch.manual_seed(1)
    path = module_folder("weights") / "resnet50.safetensors"
    state = torchvision.models.resnet50(weights=None).state_dict()
    save_file({name: value.half() for name, value in state.items() if "num_batches" not in name}, path)
    return path


def test_weights_from_an_fp16_file_fill_the_backbone_and_nothing_else(resnet_fp16: Path) -> None:
    model = SceneClassifier(3)
    head = {name: value.clone() for name, value in model.state_dict().items() if "backbone" not in name}
    load_imagenet(model, str(resnet_fp16))
    expected = load_file(resnet_fp16)
    state = model.backbone.state_dict()
    floats = [name for name in state if "num_batches" not in name]
    assert len(floats) == 53 * 5  # 53 convolutions, each with a batch norm of four tensors
    for name in floats:
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], expected[name].float()), name
    assert same({name: model.state_dict()[name] for name in head}, head)


def test_weights_none_keep_the_random_initialisation() -> None:
    model = SceneClassifier(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_imagenet(model, "none")
    assert same(model.state_dict(), before)


def test_weights_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file\. Expected imagenet, none, or a safetensors file"):
        load_imagenet(SceneClassifier(3), str(tmp_path / "no.safetensors"))


def test_weights_that_are_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "resnet50.pth"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(
        UsageError, match=r"resnet50\.pth`: .*is a PyTorch file, as torch\.save writes it.*Convert"
    ):
        load_imagenet(SceneClassifier(3), str(path))


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path: Path, resnet_fp16: Path) -> None:
    small, wide = tmp_path / "resnet18.safetensors", tmp_path / "wide.safetensors"
    save_file(torchvision.models.resnet18(weights=None).state_dict(), small)
    with pytest.raises(UsageError, match=r"not a torchvision ResNet-50: [1-9]\d* tensors missing"):
        load_imagenet(SceneClassifier(3), str(small))
    tensors = load_file(resnet_fp16)
    tensors["layer1.0.conv1.weight"] = torch.zeros(128, 64, 1, 1)
    save_file(tensors, wide)
    with pytest.raises(UsageError, match=r"1 of other shapes, for example layer1\.0\.conv1\.weight"):
        load_imagenet(SceneClassifier(3), str(wide))


@pytest.mark.slow
def test_weights_under_a_wrappers_prefix_are_read_and_what_is_left_out_is_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forget_notes()
    state = torchvision.models.resnet50(weights=None).state_dict()
    plain, wrapped = tmp_path / "plain.safetensors", tmp_path / "wrapped.safetensors"
    save_file(state, plain)
    save_file({f"module.{name}": tensor for name, tensor in state.items()}, wrapped)
    first, second = SceneClassifier(3), SceneClassifier(3)
    for _ in range(2):
        load_imagenet(first, str(plain))
    load_imagenet(second, str(wrapped))
    assert same(first.backbone.state_dict(), second.backbone.state_dict())
    assert caplog.text.count("left out: fc (its own classifier)") == 2  # once a file
