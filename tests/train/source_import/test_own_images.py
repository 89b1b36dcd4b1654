"""The labelled images of a model that another program trained: which are read, what is kept, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.training import SIDE, Tiny
from tests.train.source_import.conftest import NAMES, saved
from tgkt_edge.bundle.inspect_bundle import describe, inspect
from tgkt_edge.errors import ConfigError, DataError, UsageError
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    MEAN,
    SHARES,
    SPREAD,
)
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, load_imagenet, save_checkpoint
from tgkt_edge.train.nn.model import SceneClassifier
from tgkt_edge.train.source_import.import_source import import_source
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.own_images import load_own_images, weights_digest

ROOMS = Header(
    "source",
    ("bath", "room"),
    64,
    extra={
        "import": {"merged": {"bath": ["bath"], "room": ["bed", "kitchen"]}, "left_out": ["hall", "office"]}
    },
)
"""Of NAMES: two classes of the task, one of them merged; two classes are not used."""

AS_THEY_ARE = Header("source", NAMES, 64, extra={"import": {"merged": None, "left_out": []}})


def test_classes_of_the_model_are_merged_as_its_answers_are(images: Path) -> None:
    """Four images a class: those of unused classes are left out, and all the others count for the shares."""
    found = load_own_images(images, ROOMS, 64, 100)
    assert found.images.classes == ("bath", "room")
    assert found.images.labels.tolist() == [0] * 4 + [1] * 8
    assert (found.counts.tolist(), found.left_out) == ([4, 8], 8)


def test_labels_may_be_the_classes_of_the_task(images: Path, tmp_path: Path) -> None:
    rows = [f"{images / 'bath' / '0.png'},bath", f"{images / 'bed' / '0.png'},room"]
    listed = tmp_path / "images.csv"
    listed.write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    assert load_own_images(listed, ROOMS, 64, 100).counts.tolist() == [1, 1]


def test_some_of_every_class_are_read_and_all_are_counted(images: Path) -> None:
    """Two evenly spread ones are the first and the last; the classes between them get one each."""
    found = load_own_images(images, AS_THEY_ARE, 64, 2)
    assert found.images.labels.tolist() == [0, 1, 2, 3, 4]
    assert found.images.rgb.shape == (5, 64, 64, 3)
    assert found.counts.tolist() == [4] * 5


def test_classes_that_the_model_lacks_are_named(images: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not have: hall, office\. It has bath, bed"):
        load_own_images(
            images, Header("source", ("bath", "bed", "kitchen"), 64, extra=AS_THEY_ARE.extra), 64, 9
        )
    for name in ("bath", "kitchen"):
        (tmp_path / "rgb").mkdir(exist_ok=True)
        (tmp_path / "rgb" / name).symlink_to(images / name)
    with pytest.raises(DataError, match=r"no image of bed, hall, office\. Give images of every class"):
        load_own_images(tmp_path / "rgb", AS_THEY_ARE, 64, 9)
    with pytest.raises(UsageError, match="0 of its images would be kept: expected 1 or more"):
        load_own_images(images, AS_THEY_ARE, 64, 0)


Import = Callable[..., list[str]]


@pytest.fixture
def bring(state: dict[str, Tensor], names: Path, images: Path, tiny: Tiny, tmp_path: Path) -> Import:
    """``source import`` of a ResNet-18 with its images, into source.safetensors."""
    file = saved(state, tmp_path / "model.pth")

    def bring(out: str = "source.safetensors", **others: object) -> list[str]:
        values = {
            "file": file,
            "options": ImportOptions(names, size=64),
            "source": images,
            "image_size": SIDE,
        }
        values |= {"weights": str(tiny.weights), "device": "cpu", "overwrite": True}
        return import_source(out=tmp_path / out, **{**values, **others})  # type: ignore[arg-type]

    return bring


@pytest.mark.slow
def test_features_are_kept_and_no_image(bring: Import, images: Path, tiny: Tiny, tmp_path: Path) -> None:
    lines = bring(keep=11)
    assert "  images: features of 11 of 20 labelled images are kept, at 32 pixels, and no image" in lines
    assert "  class shares of its training images: 20.0% to 20.0%" in lines
    assert not any("not known" in line for line in lines)
    file = tmp_path / "source.safetensors"
    model, header = load_classifier(file, "source")
    assert header.beside.keys() == {FEATURES, EARLY, LABELS, MEAN, SPREAD, SHARES}
    assert header.beside[FEATURES].shape == (11, 4, 2048)
    assert header.beside[EARLY].shape == (11, 4, 1536)
    assert header.beside[LABELS].bincount().tolist() == [2, 2, 3, 2, 2]
    about = header.extra["import"]["images"]
    assert (about["listed"], about["kept"], about["image_size"]) == (20, 11, SIDE)
    assert header.extra["import"]["fitted"]["on"] == "its labelled images"
    torch.testing.assert_close(model.standard.mean.double(), header.beside[MEAN])
    generic = SceneClassifier(2)
    load_imagenet(generic, str(tiny.weights))
    assert about["weights"] == weights_digest(generic.backbone)
    shown = "\n".join(describe(inspect(file), file))
    assert "images   features of 11 of 20 labelled ones, at 32 pixels, by weights with sha256" in shown
    written = file.read_bytes()
    assert str(images).encode() not in written
    assert images.name.encode() + b"/" not in written


@pytest.mark.slow
def test_images_are_brought_once(bring: Import, untrained: SceneClassifier, tmp_path: Path) -> None:
    """Also beside a checkpoint that was imported without; not beside one that has them, or needs none."""
    bring(source=None)
    bring("with.safetensors", file=tmp_path / "source.safetensors", options=None)
    assert FEATURES in load_classifier(tmp_path / "with.safetensors")[1].beside
    with pytest.raises(UsageError, match=r"holds features of 20 of its images already\. Leave `source` out"):
        bring("again.safetensors", file=tmp_path / "with.safetensors", options=None)
    save_checkpoint(tmp_path / "own.safetensors", untrained, Header("source", ("a", "b", "c"), SIDE))
    with pytest.raises(UsageError, match="was trained by this program, which stored what it needs"):
        bring("again.safetensors", file=tmp_path / "own.safetensors", options=None)
    assert not (tmp_path / "again.safetensors").exists()


@pytest.mark.slow
def test_what_cannot_be_kept_is_refused(bring: Import, images: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="features are computed by ImageNet weights, and there are none"):
        bring(weights="none")
    with pytest.raises(UsageError, match="no such file"):
        bring(weights=str(tmp_path / "no.safetensors"))
    with pytest.raises(ConfigError, match="image_size = 8"):
        bring(image_size=8)
    with pytest.raises(UsageError, match="device=tpu"):
        bring(device="tpu")
    with pytest.raises(DataError, match="does not exist"):
        bring(source=tmp_path / "no")
    assert not (tmp_path / "source.safetensors").exists()


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ImageNet's weights are not here, and cannot be had."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # discards


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_what_the_list_of_the_images_tells_comes_before_a_download(
    bring: Import, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"/no: does not exist"):
        bring(source=tmp_path / "no", weights="imagenet")
    (tmp_path / "rgb").mkdir()
    for name in ("bath", "kitchen"):
        (tmp_path / "rgb" / name).symlink_to(images / name)
    with pytest.raises(DataError, match="no image of bed, hall, office"):
        bring(source=tmp_path / "rgb", weights="imagenet")
    with pytest.raises(UsageError, match="0 of its images would be kept"):
        bring(keep=0, weights="imagenet")


@pytest.mark.slow
@pytest.mark.usefixtures("offline")
def test_weights_that_cannot_be_had_are_answered_by_what_this_command_takes(
    bring: Import, tmp_path: Path
) -> None:
    """`weights=none` it refuses, so no error may offer it."""
    for weights, words in (
        ("imagenet", r"`weights=imagenet`: the download failed: .*Give `weights=FILE` \(safetensors with"),
        (str(tmp_path / "no.safetensors"), r"no such file\. Expected imagenet or a safetensors file\."),
    ):
        with pytest.raises(UsageError, match=words) as caught:
            bring(weights=weights)
        assert "none" not in str(caught.value)


def test_weights_rounded_to_half_precision_are_the_same_weights() -> None:
    """A download in float32 and a file of 47 MB made of it; other weights are others."""
    torch.manual_seed(0)
    first = torch.nn.Conv2d(3, 4, 3)
    network = torch.nn.Sequential(first, torch.nn.BatchNorm2d(4))
    whole = weights_digest(network)
    network.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v + 7 for k, v in network.state_dict().items()}
    )
    assert weights_digest(network) == whole
    with torch.no_grad():
        first.weight[0, 0, 0, 0] += 1
    assert weights_digest(network) != whole


def test_images_that_are_missing_are_told_before_the_model_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"`source` .*nowhere: does not exist"):
        import_source(tmp_path / "model.pth", tmp_path / "o.safetensors", source=tmp_path / "nowhere")
