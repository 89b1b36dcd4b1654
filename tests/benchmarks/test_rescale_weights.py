"""Rescaled weights: the same function, other numbers inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rescale_weights
import torch
import torchvision
from rescale_weights import rescaled
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models.resnet import ResNet


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
    found, divisor = rescaled(state)
    assert divisor == 64
    assert found["conv1.weight"].flatten().tolist() == [2, 2]
    assert found["bn1.running_mean"].tolist() == [-1, 0.5]
    assert found["bn1.running_var"].tolist() == [3600 / 4096, 4900 / 4096]
    # The epsilon of 1e-5 weighs 1e-5 / 0.879 and 1e-5 / 1.196 now, and next to nothing before; roots halve that.
    wanted = torch.tensor([3 * (1 + 0.5e-5 / 0.879), 0.5 * (1 + 0.5e-5 / 1.196)])
    torch.testing.assert_close(found["bn1.weight"], wanted, rtol=2e-7, atol=0)
    assert torch.equal(found["bn1.bias"], state["bn1.bias"])
    assert state["conv1.weight"].max() == 128  # what was given is left alone


def test_the_network_says_the_same() -> None:
    large, images = resnet(4000.0), torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = {key: value.clone() for key, value in large.state_dict().items()}
    state, divisor = rescaled(before)
    assert divisor >= 1024
    assert 0.5 <= state["bn1.running_var"].median().item() <= 2
    assert [key for key in before if not torch.equal(before[key], state[key])] == [
        "conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var",
    ]  # fmt: skip
    with torch.no_grad():
        wanted = large(images)
        large.load_state_dict(state)
        assert (large(images) - wanted).abs().max() < 1e-4 * wanted.abs().max()
    again, unity = rescaled(state)
    assert unity == 1
    torch.testing.assert_close(again["bn1.weight"], state["bn1.weight"])


def test_the_first_layer_learns_more_when_its_scale_is_one() -> None:
    """A step's share of the weight: the gradient falls with the scale, so the share falls with its square."""
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def share(state: dict[str, Tensor]) -> float:
        model = torchvision.models.resnet50(weights=None)
        model.load_state_dict(state)
        model.train()(images).square().mean().backward()
        gradient = model.conv1.weight.grad
        assert gradient is not None
        return float(gradient.norm() / model.conv1.weight.detach().norm())

    state = resnet(4000.0).state_dict()
    small, divisor = rescaled(state)
    assert share(small) / share(state) == pytest.approx(divisor**2, rel=0.02)


def test_from_file_to_file(tmp_path: Path) -> None:
    state = {key: value.half() for key, value in resnet(60.0).state_dict().items() if value.dim()}
    save_file(state, tmp_path / "in.safetensors")
    command = [sys.executable, rescale_weights.__file__, str(tmp_path / "in.safetensors"), "-o"]
    out = tmp_path / "out.safetensors"
    assert subprocess.run([*command, str(out)], check=False).returncode == 0
    found, wanted = load_file(out), rescaled(load_file(tmp_path / "in.safetensors"))[0]
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in found)
    before = out.read_bytes()
    refused = subprocess.run([*command, str(out)], check=False, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"{out} exists" in refused.stderr
    assert out.read_bytes() == before
