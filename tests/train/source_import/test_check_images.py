"""A few labelled images show accuracy, and whether mean, spread, channel order or strides are others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.training import rows_seen
from tests.train.source_import.conftest import NAMES, saved, small_resnet
from tgkt_edge.data.loading import load_images
from tgkt_edge.errors import DataError
from tgkt_edge.train.nn.imported import Entry, Pixels
from tgkt_edge.train.source_import.check_images import CAFFE, batches_of, check_as_it_is
from tgkt_edge.train.source_import.import_source import import_source
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source

CAFFE_PIXELS = Pixels(CAFFE, (1 / 255,) * 3, bgr=True)


def trained(images: Path, pixels: Pixels) -> dict[str, Tensor]:
    """A ResNet-18 whose last layer knows these images by their colors, as these pixels show them."""
    network = small_resnet()
    loaded = load_images(images, 73)
    head, network.fc = network.fc, nn.Identity()
    with torch.no_grad():
        x = torch.cat([network(Entry(pixels)(x)) for x in batches_of(loaded.rgb, 64)]).double()
    mean, std = x.mean(0), x.std(0).clamp_min(1e-9)
    z = (x - mean) / std
    y = torch.nn.functional.one_hot(torch.from_numpy(loaded.labels)).double()
    w = torch.linalg.lstsq(z.T @ z + torch.eye(512).double(), z.T @ (y - y.mean(0))).solution / std[:, None]
    with torch.no_grad():
        head.weight.copy_((w.T * 10).float())
        head.bias.copy_(((y.mean(0) - mean @ w) * 10).float())
    network.fc = head
    return dict(network.state_dict())


@pytest.fixture(scope="module")
def caffe(images: Path) -> dict[str, Tensor]:
    return trained(images, CAFFE_PIXELS)


ARGUMENTS = "`mean=103.939,116.779,123.68` `std=1` `bgr=True`"


@pytest.mark.slow
def test_other_pixels_are_pointed_out(
    caffe: dict[str, Tensor], images: Path, names: Path, tmp_path: Path
) -> None:
    file = saved(caffe, tmp_path / "model.pth")
    found = read_source(file, ImportOptions(names, size=64, check_images=images))
    (line,) = [line for line in found.lines if "accuracy would be" in line]
    assert ARGUMENTS in line
    assert found.header.extra["import"]["check_images"]["better"] == ARGUMENTS


@pytest.mark.slow
def test_the_right_pixels_are_left_alone(
    caffe: dict[str, Tensor], images: Path, names: Path, tmp_path: Path
) -> None:
    file = saved(caffe, tmp_path / "model.pth")
    options = ImportOptions(
        names, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), bgr=True, size=64, check_images=images
    )
    found = read_source(file, options)
    assert "  `check_images`: 20 of 20 images classified correctly (100.0%)" in found.lines
    assert not any("accuracy would be" in line for line in found.lines)
    about = found.header.extra["import"]
    assert about["check_images"] == {"accuracy": 1.0, "images": 20, "better": None}
    assert about["proof"]["of"] == "check images"


@pytest.mark.slow
def test_a_source_checkpoint_is_asked_once(
    caffe: dict[str, Tensor], images: Path, names: Path, tmp_path: Path
) -> None:
    """Its pixels are known: no other settings are tried."""
    options = ImportOptions(names, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0), bgr=True, size=64)
    out = tmp_path / "source.safetensors"
    import_source(saved(caffe, tmp_path / "model.pth"), out, options)
    found = read_source(out, ImportOptions(check_images=images))
    assert found.lines == ["`check_images`: 20 of 20 images classified correctly (100.0%)"]
    asked = rows_seen(found.model)
    loaded = load_images(images, 73)
    assert check_as_it_is(found.model, loaded, loaded.labels, 64).accuracy == 1.0
    assert sum(asked) == 20


def test_images_of_other_classes_are_refused(
    caffe: dict[str, Tensor], images: Path, names: Path, tmp_path: Path
) -> None:
    names.write_text("\n".join(["cellar", *NAMES[1:]]))
    with pytest.raises(DataError, match="`check_images`: classes that the model does not have: 'bath'"):
        read_source(saved(caffe, tmp_path / "model.pth"), ImportOptions(names, size=64, check_images=images))


@pytest.mark.slow
def test_strides_of_before_v1_5_are_pointed_out(
    images: Path, names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the images are all that tells: the other network classifies them, this one does not."""
    from tgkt_edge.train.source_import import assemble

    truth = torch.from_numpy(load_images(images, 73).labels)

    def knowing(known: object) -> object:
        def whole(x: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(truth[: len(x)], 5).float()

        return whole

    assert np.unique(truth.numpy()).tolist() == [0, 1, 2, 3, 4]
    monkeypatch.setattr(assemble, "_other_strides", knowing)
    state = small_resnet().state_dict()
    found = read_source(
        saved(state, tmp_path / "model.pth"), ImportOptions(names, size=64, check_images=images)
    )
    assert any("with `arch=resnet18_v1` accuracy would be 100.0%" in line for line in found.lines)
