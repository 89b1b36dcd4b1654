"""A target network by name: what it is made of, how it is kept, and where it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from tgkt_edge.errors import UsageError
from tgkt_edge.train.nn.checkpoint import Header, architecture, load_classifier, save_checkpoint
from tgkt_edge.train.nn.model import normalise
from tgkt_edge.train.nn.named_network import NamedClassifier, check_student, load_student
from tgkt_edge.train.nn.normals import surface_normals


def frames(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("arch", "width"), [("resnet18", 512), ("mobilenet_v3_small", 1024), ("shufflenet_v2_x0_5", 1024)]
)
def test_a_feature_is_what_the_last_linear_layer_saw(arch: str, width: int) -> None:
    model = NamedClassifier(arch, 4).eval()
    assert (model.width, model.num_classes) == (width, 4)
    x = normalise(frames())
    with torch.no_grad():
        assert model.features(x).shape == (3, width)
        nn.init.normal_(model.classifier.weight)
        torch.testing.assert_close(model(x), model.classifier(model.features(x)))


def test_normals_are_computed_inside() -> None:
    torch.manual_seed(0)
    plain, inside = (NamedClassifier("resnet18", 3, normals).eval() for normals in (False, True))
    inside.load_state_dict(plain.state_dict())
    depth = frames()
    with torch.no_grad():
        torch.testing.assert_close(
            inside.features(normalise(depth)),
            plain.features(normalise(surface_normals(depth))),
            rtol=1e-4,
            atol=1e-5,
        )


def test_a_checkpoint_keeps_the_architecture(tmp_path: Path) -> None:
    model = NamedClassifier("mobilenet_v3_small", 3, normals=True)
    nn.init.normal_(model.classifier.weight)
    model.standard.mean.fill_(0.25)
    save_checkpoint(tmp_path / "target.safetensors", model, Header("target", ("a", "b", "c"), 32))
    loaded, header = load_classifier(tmp_path / "target.safetensors", "target")
    assert isinstance(loaded, NamedClassifier)
    assert (architecture(loaded), loaded.normals, header.classes) == (
        "mobilenet_v3_small",
        True,
        ("a", "b", "c"),
    )
    assert not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("head", [True, False], ids=["whole", "without a classifier"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_its_own_names_fills_it(head: bool, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = torchvision.models.resnet18(weights=None)
    state = {f"module.{k}": v for k, v in whole.state_dict().items() if head or not k.startswith("fc.")}
    file = tmp_path / f"weights{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save({"state_dict": state}, file)
    model = NamedClassifier("resnet18", 3)
    load_student(model, str(file))
    expected = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    found = model.backbone.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    assert not model.classifier.weight.any()  # its own classes are not the task's


def test_a_file_of_another_network_is_refused_by_what_differs(tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), tmp_path / "34.pth")
    torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), tmp_path / "m.pth")
    (tmp_path / "text.pth").write_text("hello")
    model = NamedClassifier("resnet18", 3)
    with pytest.raises(
        UsageError, match=r"`student_weights=.*34\.pth`: .*holds no resnet18: layer1\.2.* is not part"
    ):
        load_student(model, str(tmp_path / "34.pth"))
    with pytest.raises(UsageError, match=r"holds no resnet18: no conv1\.weight among"):
        load_student(model, str(tmp_path / "m.pth"))
    with pytest.raises(UsageError, match=r"`student_weights=.*text\.pth`: .*expected a classifier"):
        load_student(model, str(tmp_path / "text.pth"))
    with pytest.raises(UsageError, match="no such file"):
        load_student(model, str(tmp_path / "absent.pth"))
    with pytest.raises(UsageError, match=r"`: a folder\. Expected imagenet, none, or a file"):
        load_student(model, str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "kind"), [(".onnx", "ONNX"), (".pt", "TorchScript")])
def test_a_program_is_no_file_of_weights(suffix: str, kind: str, tmp_path: Path) -> None:
    """Also where it was made of the same network: its tensors go by other names."""
    network, file = torchvision.models.resnet18(weights=None).eval(), tmp_path / f"model{suffix}"
    frame = torch.zeros(1, 3, 32, 32)
    if kind == "ONNX":
        torch.onnx.export(network, (frame,), file, dynamo=False)
    else:
        torch.jit.trace(network, frame).save(file)
    with pytest.raises(UsageError) as caught:
        load_student(NamedClassifier("resnet18", 3), str(file))
    text = str(caught.value)
    assert text.startswith(f"`student_weights={file}`: is a program ({kind}), which only answers")
    assert "Expected those of a resnet18 by their names: torch.save(model.state_dict(), FILE)" in text
    assert "no conv1.weight" not in text


@pytest.mark.slow
def test_networks_of_timm_that_take_one_size_or_have_two_heads_are_refused() -> None:
    pytest.importorskip("timm")
    with pytest.raises(
        UsageError, match=r"`student=timm:levit_128s`: does not work on images of 112 pixels .*image_size=224"
    ):
        check_student("timm:levit_128s", 112)
    for arch in ("timm:levit_128s", "timm:repvit_m0_9", "timm:deit_tiny_distilled_patch16_224"):
        with pytest.raises(UsageError, match="more than one layer reads its features"):
            check_student(arch, 224)
    with pytest.raises(
        UsageError, match=r"`student=timm:mobilnetv3_small_050`: .* Similar names: mobilenetv3_small_050, "
    ):
        check_student("timm:mobilnetv3_small_050", 112)
    for arch in ("timm:mobilenetv3_small_050", "timm:tf_efficientnet_lite0", "timm:convnext_atto"):
        check_student(arch, 112)


def test_weights_that_answer_nothing_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    state = torchvision.models.resnet18(weights=None).state_dict()
    model = NamedClassifier("resnet18", 3)

    def refused(name: str, changed: dict[str, torch.Tensor], words: str) -> None:
        torch.save(changed, tmp_path / name)
        with pytest.raises(UsageError, match=rf"`student_weights=.*{name}`: .*{words}"):
            load_student(model, str(tmp_path / name))

    refused(
        "nan.pth",
        {**state, "bn1.weight": torch.full((64,), torch.nan)},
        r"non-finite values .*\(bn1\.weight\)",
    )
    refused(
        "gray.pth", {**state, "conv1.weight": torch.zeros(64, 1, 7, 7)}, "a resnet18 for images of 1 channel"
    )
    without = {name: value for name, value in state.items() if "running_" not in name}
    refused("norm.pth", without, "normalization has no running statistics")
    torch.save(
        {name: t.half() if t.is_floating_point() else t for name, t in state.items()}, tmp_path / "half.pth"
    )
    load_student(model, str(tmp_path / "half.pth"))
    torch.testing.assert_close(model.backbone.conv1.weight, state["conv1.weight"], atol=1e-3, rtol=1e-3)
    assert model.backbone.conv1.weight.dtype == torch.float32


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # discards
    with pytest.raises(
        UsageError, match=r"`student_weights=imagenet`: the download failed: .*`student_weights=none`"
    ):
        load_student(NamedClassifier("resnet18", 3), "imagenet")


def test_names_that_cannot_be_a_target_network_are_refused() -> None:
    with pytest.raises(UsageError, match=r"`student=resnet19`: torchvision .* similar names: resnet18, "):
        check_student("resnet19", 112)
    with pytest.raises(
        UsageError, match=r"`student=vit_b_16`: takes images of 224 pixels only, and these are of 112"
    ):
        check_student("vit_b_16", 112)
    with pytest.raises(UsageError, match=r"`student=squeezenet1_1`: does not end with a linear layer"):
        check_student("squeezenet1_1", 112)
    with pytest.raises(
        UsageError,
        match=r"`student=inception_v3`: does not work on images of 64 pixels \(.*Kernel size.*give `image_size=224`",
    ):
        check_student("inception_v3", 64)
    check_student("inception_v3", 112)
    check_student("convnext_tiny", 112)
