"""A small real data set, weights that behave, and one finished run, shared by the tests of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import Bottleneck

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.data.loading import load_images
from tgkt_edge.demo.write import write_demo_data
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.model import SceneClassifier, frozen, normalise
from tgkt_edge.train.run_folder.folder import Run, RunInputs

# Precision by name: "auto" is bf16 on some CPUs, and evaluation is always in float32.
SMALL = (
    "image_size=32",
    "batch=4",
    "device=cpu",
    "precision=fp32",
    "source.epochs=2",
    "tgmb.epochs=2",
    "tgkt.epochs=2",
    "translator=pixels",
)


@dataclass(frozen=True)
class Tiny:
    """Demo data: six classes, 12 labelled RGB images, 12 target frames, 10 pairs; and backbone weights."""

    data: Path
    weights: Path
    small: tuple[str, ...] = SMALL

    @property
    def inputs(self) -> RunInputs:
        return RunInputs(*(str(self.data / name) for name in ("target", "paired", "source")))

    def config(self, *sets: str) -> AdaptConfig:
        return build_config(None, [*SMALL, f"weights={self.weights}", *sets])


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are so small that threads cost more than they bring, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    write_demo_data(
        folder / "data",
        source_per_class=2,
        target_per_class=2,
        pairs_per_class=2,
        clip_frames=6,
        width=40,
        height=30,
    )
    # A random ResNet-50 in fp16, as a downloaded file may be. Its running statistics are those of real images and its
    # residual branches are damped: otherwise six steps of four images leave a network whose activations grow from
    # block to block in evaluation mode, to 1e11 and to NaN, which would prove little.
    torch.manual_seed(0)
    resnet = torchvision.models.resnet50(weights=None)
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        elif isinstance(module, Bottleneck):
            nn.init.constant_(module.bn3.weight, 0.1)
    rgb = torch.from_numpy(load_images(folder / "data" / "source", 32).rgb)
    with torch.no_grad():
        resnet.train()(normalise(rgb.permute(0, 3, 1, 2) / 255))
    state = resnet.state_dict()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(half, folder / "resnet50.safetensors")
    return Tiny(folder / "data", folder / "resnet50.safetensors")


@pytest.fixture(scope="session")
def finished(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of ``tiny.config()``. Tests only read it."""
    out = tmp_path_factory.mktemp("finished") / "run"
    adapt(tiny.inputs, load_sensor("depth"), out, tiny.config())
    return Run(out)


@pytest.fixture(scope="session")
def untrained() -> SceneClassifier:
    """A frozen network of three classes with random weights, whose batch norms know some images."""
    torch.manual_seed(0)
    model = SceneClassifier(3)
    for module in model.modules():  # so that activations stay near one
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(normalise(torch.rand(8, 3, 32, 32)))
    return frozen(model)


@pytest.fixture(scope="session")
def four() -> tuple[Store, Store, Store]:
    """Four target frames, four paired RGB images and their frames: noise, 37 pixels."""
    rng, cpu = np.random.default_rng(1), torch.device("cpu")
    codes = rng.integers(0, 65536, (2, 4, 37, 37), dtype=np.uint16)
    rgb = rng.integers(0, 256, (4, 37, 37, 3), dtype=np.uint8)
    return Store(codes[0], cpu), Store(rgb, cpu), Store(codes[1], cpu)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


Counter = Callable[[nn.Module], list[int]]


@pytest.fixture
def rows_seen() -> Counter:
    """Attach to a module; the list returned grows by the batch size of every forward call."""

    def attach(module: nn.Module) -> list[int]:
        seen: list[int] = []
        module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
        return seen

    return attach


FEATURES = ("translator=features", "translation.force=true", "student.epochs=4", "student.renew_after=2")
"""Random weights translate nothing, and these runs are to end."""


@pytest.fixture(scope="session")
def translated(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of ``tiny.config(*FEATURES)``: the default way. Tests only read it."""
    out = tmp_path_factory.mktemp("translated") / "run"
    adapt(tiny.inputs, load_sensor("depth"), out, tiny.config(*FEATURES))
    return Run(out)
