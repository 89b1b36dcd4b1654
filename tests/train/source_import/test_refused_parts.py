"""Tensors beside a network and its last layer, and files that would be lost: what was found, and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from tests.train.source_import.conftest import NAMES, State, refused, saved, small_resnet
from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.train.source_import.import_source import import_source
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source


class Powers(nn.Module):
    """GeM pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))


def with_part(network: torchvision.models.ResNet, part: str) -> State:
    if part == "a normalization before it":
        network.fc = nn.Sequential(nn.BatchNorm1d(512), nn.Dropout(0.5), network.fc)
    elif part == "a normalization behind it":
        network.fc = nn.Sequential(network.fc, nn.BatchNorm1d(len(NAMES)))
    elif part == "another pooling":
        network.avgpool = Powers()
    else:
        network.attention = nn.Conv2d(2, 1, 7)
    return dict(network.state_dict())


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("a normalization before it", "fc.0.bias, fc.0.running_mean"),
        ("a normalization behind it", "fc.1.bias, fc.1.running_mean"),
        ("another pooling", "avgpool.p"),
        ("attention to places", "attention.bias, attention.weight"),
    ],
)
def test_a_part_with_weights_that_no_architecture_has(
    part: str, found: str, names: Path, tmp_path: Path
) -> None:
    """It may change every answer: nothing but the program that made it knows how."""
    text = refused(with_part(small_resnet(), part), "may take part in its answers", names, tmp_path)
    assert f"holds {found}" in text
    assert "ONNX" in text


@pytest.mark.parametrize("container", ["model.pth", "it's $HOME.pth", "model.safetensors"])
def test_the_command_that_is_shown_removes_what_is_no_part_of_the_classifier(
    container: str, state: State, names: Path, tmp_path: Path
) -> None:
    more = {**state, "sam.rho": torch.ones(1), "head2.mix.weight": torch.ones(4), "scale": torch.ones(())}
    if container.endswith(".pth"):
        saved({"model_state_dict": more, "epoch": 3}, tmp_path / container)
    else:
        save_file({name: tensor.contiguous() for name, tensor in more.items()}, tmp_path / container)
    with pytest.raises(CheckpointError, match=r"sam\.rho") as caught:
        read_source(tmp_path / container, ImportOptions(names, size=64))
    command = str(caught.value)[str(caught.value).index("python -c") :].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    found = read_source(tmp_path / "one.pth", ImportOptions(names, size=64))
    assert found.model.num_classes == len(NAMES)


def test_what_losses_and_tools_leave_in_a_file_is_named_and_left_out(
    state: State, names: Path, tmp_path: Path
) -> None:
    more = {
        **state, "criterion.weight": torch.ones(5), "total_ops": torch.ones(1), "step": torch.tensor(3)
    }  # fmt: skip
    found = read_source(saved(more, tmp_path / "m.pth"), ImportOptions(names, size=64))
    assert "3 tensors left out, which only training needs: criterion.weight, step, total_ops" in "\n".join(
        found.lines
    )


def test_a_second_classifier_behind_the_network_s_own(names: Path, tmp_path: Path) -> None:
    own = {f"backbone.{name}": tensor for name, tensor in small_resnet(64).state_dict().items()}
    two = {**own, "head.weight": torch.randn(5, 64), "head.bias": torch.zeros(5)}
    assert "holds head.bias, head.weight" in refused(two, "last layer backbone.fc.weight", names, tmp_path)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("fc.bias", (3,), r"fc\.bias is \(3,\), expected \(5,\)"),
        ("fc.bias", (5, 1), r"fc\.bias is \(5, 1\), expected \(5,\)"),
        ("fc.weight", (0, 512), r"fc\.weight gives 0 output"),
        ("fc.weight", (5, 0), r"fc\.weight \(5, 0\); expected one linear layer from 512 features"),
    ],
)
def test_a_last_layer_of_another_shape(
    name: str, shape: tuple[int, ...], words: str, state: State, names: Path, tmp_path: Path
) -> None:
    refused({**state, name: torch.ones(shape)}, words, names, tmp_path)


def test_the_checkpoint_is_none_of_the_files_that_are_read(state: State, names: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, own)
    before = own.read_bytes()
    (tmp_path / "linked.safetensors").symlink_to(own)
    for out in (own, tmp_path / "linked.safetensors", str(own)):
        with pytest.raises(UsageError, match="is the model itself, which would be lost"):
            import_source(own, out, ImportOptions(names, size=64), overwrite=True)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        import_source(own, tmp_path / "file" / "o.safetensors", ImportOptions(names, size=64))
    assert own.read_bytes() == before
