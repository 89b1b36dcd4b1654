"""One small run, and its bundle, shared by the tests of export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.training import CLASSES, SIDE, one_torch_thread, settle, write_small_data
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.config import build_config
from tgkt_edge.data.loading import load_frames
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.export.export import export
from tgkt_edge.export.graph import Deployed
from tgkt_edge.export.int8_calibration import Ranges, calibrate
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, save_checkpoint
from tgkt_edge.train.nn.model import SceneClassifier
from tgkt_edge.train.run_folder.folder import Run, RunInputs


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demo data; 12 target frames of 40x30 pixels, two a class, with labels in target_labels.csv."""
    return write_small_data(tmp_path_factory.mktemp("data") / "demo")


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch a stage, from a random source model whose batch-norm statistics are those of real images."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    source = SceneClassifier(len(CLASSES))
    settle(source, data / "source")
    save_checkpoint(folder / "source.safetensors", source, Header("source", CLASSES, SIDE))
    inputs = RunInputs(
        str(data / "target"), str(data / "paired"), source_model=str(folder / "source.safetensors")
    )
    sets = [
        "image_size=32",
        "batch=4",
        "device=cpu",
        "precision=fp32",
        "tgmb.epochs=1",
        "tgkt.epochs=1",
        "translator=pixels",
    ]
    config = build_config(None, sets)
    adapt(inputs, load_sensor("depth"), folder / "run", config)
    return folder / "run"


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of that run. Tests only read it."""
    return export(run, tmp_path_factory.mktemp("bundle") / "depth")


@pytest.fixture(scope="session")
def deployed(run: Path) -> Deployed:
    return Deployed(load_classifier(Run(run).target)[0])


@pytest.fixture(scope="session")
def codes(data: Path) -> Any:
    """(12, R, R) uint16 of the target frames."""
    return load_frames(data / "target", load_sensor("depth"), resize_side(SIDE))[0].codes


@pytest.fixture(scope="session")
def inputs(codes: Any) -> Any:
    """(12, 1, 32, 32) float32."""
    return network_inputs(codes, SIDE)


@pytest.fixture(scope="session")
def ranges(bundle: Bundle, inputs: Any) -> Ranges:
    return calibrate(bundle.model(), inputs, "minmax")


@pytest.fixture(scope="session")
def full(bundle: Bundle, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, list[str]]:
    """A bundle of every precision, made from the FP32 bundle; and what was said meanwhile."""
    messages: list[str] = []
    out = tmp_path_factory.mktemp("full") / "bundle"
    made = export(
        bundle.path, out, precisions=["fp16", "int8", "int8-cpu"], calibrate=data / "target", max_drop=0.5,
        calibration_method="minmax", say=messages.append,
    )  # fmt: skip
    return made, messages
