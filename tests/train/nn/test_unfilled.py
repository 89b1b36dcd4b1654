"""Networks that are loaded from a file: built without random weights, and with every value from the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, pretrained_backbone, save_checkpoint
from tgkt_edge.train.nn.model import SceneClassifier
from tgkt_edge.train.nn.named_network import NamedClassifier
from tgkt_edge.train.nn.unfilled import WithoutRandomWeights

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "the paper's": lambda: SceneClassifier(3),
    "of pooled layers": lambda: SceneClassifier(3, (3, 4), normals=True),
    "convolutions": lambda: NamedClassifier("mobilenet_v3_small", 3),
    "layer scale": lambda: NamedClassifier("convnext_tiny", 3),
    "attention": lambda: NamedClassifier("swin_v2_t", 3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_value_comes_from_the_file_and_no_random_number_is_drawn(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    save_checkpoint(tmp_path / "target.safetensors", model, Header("target", ("a", "b", "c"), 64))
    before = torch.get_rng_state()
    loaded, _ = load_classifier(tmp_path / "target.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert [key for key, value in loaded.state_dict().items() if not torch.equal(value, expected[key])] == []
    # What no file holds is computed as ever.
    beside = dict(model.named_buffers())
    assert [key for key, value in loaded.named_buffers() if not torch.equal(value, beside[key])] == []
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(x), model.eval()(x))


@pytest.mark.slow
def test_a_file_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "target.safetensors"
    model = SceneClassifier(3)
    del model.backbone.layer4[2].conv3
    save_checkpoint(file, model, Header("target", ("a", "b", "c"), 64))
    with pytest.raises(CheckpointError, match=r"backbone\.layer4\.2\.conv3\.weight is missing"):
        load_classifier(file)


@pytest.mark.slow
def test_a_backbone_is_that_of_the_file_and_random_only_where_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "resnet50.safetensors"
    torch.manual_seed(0)
    save_file(torchvision.models.resnet50(weights=None).state_dict(), file)
    found, expected = pretrained_backbone(str(file)).state_dict(), load_file(file)
    assert found.keys() == {name for name in expected if not name.startswith("fc.")}
    assert [name for name, value in found.items() if not torch.equal(value, expected[name])] == []
    drawn = pretrained_backbone("none").state_dict()
    assert [name for name, value in drawn.items() if not value.isfinite().all()] == []
    assert float(drawn["layer1.0.conv1.weight"].std()) > 0.01


def test_what_nothing_is_loaded_into_answers_nothing() -> None:
    with WithoutRandomWeights():
        layer, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    assert layer.weight.isnan().all()
    assert not norm.weight.isnan().any()
    assert norm(layer(torch.rand(2, 3, 8, 8))).isnan().all()
    assert not nn.Conv2d(3, 4, 3).weight.isnan().any()
