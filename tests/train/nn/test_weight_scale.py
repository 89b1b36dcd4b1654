"""Weights of another scale: the same function, other numbers inside."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models.resnet import ResNet

from tgkt_edge.train.nn.checkpoint import load_imagenet
from tgkt_edge.train.nn.model import SceneClassifier
from tgkt_edge.train.nn.weight_scale import first_layer_spread, unit_scale


def resnet(scale: float) -> ResNet:
    """ResNet-50 of random weights whose batch norms know some images; its first convolution is ``scale`` too large."""
    torch.manual_seed(0)
    model: ResNet = torchvision.models.resnet50(weights=None)
    with torch.no_grad():
        model.conv1.weight *= scale
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        model.train()(torch.randn(4, 3, 32, 32))
    model.eval()
    return model


def test_the_first_layer_by_hand() -> None:
    """Variances 3600 and 4900: the smaller is the median of two, its root 60, the nearest power of two 64."""
    state = {
        "conv1.weight": torch.full((2, 1, 1, 1), 128.0),
        "bn1.running_mean": torch.tensor([-64.0, 32.0]),
        "bn1.running_var": torch.tensor([3600.0, 4900.0]),
        "bn1.weight": torch.tensor([3.0, 0.5], dtype=torch.float16),
        "bn1.bias": torch.tensor([1.0, 2.0]),
    }
    found, divisor = unit_scale(state)
    assert divisor == 64
    assert found["conv1.weight"].flatten().tolist() == [2, 2]
    assert found["bn1.running_mean"].tolist() == [-1, 0.5]
    assert found["bn1.running_var"].tolist() == [3600 / 4096, 4900 / 4096]
    # The epsilon of 1e-5 weighs 1e-5 / 0.879 and 1e-5 / 1.196 now, and next to nothing before; roots halve that.
    expected = torch.tensor([3 * (1 + 0.5e-5 / 0.879), 0.5 * (1 + 0.5e-5 / 1.196)])
    torch.testing.assert_close(found["bn1.weight"], expected, rtol=2e-7, atol=0)
    assert torch.equal(found["bn1.bias"], state["bn1.bias"])
    assert state["conv1.weight"].max() == 128  # what was given is left alone


@pytest.mark.slow
def test_the_network_says_the_same() -> None:
    large, images = resnet(4000.0), torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = {key: value.clone() for key, value in large.state_dict().items()}
    state, divisor = unit_scale(before)
    assert divisor >= 1024
    assert 0.5 <= state["bn1.running_var"].median().item() <= 2
    assert [key for key in before if not torch.equal(before[key], state[key])] == [
        "conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var",
    ]  # fmt: skip
    with torch.no_grad():
        expected = large(images)
        large.load_state_dict(state)
        assert (large(images) - expected).abs().max() < 1e-4 * expected.abs().max()
    again, unity = unit_scale(state)
    assert unity == 1
    torch.testing.assert_close(again["bn1.weight"], state["bn1.weight"])


@pytest.mark.slow
def test_the_first_layer_learns_more_when_its_scale_is_one() -> None:
    """A step's share of the weight: the gradient falls with the scale, so the share falls with its square."""
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()

    def share(state: dict[str, Tensor]) -> float:
        model = torchvision.models.resnet50(weights=None)
        model.load_state_dict(state)
        model.double().train()(images).square().mean().backward()
        gradient = model.conv1.weight.grad
        assert gradient is not None
        return float(gradient.norm() / model.conv1.weight.detach().norm())

    state = resnet(4000.0).state_dict()
    small, divisor = unit_scale(state)
    assert share(small) / share(state) == pytest.approx(divisor**2, rel=1e-3)


def test_the_spread_is_that_of_most_channels() -> None:
    variance = torch.cat([torch.full((33,), 9.0), torch.full((31,), 1e6)])
    assert first_layer_spread({"bn1.running_var": variance}) == 3


@pytest.mark.parametrize("scale", [60.0, 1.0, 1e-3])
@pytest.mark.slow
def test_loading_brings_weights_to_the_usual_scale(tmp_path: Path, scale: float) -> None:
    """From an fp16 file as converters write it; what the backbone says stays, and what has the usual scale is left."""
    torch.manual_seed(0)
    usual = resnet(1.0)
    spread = first_layer_spread(usual.state_dict())
    state = resnet(scale / spread).state_dict()
    save_file({key: value.half() for key, value in state.items() if value.dim()}, tmp_path / "w.safetensors")
    written = load_file(tmp_path / "w.safetensors")
    model = SceneClassifier(2)
    divisor = load_imagenet(model, str(tmp_path / "w.safetensors"))
    loaded = model.backbone.state_dict()
    if scale == 1:
        assert divisor == 1
        assert torch.equal(loaded["conv1.weight"], written["conv1.weight"].float())
        assert torch.equal(loaded["bn1.weight"], written["bn1.weight"].float())
    else:
        assert divisor == pytest.approx(scale, rel=0.42)  # the nearest power of two
        assert 0.7 < first_layer_spread(loaded) < 1.42
    plain = torchvision.models.resnet50(weights=None)
    plain.load_state_dict({key: value.float() for key, value in written.items()}, strict=False)
    plain.fc = nn.Identity()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = plain.eval()(images), model.backbone.eval()(images)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
