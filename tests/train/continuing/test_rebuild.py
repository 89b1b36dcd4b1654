"""A bundle's network read back from its graph, and what cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.export.fuse import fold_repeat
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.continuing.rebuild import rebuild_network, unfold_repeat
from tgkt_edge.train.nn.model import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    SceneClassifier,
    frozen,
    normalise,
)
from tgkt_edge.train.nn.named_network import NamedClassifier

CLASSES = ("a", "b", "c")
SIZE = 32


def shipped(folder: Path, network: Classifier) -> Bundle:
    folder.mkdir()
    sensor = load_sensor("depth")
    export_onnx(Deployed(network), folder / MODEL_FILES["fp32"], SIZE, CLASSES, sensor)
    return Bundle(folder, CLASSES, sensor, SIZE, provenance={"run": "cellar", "network": "resnet18"}).write()


def settled(network: Classifier) -> Classifier:
    """Batch norms that know some frames, and a head that tells them apart."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(normalise(torch.rand(8, 1, SIZE, SIZE)))
        if network.pooled:
            network.classifier.weight.normal_(std=0.1)
            network.standard.mean.normal_(std=0.01)
            network.standard.scale.uniform_(0.5, 2)
    return frozen(network)


def test_three_channels_come_back_from_the_two_that_were_folded() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    back = unfold_repeat(fold_repeat(conv).weight.detach()).double()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    frame = (torch.rand(2, 1, 9, 9, dtype=torch.float64).expand(-1, 3, -1, -1) - mean) / std
    found = torch.nn.functional.conv2d(frame, back, conv.bias, padding=1)
    torch.testing.assert_close(found, conv(frame), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pooled", "normals"), [((2, 3, 4), True), ((2, 3, 4), False), ((4,), False), ((), False)]
)
def test_a_rebuilt_network_answers_as_the_one_that_was_exported(
    pooled: tuple[int, ...], normals: bool, tmp_path: Path
) -> None:
    network = settled(SceneClassifier(3, pooled, normals))
    found = rebuild_network(shipped(tmp_path / "bundle", network))
    assert (found.pooled, found.normals) == (pooled, normals)
    frames = normalise(torch.rand(4, 1, SIZE, SIZE))
    with torch.no_grad():
        wanted, given = network(frames), found(frames)
    assert wanted.std() > 0.01
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.slow
def test_another_network_is_refused_with_the_run_that_has_its_weights(tmp_path: Path) -> None:
    bundle = shipped(tmp_path / "bundle", settled(NamedClassifier("resnet18", 3)))
    with pytest.raises(
        BundleError, match=r"bundle`: its network \(resnet18\) cannot be read back.*run folder.*\(cellar\)"
    ):
        rebuild_network(bundle)


@pytest.mark.slow
def test_weights_under_the_same_names_that_compute_something_else_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tgkt_edge.train.continuing import rebuild

    bundle = shipped(tmp_path / "bundle", settled(SceneClassifier(3, (2, 3, 4))))
    answers = rebuild._answers
    monkeypatch.setattr(
        rebuild, "_answers", lambda *given: answers(*given) + np.array([0, 0, 10], np.float32)
    )
    with pytest.raises(BundleError, match="cannot be read back"):
        rebuild_network(bundle)
