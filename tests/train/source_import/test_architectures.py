"""Every classifier that torchvision builds by name is recognised by its tensors, and answers as it did."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from tests.train.source_import.conftest import NAMES, saved
from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.train.nn.architectures import build, cut, fixed_side, last_linear
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import normalise
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source
from tgkt_edge.train.source_import.recognize import recognize

WITHOUT_LINEAR = {"squeezenet1_0", "squeezenet1_1"}
"""Their classifier is a convolution with an activation behind it."""


def shapes_only(name: str) -> dict[str, Tensor]:
    return dict(build(name, 7, memory=False).state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.models.list_models(module=torchvision.models))
def test_torchvision_is_recognized_by_names_and_shapes(name: str) -> None:
    if name in WITHOUT_LINEAR:
        with pytest.raises(CheckpointError, match=r"can be a teacher"):
            recognize(shapes_only(name), "x.pth")
        return
    found = recognize(shapes_only(name), "x.pth")
    assert (found.arch, len(found.weight), found.left_out) == (name, 7, [])


@pytest.mark.parametrize("name", ["vit_b_16@384", "vit_l_16@512", "vit_h_14@518", "vit_b_32@64"])
def test_a_vision_transformer_for_images_of_another_side(name: str) -> None:
    """torchvision's own SWAG weights are of these sides, under the network's plain name."""
    plain, _, side = name.partition("@")
    for arch in (None, plain, name):
        assert recognize(shapes_only(name), "x.pth", arch).arch == name
    assert fixed_side(build(name, 2, memory=False)) == int(side)
    assert recognize(shapes_only(plain), "x.pth").arch == plain


@pytest.mark.parametrize("name", ["vit_b_16@", "vit_b_16@100", "vit_b_16@0", "vit_b_16@64_v1", "resnet50@64"])
def test_a_side_that_no_such_network_has(name: str) -> None:
    with pytest.raises(UsageError, match="has no such classifier"):
        build(name, 2, memory=False)


@torch.no_grad()
def as_after_training(model: nn.Module, side: int) -> None:
    """Statistics of what batch norms see and a last layer that is not zero: new networks answer all images alike."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None  # the average over all batches: here of the only one
    model(torch.randn(8, 3, side, side))
    for norm in norms:
        norm.eval()
    found = last_linear(model)
    assert found is not None
    found[1].weight.normal_(0, 0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "side"),
    [
        ("resnet18", 512, 64), ("mobilenet_v3_large", 1280, 64), ("efficientnet_b0", 1280, 64),
        ("convnext_tiny", 768, 64), ("regnet_y_400mf", 440, 64), ("densenet121", 1024, 64),
        ("shufflenet_v2_x0_5", 1024, 64), ("mnasnet0_5", 1280, 64), ("swin_t", 768, 64), ("vit_b_16", 768, 224),
        ("vit_b_32@64", 768, 64),
        ("googlenet", 1024, 64),
    ],
)  # fmt: skip
def test_the_import_answers_as_the_model_did(
    name: str, width: int, side: int, names: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = build(name, len(NAMES))
    as_after_training(model, side)
    file = saved(model.state_dict(), tmp_path / "model.pth")
    half = (0.5, 0.5, 0.5)
    found = read_source(
        file, ImportOptions(names, mean=half, std=half, size=None if name.startswith("vit") else side)
    )
    assert isinstance(found.model, ImportedClassifier)
    assert found.model.width == width
    assert found.header.classes == NAMES
    assert found.lines[0].startswith(f"{file}: {name}, 5 classes, ")
    assert found.header.extra["import"]["proof"]["largest_logit_difference"] < 1e-4
    # What a checkpoint keeps is the same network.
    kept = tmp_path / "source.safetensors"
    save_checkpoint(kept, found.model, found.header)
    again, header = load_classifier(kept, "source")
    assert header == found.header
    x = torch.rand(2, 3, side, side)
    with torch.no_grad():
        expected = model(x * 2 - 1)
        torch.testing.assert_close(again(normalise(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_strides_of_before_v1_5_are_had_by_name() -> None:
    plain, old = build("resnet50", 2), build("resnet50_v1", 2)
    old.load_state_dict(plain.state_dict())
    strides = [m.conv1.stride for m in old.modules() if isinstance(m, torchvision.models.resnet.Bottleneck)]
    assert [s for s in strides if s != (1, 1)] == [(2, 2)] * 3
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert old(x).shape == plain(x).shape
        assert not torch.allclose(old(x), plain(x))


def test_an_unknown_name_is_refused_with_near_ones() -> None:
    with pytest.raises(UsageError, match=re.escape("`arch=resnet51`: torchvision")) as caught:
        build("resnet51", 2)
    assert "resnet50" in str(caught.value)


def test_the_last_linear_layer_is_the_one_that_nothing_with_weights_follows() -> None:
    ends = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.Softmax(1))
    found = last_linear(ends)
    assert found is not None
    assert found[0] == "2"
    assert last_linear(nn.Sequential(nn.Linear(4, 3), nn.Conv2d(1, 1, 1))) is None
    parts = cut(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    assert parts is not None
    assert (parts.head, parts.width) == ("2", 3)
    assert parts.network(torch.zeros(1, 4)).shape == (1, 3)


def timm_state(name: str) -> dict[str, Any]:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    return dict(timm.create_model(name, pretrained=False, num_classes=len(NAMES)).state_dict())


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto", "efficientnet_lite0"])
@pytest.mark.slow
def test_timm_by_name(name: str, names: Path, tmp_path: Path) -> None:
    file = saved(timm_state(name), tmp_path / "model.pth")
    found = read_source(file, ImportOptions(names, arch=f"timm:{name}", size=64))
    assert found.header.extra["import"]["arch"] == f"timm:{name}"
    assert found.header.extra["import"]["proof"]["largest_logit_difference"] < 1e-4


@pytest.mark.slow
def test_without_a_name_timm_asks_for_one(names: Path, tmp_path: Path) -> None:
    file = saved(timm_state("efficientnet_lite0"), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"Name the architecture with `arch`: .*timm:NAME"):
        read_source(file, ImportOptions(names))


def test_a_config_beside_the_file_names_architecture_and_pixels(names: Path, tmp_path: Path) -> None:
    """As timm and the Hugging Face hub lay models out."""
    folder = tmp_path / "hub"
    folder.mkdir()
    file = saved(timm_state("mobilenetv3_small_050"), folder / "pytorch_model.bin")
    (folder / "config.json").write_text(
        '{"architecture": "mobilenetv3_small_050", "pretrained_cfg": '
        '{"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "input_size": [3, 96, 96]}}'
    )
    about = read_source(file, ImportOptions(names)).header.extra["import"]
    assert (about["arch"], about["mean"], about["std"], about["size"]) == (
        "timm:mobilenetv3_small_050", [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], 96,
    )  # fmt: skip


def test_a_network_of_two_heads_is_no_sum_of_parts(names: Path, tmp_path: Path) -> None:
    """DeiT averages two classifiers: the last layer alone is not the model."""
    file = saved(timm_state("deit_tiny_distilled_patch16_224"), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"they do not fit: head\.weight is \(5, 192\)"):
        read_source(file, ImportOptions(names, arch="timm:deit_tiny_distilled_patch16_224"))
