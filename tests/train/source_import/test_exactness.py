"""Probabilities of merged classes add up in teacher, copy and exported graph; the logits' scale changes no class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from tests.train.source_import.conftest import NAMES, saved, small_resnet
from tgkt_edge.errors import CheckpointError
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.nn.imported import ImportedClassifier, MergingHead, Pixels
from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD, normalise
from tgkt_edge.train.source_import.class_names import Classes
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.proof import generated_images, prove
from tgkt_edge.train.source_import.read_source import read_source
from tgkt_edge.train.source_import.scale import fit_scale, is_fitted, usual_spread

MAP = "source_class,task_class\nbath,wet\nkitchen,wet\nbed,dry\noffice,work\n"
"""Of NAMES: hall is left out."""

GROUPS = ((0, 3), (1,), (4,))


def merged(names: Path, folder: Path, factor: float = 1.0) -> ImportedClassifier:
    state = dict(small_resnet().state_dict())
    state["fc.weight"] = state["fc.weight"] * factor
    state["fc.bias"] = state["fc.bias"] * factor
    (folder / "map.csv").write_text(MAP)
    file = saved(state, folder / "model.pth")
    model = read_source(file, ImportOptions(names, map=folder / "map.csv", size=64)).model
    assert isinstance(model, ImportedClassifier)
    return model


def expected_probabilities(x: Tensor, factor: float = 1.0) -> Tensor:
    """(N, 3) by hand from the whole network: members added, of all that are used."""
    with torch.no_grad():
        network = small_resnet()
        p = (network(x) * factor).double().softmax(1)
    sums = torch.stack([p[:, list(group)].sum(1) for group in GROUPS], 1)
    return sums / sums.sum(1, keepdim=True)


def gray(frames: Tensor) -> Tensor:
    """(N, 1, S, S) in [0, 1] as the network wants it, by hand."""
    x = frames.expand(-1, 3, -1, -1)
    return (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)


@pytest.mark.parametrize("factor", [1.0, 40.0])
@pytest.mark.slow
def test_teacher_copy_and_graph_add_up(factor: float, names: Path, tmp_path: Path) -> None:
    model = merged(names, tmp_path, factor)
    frames = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = expected_probabilities(gray(frames), factor).float()
    with torch.no_grad():
        torch.testing.assert_close(model(normalise(frames)).softmax(1), expected, rtol=1e-3, atol=1e-5)
        deployed = Deployed(model)
        torch.testing.assert_close(deployed(frames)[1], expected, rtol=1e-3, atol=1e-5)
    file = tmp_path / "model.onnx"
    for fold in (True, False):
        export_onnx(deployed, file, 64, ("wet", "dry", "work"), load_sensor("depth"), fold=fold)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        found = session.run(["probabilities"], {"frame": frames.numpy()})[0]
        np.testing.assert_allclose(found, expected.numpy(), rtol=2e-3, atol=1e-5)


@pytest.mark.slow
def test_the_largest_difference_is_in_the_header(names: Path, tmp_path: Path) -> None:
    merged(names, tmp_path)
    found = read_source(tmp_path / "model.pth", ImportOptions(names, map=tmp_path / "map.csv", size=64))
    about = found.header.extra["import"]
    assert about["merged"] == {"wet": ["bath", "kitchen"], "dry": ["bed"], "work": ["office"]}
    assert about["proof"]["images"] == 8
    assert 0 <= about["proof"]["largest_logit_difference"] < 1e-5
    assert 0 <= about["proof"]["largest_probability_difference"] < 1e-6
    assert any("wet (2 merged), dry, work; 1 outputs are not used" in line for line in found.lines)


def test_a_merge_by_hand() -> None:
    head = MergingHead(2, ((0, 2), (1,)))
    logits = torch.tensor([[1.0, 2.0, 3.0], [900.0, 0.0, 890.0], [-900.0, 5.0, -901.0]])
    found = head.merge(logits)
    assert found[0].tolist() == pytest.approx([np.log(np.e + np.e**3), 2.0])
    assert found[1].tolist() == pytest.approx([900 + np.log(1 + np.exp(-10)), 0.0])
    assert found[2].tolist() == pytest.approx([-900 + np.log(1 + np.exp(-1)), 5.0])
    head.temperature.fill_(2.0)
    torch.testing.assert_close(head.merge(logits), found / 2)


class Rows:
    """Raw features of images that are in memory."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def blocks(self):  # type: ignore[no-untyped-def]
        yield 0, self._rows[:, None]


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0])
@pytest.mark.slow
def test_the_scale_of_the_logits_changes_nothing(factor: float, names: Path, tmp_path: Path) -> None:
    """A last layer times any factor gives the same features and, of classes that are not merged, the same logits."""
    found = []
    for by in (1.0, factor):
        state = dict(small_resnet().state_dict())
        state["fc.weight"], state["fc.bias"] = state["fc.weight"] * by, state["fc.bias"] * by
        given = read_source(saved(state, tmp_path / "model.pth"), ImportOptions(names, size=64))
        model = given.model
        assert isinstance(model, ImportedClassifier)
        x = normalise(torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        with torch.no_grad():
            before, raw = model(x), model.backbone(x)
            assert not is_fitted(given.header)
            header = fit_scale(model, given.header, Rows(raw.numpy()), "RGB of pairs")  # type: ignore[arg-type]
            assert is_fitted(header)
            after, features = model(x), model.features(x)
        fitted = header.extra["import"]["fitted"]
        torch.testing.assert_close(after * fitted["temperature"], before, rtol=1e-3, atol=1e-4 * by)
        assert (after - after.mean(1, keepdim=True)).std().item() == pytest.approx(usual_spread(5), rel=1e-3)
        alive = features.std(0, correction=0) > 1e-3
        torch.testing.assert_close(
            features.std(0, correction=0)[alive], torch.ones(int(alive.sum())), rtol=1e-3, atol=1e-3
        )
        found.append((after, features))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[0][1], found[1][1])


def test_the_usual_spread_is_that_of_smoothed_labels() -> None:
    """Ten classes, labels smoothed by 0.1: 0.91 and 0.01 nine times; centred logits that give them."""
    logits = np.log(np.array([0.91] + [0.01] * 9))
    assert usual_spread(10) == pytest.approx((logits - logits.mean()).std())


@pytest.mark.slow
def test_bgr_and_another_scale_go_into_the_graph(names: Path, tmp_path: Path) -> None:
    """A network of pixels from 0 to 255, blue first: the folded graph and the plain one answer alike."""
    network = small_resnet()
    file = saved(network.state_dict(), tmp_path / "model.pth")
    options = ImportOptions(names, mean=(103.9, 116.8, 123.7), std=(60.0, 50.0, 40.0), bgr=True, size=64)
    model = read_source(file, options).model
    x = torch.rand(2, 3, 64, 64)
    own = (x.flip(1) * 255 - torch.tensor([103.9, 116.8, 123.7]).view(3, 1, 1)) / torch.tensor(
        [60.0, 50.0, 40.0]
    ).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model(normalise(x)), network(own), rtol=1e-3, atol=1e-4)
        frames = x[:, :1]
        expected = Deployed(model)(frames)[0]
    graph = tmp_path / "model.onnx"
    export_onnx(Deployed(model), graph, 64, NAMES, load_sensor("depth"))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(["logits"], {"frame": frames.numpy()})[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_copy_keeps_its_head_in_a_checkpoint(names: Path, tmp_path: Path) -> None:
    model = merged(names, tmp_path)
    from tgkt_edge.train.nn.checkpoint import Header

    save_checkpoint(tmp_path / "t.safetensors", model, Header("target", ("wet", "dry", "work"), 64))
    again, _ = load_classifier(tmp_path / "t.safetensors", "target")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))


@pytest.mark.slow
def test_an_import_that_answers_otherwise_is_refused(names: Path, tmp_path: Path) -> None:
    """Such as a network that adds something after its last layer."""
    model = merged(names, tmp_path)
    network = small_resnet()
    classes = Classes(("wet", "dry", "work"), GROUPS, (("bath", "kitchen"), ("bed",), ("office",)))
    rgb = generated_images(64)
    assert prove(model, network, classes, Pixels(), rgb, 64, "generated")["images"] == 8
    with pytest.raises(CheckpointError, match="is not all that comes after the features"):
        prove(model, lambda x: network(x) + torch.arange(5) * 1e-2, classes, Pixels(), rgb, 64, "generated")
