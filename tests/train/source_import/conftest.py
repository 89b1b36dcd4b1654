"""Small models as other programs save them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source

NAMES = ("bath", "bed", "hall", "kitchen", "office")
"""Of five outputs."""


def small_resnet(outputs: int = len(NAMES), seed: int = 0) -> torchvision.models.ResNet:
    """A random ResNet-18 in evaluation mode, whose batch norms know some images."""
    torch.manual_seed(seed)
    network = torchvision.models.resnet18(weights=None, num_classes=outputs)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(8, 3, 64, 64))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.num_batches_tracked is not None:
                module.num_batches_tracked.zero_()  # as where a file has no counters
    return network.eval()


def saved(content: object, path: Path) -> Path:
    """``content`` as torch.save writes it."""
    torch.save(content, path)
    return path


State = dict[str, Tensor]


def refused(state: State, words: str, names: Path, folder: Path, options: ImportOptions | None = None) -> str:
    file = saved(state, folder / "model.pth")
    with pytest.raises(CheckpointError, match=words) as caught:
        read_source(file, options or ImportOptions(names, size=64))
    assert str(caught.value).startswith(f"{file}: ")
    assert caught.value.exit_code == 4
    return str(caught.value)


@pytest.fixture(scope="session")
def resnet() -> torchvision.models.ResNet:
    return small_resnet()


@pytest.fixture(scope="session")
def state(resnet: torchvision.models.ResNet) -> dict[str, Tensor]:
    """Read only."""
    return dict(resnet.state_dict())


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """The names of NAMES, as a text file."""
    file = tmp_path / "classes.txt"
    file.write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders: four images a class, each class of its own color."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        color = np.array(
            [(255, 40, 40), (40, 255, 40), (40, 40, 255), (230, 230, 60), (60, 200, 230)][number]
        )
        for i in range(4):
            noisy = (color + rng.normal(0, 25, (72, 72, 3))).clip(0, 255).astype(np.uint8)
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(noisy).save(folder / name / f"{i}.png")
    return folder
