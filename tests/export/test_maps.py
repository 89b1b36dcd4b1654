"""The output ``maps``: each class's evidence by place, whose mean over places is the logit.

In every kind of network and precision; networks that have no such maps, and bundles without.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.support.training import CLASSES, SIDE
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import BundleError, GateError, UsageError
from tgkt_edge.evaluation.maps_check import check_maps
from tgkt_edge.evaluation.verify import verify
from tgkt_edge.export.export import export
from tgkt_edge.export.fuse import Folded
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.runtime import open_engine
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.nn.architectures import build, cut
from tgkt_edge.train.nn.imported import ImportedClassifier, MergingHead, Pixels, Trunk
from tgkt_edge.train.nn.maps import (
    LastPooling,
    PlaceHead,
    area_shares,
    class_maps,
    over_areas,
    pooled_head,
)
from tgkt_edge.train.nn.model import SceneClassifier, normalise

GROUPS = ((0, 3), (1,), (2, 4, 5))


def imported(name: str, side: int) -> ImportedClassifier:
    """A network of torchvision's with random weights, and three classes merged of six."""
    torch.manual_seed(0)
    parts = cut(build(name, 6))
    assert parts is not None
    model = ImportedClassifier(Trunk(parts.network, Pixels()), parts.width, GROUPS, {"arch": name}).eval()
    for module in model.modules():  # statistics of such frames, or the last features would hardly differ
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(normalise(frames(side, 8)))
    model.eval()
    model.standardize(
        torch.randn(parts.width).double(), torch.rand(parts.width).double() + 0.5
    )  # what it answers stays
    return model


def frames(side: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, side, side, generator=torch.Generator().manual_seed(1))


# Averages over areas


def test_areas_by_hand() -> None:
    """Five pixels to two places: two and a half each."""
    shares = area_shares(5, 2)
    assert shares.tolist() == [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]]
    assert over_areas(torch.tensor([[1.0, 2, 3, 4, 5]]), (1, 2))[0].tolist() == pytest.approx([1.8, 4.2])


@pytest.mark.parametrize(("length", "count"), [(28, 7), (14, 4), (23, 12), (7, 7), (3, 1)])
def test_the_mean_over_areas_is_the_mean_over_pixels(length: int, count: int) -> None:
    shares = area_shares(length, count)
    torch.testing.assert_close(shares.sum(1), torch.ones(count).double())
    torch.testing.assert_close(shares.sum(0), torch.full((length,), count / length).double())
    maps = torch.rand(2, 3, length, length + 2).double()
    torch.testing.assert_close(over_areas(maps, (count, 2)).mean((2, 3)), maps.mean((2, 3)))


def test_the_class_layer_at_every_place_by_hand() -> None:
    """Two maps of one channel: the second twice as coarse, the first divided by its length 2."""
    head = nn.Linear(2, 1)
    head.load_state_dict({"weight": torch.tensor([[3.0, -1.0]]), "bias": torch.tensor([10.0])})
    fine = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    coarse = torch.tensor([[[[4.0]]]])
    found = PlaceHead(head, [1, 1])([fine, coarse], [torch.tensor([[2.0]]), None])
    assert found.tolist() == [[[[3 * 4 / 2 - 4 + 10]]]]


def test_merged_classes_by_hand() -> None:
    """ln(e^1 + e^3) and a class of its own; places differ, the mean is the merged logit, halved by the temperature."""
    head = MergingHead(1, ((0, 2), (1,)))
    head.temperature.fill_(2.0)
    maps = torch.tensor([[[[0.0, 2.0]], [[5.0, 7.0]], [[6.0, 0.0]]]])  # means 1, 6, 3
    logits = maps.mean((2, 3))
    found = head.merge_maps(logits, maps)
    assert found.mean((2, 3)).tolist()[0] == pytest.approx([np.log(np.e + np.e**3) / 2, 3])
    share = 1 / (1 + np.e**2)  # of the first member
    constant = np.log(np.e + np.e**3) - share * 1 - (1 - share) * 3
    assert found[0, 0, 0].tolist() == pytest.approx(
        [((1 - share) * 6 + constant) / 2, (share * 2 + constant) / 2], rel=1e-5
    )


# Networks


@pytest.mark.slow
@pytest.mark.parametrize("side", [64, 50], ids=["whole factors", "areas that share pixels"])
@pytest.mark.parametrize("pooled", [(), (2, 3, 4)], ids=["bottleneck", "pooled layers"])
def test_the_mean_of_a_map_is_the_logit(pooled: tuple[int, ...], side: int) -> None:
    torch.manual_seed(0)
    model = SceneClassifier(3, pooled).eval()
    nn.init.normal_(model.classifier.bias)
    if pooled:
        nn.init.normal_(model.classifier.weight)
    plain = Deployed(model)
    with torch.inference_mode():
        logits, probabilities, maps = Folded(plain.model, maps=True)(frames(side))
        expected = plain(frames(side))
    assert maps.shape == (2, 3, 2, 2)
    torch.testing.assert_close(maps.mean((2, 3)), logits, rtol=0, atol=1e-5 * float(logits.abs().max()))
    torch.testing.assert_close(logits, expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(probabilities, expected[1], rtol=1e-4, atol=1e-4)
    assert maps.std((2, 3)).min() > 0  # they do differ by place
    of_the_plain_network = class_maps(model, normalise(frames(side)))
    assert of_the_plain_network is not None
    torch.testing.assert_close(of_the_plain_network, maps, rtol=1e-3, atol=1e-4 * float(maps.abs().max()))


def test_the_map_is_the_class_layer_on_that_places_features() -> None:
    """Of the paper's head: what the network would answer if the whole last feature map were as at this place."""
    torch.manual_seed(0)
    model = SceneClassifier(3).eval()
    plain = Deployed(model).model
    layer: list[torch.Tensor] = []
    plain.backbone.layer4.register_forward_hook(lambda module, given, found: layer.append(found))
    with torch.inference_mode():
        maps = Folded(plain, maps=True)(frames(64))[2]
        plain(frames(64).expand(-1, 3, -1, -1).sub(torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)).div(
            torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)))  # fmt: skip
        at_place = plain.classifier(plain.bottleneck(layer[0][:, :, 1, 0]))
    torch.testing.assert_close(maps[:, :, 1, 0], at_place, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("resnet18", True),
        ("mobilenet_v2", True),
        ("efficientnet_b0", True),
        ("densenet121", True),
        ("mobilenet_v3_large", True),  # a hidden layer and its activation there
        ("convnext_tiny", True),  # a normalization there
        ("vgg11_bn", False),  # two hidden layers there, of 49 places
        ("vit_b_16", False),  # no feature map
    ],
)
def test_which_networks_have_maps(name: str, has: bool, tmp_path: Path) -> None:
    side = 224 if name.startswith("vit") else 64
    model = imported(name, side)
    assert (pooled_head(model, side) is not None) == has
    plain = class_maps(model, normalise(frames(side)))
    assert (plain is not None) == has
    if name not in ("resnet18", "mobilenet_v3_large", "convnext_tiny"):
        return  # slow to export, and no other path
    path = tmp_path / "model.onnx"
    given = export_onnx(Deployed(model), path, side, ("a", "b", "c"), load_sensor("depth"), maps=True)
    assert given == has
    engine = OnnxRuntimeEngine(path, side, ("a", "b", "c"))
    assert (engine.grid is not None) == has
    x = frames(side).numpy()
    with torch.inference_mode():
        expected = Deployed(model)(frames(side))[0].numpy()
    np.testing.assert_allclose(engine.infer(x)[0], expected, atol=1e-4 * np.abs(expected).max())
    if has:
        assert engine.grid == (2, 2)
        logits, _, maps = engine.infer_maps(x)
        np.testing.assert_allclose(maps.mean((2, 3)), logits, atol=1e-5 * np.abs(logits).max())
        assert np.ptp(maps, axis=(2, 3)).min() > 0
        assert plain is not None
        np.testing.assert_allclose(maps, plain.numpy(), rtol=1e-3, atol=1e-4 * np.abs(maps).max())
    else:
        with pytest.raises(ValueError, match="has no output maps"):
            engine.infer_maps(x)


def test_the_last_average_over_places_is_remembered_however_it_is_written() -> None:
    x = torch.rand(2, 4, 6, 6)
    for average in (
        nn.AdaptiveAvgPool2d(1),
        nn.AvgPool2d(6),
        lambda x: x.mean((2, 3)),
        lambda x: x.mean([-1, -2], keepdim=True),
        lambda x: torch.mean(x, (2, 3)),
    ):
        with LastPooling() as pooling:
            average(x)
            nn.AvgPool2d(2)(x)  # leaves places
            x.mean()
        assert pooling.before is x
        torch.testing.assert_close(pooling.after.flatten(1), x.mean((2, 3)))


# Bundles


def test_every_precision_of_a_bundle_has_them(full: tuple[Bundle, list[str]], inputs: Any) -> None:
    bundle, _ = full
    assert bundle.maps == (1, 1)  # of 32 pixels
    for name in bundle.precisions:
        engine = open_engine(bundle, name, "cpu")
        logits, _, maps = engine.infer_maps(inputs[:4])  # type: ignore[attr-defined]
        assert maps.shape == (4, len(CLASSES), 1, 1)
        atol = (1e-2 if name == "fp16" else 1e-4) * np.abs(logits).max()
        np.testing.assert_allclose(maps.mean((2, 3)), logits, atol=atol)
        assert bundle.verification[name]["maps_difference"] <= (1e-2 if name == "fp16" else 1e-4)
        engine.close()


def test_what_only_the_maps_need_stays_in_float(full: tuple[Bundle, list[str]]) -> None:
    """Its sums and products are no layer of the network that eight bits would make faster."""
    bundle, _ = full
    for name in ("int8", "int8-cpu"):
        graph = onnx.load(str(bundle.model(name))).graph
        maker = {output: node for node in graph.node for output in node.output}
        last = maker["maps"]
        assert last.op_type == "Add"
        kinds = {maker[given].op_type for given in last.input if given in maker}
        assert kinds == {"Reshape"}


def test_the_manifest_says_whether_they_are_there(
    bundle: Bundle, run: Path, data: Path, tmp_path: Path
) -> None:
    values = json.loads((bundle.path / "manifest.json").read_text())
    assert values["maps"] == {"rows": 1, "columns": 1}
    assert values["input"]["outputs"] == ["logits", "probabilities", "maps"]
    without = export(run, tmp_path / "without", maps=False)
    values = json.loads((without.path / "manifest.json").read_text())
    assert "maps" not in values
    assert values["input"]["outputs"] == ["logits", "probabilities"]
    assert "maps_difference" not in without.verification["fp32"]
    assert [one.name for one in onnx.load(str(without.model())).graph.output] == ["logits", "probabilities"]
    # Both answer alike, and a precision that is added later follows its reference.
    x = frames(SIDE).numpy()
    ours, theirs = (open_engine(one, engine="cpu").infer(x)[0] for one in (bundle, without))
    np.testing.assert_array_equal(ours, theirs)
    more = export(without.path, tmp_path / "more", precisions=["fp16"], calibrate=data / "target", max_drop=1)
    assert (more.maps, without.maps) == (None, None)
    assert open_engine(more, "fp16", "cpu").grid is None  # type: ignore[attr-defined]


def test_the_graphs_of_a_bundle_cannot_lose_them(bundle: Bundle, tmp_path: Path) -> None:
    import tgkt_edge

    with pytest.raises(UsageError, match=r"`maps=False`: the graphs of .* keep the outputs"):
        tgkt_edge.export(bundle.path, tmp_path / "out", maps=False)


@pytest.mark.parametrize(
    "given", [[7, 7], {"rows": 7}, {"rows": 0, "columns": 7}, {"rows": True, "columns": 1}, "7x7"]
)
def test_a_manifest_with_other_maps_is_damaged(bundle: Bundle, given: Any, tmp_path: Path) -> None:
    values = json.loads((bundle.path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(values | {"maps": given}))
    with pytest.raises(BundleError, match=r"maps = .*: expected rows and columns, positive numbers"):
        Bundle.open(tmp_path)


def test_maps_that_do_not_add_up_are_found(bundle: Bundle, inputs: Any, tmp_path: Path) -> None:
    model = onnx.load(str(bundle.model()))
    (last,) = (node for node in model.graph.node if "maps" in node.output)
    last.output[0] = "right"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1.01, np.float32), "wrong"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["right", "wrong"], ["maps"]))
    onnx.save(model, tmp_path / "model.onnx")
    engine = OnnxRuntimeEngine(tmp_path / "model.onnx", SIDE, CLASSES)
    with pytest.raises(
        GateError, match=r"model.onnx: the maps of evidence do not add up to the logits.*`maps=False`"
    ):
        check_maps(engine, inputs, "fp32", "model.onnx")


def test_verify_measures_them_on_the_device(bundle: Bundle, data: Path) -> None:
    result = verify(bundle.path, frames=data / "target", engine="cpu")
    assert 0 <= result["verification"]["fp32"]["maps_difference"] <= 1e-4
