"""What is no classifier of RGB images, or not one that its tensors tell: what was found, and what to do."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from tests.train.source_import.conftest import NAMES, State, refused, saved, small_resnet
from tgkt_edge.errors import CheckpointError, DataError, UsageError
from tgkt_edge.train.source_import.import_source import import_source
from tgkt_edge.train.source_import.options import ImportOptions, three_numbers
from tgkt_edge.train.source_import.read_source import read_source


@pytest.mark.slow
def test_a_detector(names: Path, tmp_path: Path) -> None:
    build = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_320_fpn
    state = build(weights=None, weights_backbone=None, num_classes=3).state_dict()
    assert "`source`" in refused(state, "holds an object detector", names, tmp_path)


@pytest.mark.slow
def test_a_segmentation_network(names: Path, tmp_path: Path) -> None:
    build = torchvision.models.segmentation.fcn_resnet50
    state = build(weights=None, weights_backbone=None, num_classes=3, aux_loss=True).state_dict()
    refused(state, "holds a segmentation network", names, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("build", ["fcn_resnet50", "lraspp_mobilenet_v3_large"])
def test_a_segmentation_network_without_an_auxiliary_head(build: str, names: Path, tmp_path: Path) -> None:
    network = torchvision.models.get_model(build, weights=None, weights_backbone=None, num_classes=3)
    refused(network.state_dict(), "holds a segmentation network", names, tmp_path)


@pytest.mark.slow
def test_a_network_that_ends_with_a_convolution(names: Path, tmp_path: Path) -> None:
    state = torchvision.models.squeezenet1_1(weights=None, num_classes=5).state_dict()
    wrapped = {f"backbone.{name}": value for name, value in state.items()}
    for one in (state, wrapped):
        text = refused(one, "is a squeezenet1_1, which does not end with a linear layer", names, tmp_path)
        assert "ONNX" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["layer2.0.conv1.weight", "fc.bias", "bn1.running_mean"])
def test_weights_that_are_no_numbers(
    where: str, value: float, state: State, names: Path, tmp_path: Path
) -> None:
    broken = {**state, where: torch.full_like(state[where], value)}
    refused(
        broken, rf"non-finite values in 1 of \d+ tensors \({where}\): its training diverged", names, tmp_path
    )


def test_a_negative_variance(state: State, names: Path, tmp_path: Path) -> None:
    where = "layer1.0.bn1.running_var"
    refused({**state, where: -state[where]}, rf"negative variances in 1 .*\({where}\)", names, tmp_path)


def test_weights_that_overflow(state: State, names: Path, tmp_path: Path) -> None:
    """Each of them is a number, and no answer is."""
    large = {
        **state,
        "layer4.1.bn2.weight": torch.full((512,), 1e38),
        "fc.weight": torch.full((5, 512), 1e38),
    }
    refused(large, "the model's answers to generated images are non-finite", names, tmp_path)


def test_a_pickle_is_refused_by_what_it_would_run(state: State, names: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.pth.tar"
    torch.save({"state_dict": state, "args": argparse.Namespace(epochs=3)}, file)
    with pytest.raises(CheckpointError, match=r"it holds more \(argparse\.Namespace\).*save_file"):
        read_source(file, ImportOptions(names))


def test_a_map_to_one_class(state: State, names: Path, tmp_path: Path) -> None:
    mapped = tmp_path / "map.csv"
    mapped.write_text(f"source_class,task_class\n{NAMES[0]},home\n{NAMES[1]},home\n")
    with pytest.raises(DataError, match=r"map\.csv`: 1 class of the task \(home\), expected at least 2"):
        read_source(saved(state, tmp_path / "model.pth"), ImportOptions(names, map=mapped))


def test_a_backbone_without_classifier(state: State, names: Path, tmp_path: Path) -> None:
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    assert "`weights`" in refused(body, "resnet18 of a classifier without its last layer", names, tmp_path)


def test_a_head_of_several_layers(state: State, names: Path, tmp_path: Path) -> None:
    body = {name: value for name, value in state.items() if not name.startswith("fc.")}
    head = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 5))
    more = {f"fc.{name}": value for name, value in head.state_dict().items()}
    words = (
        r"followed by fc\.0\.weight \(64, 512\), fc\.2\.weight \(5, 64\); expected one linear layer from 512"
    )
    assert "ONNX" in refused({**body, **more}, words, names, tmp_path)


def test_one_output(names: Path, tmp_path: Path) -> None:
    refused(dict(small_resnet(1).state_dict()), r"fc\.weight gives 1 output", names, tmp_path)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.slow
def test_a_first_layer_for_other_images(channels: int, state: State, names: Path, tmp_path: Path) -> None:
    other = {**state, "conv1.weight": torch.zeros(64, channels, 7, 7)}
    text = refused(other, f"a resnet18 for images of {channels} channel", names, tmp_path)
    assert "Expected one for RGB" in text
    assert ("w.repeat" in text) == (channels == 1)


def grouped(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)


def batch_alone(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [grouped, batch_alone])
def test_normalization_without_running_statistics(
    norm: Callable[[int], nn.Module], names: Path, tmp_path: Path
) -> None:
    """GroupNorm and a BatchNorm that keeps nothing have the same tensors: both ways out are told, each for its own."""
    other = torchvision.models.resnet18(weights=None, num_classes=5, norm_layer=norm).state_dict()
    text = refused(other, "a resnet18 whose normalization has no running statistics", names, tmp_path)
    assert "first bn1.running_mean" in text
    assert "GroupNorm or LayerNorm in place of BatchNorm: export it to ONNX" in text
    assert "BatchNorm with track_running_stats=False" in text
    assert "set it to True, run some batches" in text


def test_an_extended_network_is_not_taken_for_the_plain_one(
    state: State, names: Path, tmp_path: Path
) -> None:
    """Squeeze and excitation inside the blocks: all of a ResNet's tensors are there, and it is none."""
    other = {**state, "layer1.0.se.fc1.weight": torch.zeros(4, 64, 1, 1)}
    text = refused(
        other,
        "nearest is resnet18, which they do not fit: .*se.fc1.weight is not part of it",
        names,
        tmp_path,
    )
    assert "`arch`" in text


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.slow
def test_of_two_copies_of_the_network_the_advised_command_keeps_one(
    suffix: str, state: State, names: Path, tmp_path: Path
) -> None:
    both = {
        f"module.{part}.{name}": value.clone()
        for part in ("mean", "student")
        for name, value in state.items()
    }
    file = tmp_path / f"model{suffix}"
    save_file(both, file) if suffix == ".safetensors" else saved({"model_state_dict": both}, file)
    words = "holds the network 2 times, under 'mean', 'student'"
    with pytest.raises(CheckpointError, match=words) as caught:
        read_source(file, ImportOptions(names, size=64))
    command = str(caught.value).partition("Keep one: ")[2].replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=120)
    found = read_source(tmp_path / "one.pth", ImportOptions(names, size=64))
    assert found.header.classes == NAMES


def test_tensors_of_something_else(names: Path, tmp_path: Path) -> None:
    text = refused(
        {"a.weight": torch.zeros(3, 3), "b": torch.zeros(2)}, "are those of no classifier", names, tmp_path
    )
    assert "`arch`" in text
    assert "ONNX" in text


def test_quantized_tensors(state: State, names: Path, tmp_path: Path) -> None:
    small = torch.quantize_per_tensor(state["fc.weight"], 0.1, 0, torch.qint8)
    refused({**state, "fc.weight": small}, "holds quantized tensors", names, tmp_path)


def test_the_wrong_architecture_by_name(state: State, names: Path, tmp_path: Path) -> None:
    options = ImportOptions(names, arch="resnet34", size=64)
    words = r"nearest is resnet34, which they do not fit: layer1\.2\..*Leave `arch` out"
    refused(state, words, names, tmp_path, options)


def test_classes_without_names_are_not_guessed(state: State, tmp_path: Path) -> None:
    file = saved(state, tmp_path / "model.pth")
    with pytest.raises(UsageError, match=r"resnet18, 5 classes, fc 512 -> 5: its 5 outputs have no names"):
        read_source(file, ImportOptions())


def test_another_number_of_names(state: State, names: Path, tmp_path: Path) -> None:
    names.write_text("\n".join(NAMES[:4]))
    with pytest.raises(DataError, match=r"4 names .* and the model has 5 outputs"):
        read_source(saved(state, tmp_path / "model.pth"), ImportOptions(names))


def test_pixels_that_cannot_be(state: State, names: Path, tmp_path: Path) -> None:
    file = saved(state, tmp_path / "model.pth")
    with pytest.raises(UsageError, match="`mean` and `std` belong together"):
        read_source(file, ImportOptions(names, mean=(0.5, 0.5, 0.5)))
    with pytest.raises(UsageError, match="`std=0,1,1`: expected three positive numbers"):
        read_source(file, ImportOptions(names, mean=(0.5, 0.5, 0.5), std=(0, 1, 1)))
    for size in (8, 100_000):
        with pytest.raises(UsageError, match=f"`size={size}`: expected .* 32 to 2048 pixels"):
            ImportOptions(names, size=size)
    for text in ("0.5,0.5", "a,b,c", "nan"):
        with pytest.raises(UsageError, match=f"`mean={text}`: expected three numbers"):
            three_numbers(text, "mean")
    assert three_numbers("0.5", "std") == (0.5, 0.5, 0.5)


@pytest.mark.slow
def test_a_size_that_the_network_does_not_take(names: Path, tmp_path: Path) -> None:
    state = torchvision.models.vit_b_32(weights=None, num_classes=5).state_dict()
    with pytest.raises(UsageError, match="`size=112`: vit_b_32 takes images of 224 pixels"):
        read_source(saved(state, tmp_path / "model.pth"), ImportOptions(names, size=112))


@pytest.mark.slow
def test_a_size_under_which_nothing_of_the_image_is_left(names: Path, tmp_path: Path) -> None:
    state = torchvision.models.shufflenet_v2_x0_5(weights=None, num_classes=5).state_dict()
    read_source(saved(state, tmp_path / "small.pth"), ImportOptions(names, size=32))
    state = torchvision.models.inception_v3(weights=None, num_classes=5, init_weights=False).state_dict()
    words = (
        r"`size=64`: inception_v3 does not work on images of 64 pixels \(.*Kernel size.*\)\. Give the side"
    )
    with pytest.raises(UsageError, match=words):
        read_source(saved(state, tmp_path / "model.pth"), ImportOptions(names, size=64))


def test_the_output_is_a_safetensors_file_and_is_not_overwritten(
    state: State, names: Path, tmp_path: Path
) -> None:
    file = saved(state, tmp_path / "model.pth")
    with pytest.raises(UsageError, match=r"ends in \.safetensors"):
        import_source(file, tmp_path / "source.pth", ImportOptions(names))
    out = tmp_path / "source.safetensors"
    import_source(file, out, ImportOptions(names, size=64))
    with pytest.raises(UsageError, match="`overwrite=True`"):
        import_source(file, out, ImportOptions(names, size=64))


def test_a_checkpoint_of_this_program_needs_nothing_said(state: State, names: Path, tmp_path: Path) -> None:
    out = tmp_path / "source.safetensors"
    import_source(saved(state, tmp_path / "model.pth"), out, ImportOptions(names, size=64))
    assert read_source(out, ImportOptions()).header.classes == NAMES
    with pytest.raises(
        UsageError, match=r"`source_classes`, `bgr=True`: .* is a source checkpoint of tgkt-edge"
    ):
        read_source(out, ImportOptions(names, bgr=True))


def test_a_model_that_answers_every_image_alike(names: Path, tmp_path: Path) -> None:
    state = dict(small_resnet().state_dict())
    state["fc.weight"] = torch.zeros_like(state["fc.weight"])
    text = refused(state, "gives the same logits .* to each of 8 generated images", names, tmp_path)
    assert "never trained" in text
