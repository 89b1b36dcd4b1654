"""The network with a linear head on pooled layers: what it computes, and that files keep it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, load_tensors, save_checkpoint, save_tensors
from tgkt_edge.train.nn.model import SceneClassifier, normalise, pooled_layers, unit_rows
from tgkt_edge.train.nn.normals import surface_normals


@pytest.fixture(scope="module")
def network(untrained: SceneClassifier) -> SceneClassifier:
    model = SceneClassifier(3, (2, 3, 4))
    model.backbone.load_state_dict(untrained.backbone.state_dict())
    torch.manual_seed(1)
    torch.nn.init.normal_(model.classifier.weight)
    model.standard.mean.normal_()
    model.standard.scale.uniform_(0.5, 2)
    return model.eval().requires_grad_(False)


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.slow
def test_pooled_layers_are_the_networks_own(network: SceneClassifier, frames: torch.Tensor) -> None:
    x = normalise(frames)
    two, four = pooled_layers(network.backbone, x, (2, 4))
    assert (two.shape, four.shape) == ((4, 512), (4, 2048))
    torch.testing.assert_close(four, network.backbone(x))


def test_rows_of_length_one() -> None:
    rows = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0], [3e-3, 4e-3]]))
    torch.testing.assert_close(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.6, 0.8]]))


def test_features_are_standardised_and_classified_linearly(
    network: SceneClassifier, frames: torch.Tensor
) -> None:
    x = normalise(frames)
    layers = pooled_layers(network.backbone, x, (2, 3, 4))
    joined = torch.cat([F.normalize(layer) for layer in layers], 1)
    expected = (joined - network.standard.mean) / network.standard.scale
    features = network.features(x)
    assert features.shape == (4, network.width)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(
        network(x), F.linear(expected, network.classifier.weight, network.classifier.bias)
    )


def test_the_head_is_in_float32_under_autocast(network: SceneClassifier, frames: torch.Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert network(normalise(frames)).dtype == torch.float32


@pytest.mark.slow
def test_the_network_turns_depth_into_normals_itself(network: SceneClassifier, frames: torch.Tensor) -> None:
    seeing = SceneClassifier(3, (2, 3, 4), normals=True)
    seeing.load_state_dict(network.state_dict())
    seeing.eval()
    with torch.no_grad():
        found, expected = seeing(normalise(frames)), network(normalise(surface_normals(frames)))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert (found - network(normalise(frames))).abs().max() > 0.1


@pytest.mark.parametrize("normals", [False, True])
@pytest.mark.slow
def test_a_file_keeps_the_architecture_and_what_lies_beside(
    normals: bool, network: SceneClassifier, tmp_path: Path
) -> None:
    model = SceneClassifier(3, (2, 3, 4), normals)
    model.load_state_dict(network.state_dict())
    header = Header("target", ("a", "b", "c"), 32, extra={"k": 1}, beside={"labels": torch.eye(3)})
    save_checkpoint(tmp_path / "x.safetensors", model, header)
    again, kept = load_classifier(tmp_path / "x.safetensors", "target")
    assert (again.pooled, again.normals) == ((2, 3, 4), normals)
    assert kept == header
    assert torch.equal(kept.beside["labels"], torch.eye(3))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.slow
def test_the_papers_network_is_written_as_before(untrained: SceneClassifier, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.safetensors", untrained, Header("source", ("a", "b", "c"), 32))
    _, about = load_tensors(tmp_path / "x.safetensors")
    assert "pooled" not in about
    assert "normals" not in about
    assert load_classifier(tmp_path / "x.safetensors")[0].pooled == ()


def test_layers_that_do_not_exist_are_refused(network: SceneClassifier, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.safetensors", network, Header("target", ("a", "b", "c"), 32))
    tensors, about = load_tensors(tmp_path / "x.safetensors")
    save_tensors(tmp_path / "x.safetensors", tensors, {**about, "pooled": [5]})
    with pytest.raises(CheckpointError, match=r"pools layers \[5\]; a ResNet-50 has 1 to 4"):
        load_classifier(tmp_path / "x.safetensors")
