"""A small real data set, weights that behave, and one finished run, shared by the tests of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.shared import made_once
from tests.support.training import FEATURES, Stores, Tiny, at_tiny, make_tiny, one_torch_thread
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.model import SceneClassifier, Translator, frozen, normalise
from tgkt_edge.train.run_folder.folder import Run


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return at_tiny(made_once(tmp_path_factory, "tiny", make_tiny))


@pytest.fixture(scope="session")
def finished(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of ``tiny.config()``. Tests only read it."""
    return adapted(tiny, tmp_path_factory, "finished")


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
def four() -> Stores:
    """Four target frames, four paired RGB images and their frames: noise, 37 pixels."""
    rng, cpu = np.random.default_rng(1), torch.device("cpu")
    codes = rng.integers(0, 65536, (2, 4, 37, 37), dtype=np.uint16)
    rgb = rng.integers(0, 256, (4, 37, 37, 3), dtype=np.uint8)
    return Store(codes[0], cpu), Store(rgb, cpu), Store(codes[1], cpu)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def translator() -> Translator:
    """A frozen translator of random weights."""
    torch.manual_seed(5)
    return frozen(Translator())


@pytest.fixture(scope="session")
def translated(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of ``tiny.config(*FEATURES)``: the default way. Tests only read it."""
    return adapted(tiny, tmp_path_factory, "translated", *FEATURES)


def adapted(tiny: Tiny, factory: pytest.TempPathFactory, name: str, *sets: str) -> Run:
    def make(folder: Path) -> None:
        adapt(tiny.inputs, load_sensor("depth"), folder / "run", tiny.config(*sets))

    return Run(made_once(factory, name, make) / "run")
