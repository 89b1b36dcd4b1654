"""One small run, and its bundle, shared by the tests of export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.shared import made_once, made_seldom
from tests.support.training import CLASSES, SIDE, one_torch_thread, settle, write_small_data
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.config import build_config
from tgkt_edge.data.loading import load_frames
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.export.export import export
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.export.int8_calibration import Ranges, calibrate
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import Header, digest, load_classifier, save_checkpoint
from tgkt_edge.train.nn.model import SceneClassifier
from tgkt_edge.train.run_folder.folder import Run, RunInputs


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="session", autouse=True)
def each_graph_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """PyTorch takes seconds to write a graph; ``export`` of the same network and options gets a copy of the first."""

    def export_once(deployed: Deployed, path: Path, *rest: object, **options: object) -> bool:
        def make(folder: Path) -> None:
            has_maps = export_onnx(deployed, folder / "model.onnx", *rest, **options)  # type: ignore[arg-type]
            (folder / "maps").write_text("yes" if has_maps else "")

        def copy(folder: Path) -> bool:
            shutil.copyfile(folder / "model.onnx", path)
            return bool((folder / "maps").read_text())

        key = repr((digest(deployed.state_dict()), str(deployed.model), rest, options))
        return made_seldom(
            tmp_path_factory, f"graph-{sha256(key.encode()).hexdigest()[:16]}", make, copy
        )  # of 90 MB each

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tgkt_edge.export.from_run.export_onnx", export_once)
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demo data; 12 target frames of 40x30 pixels, two a class, with labels in target_labels.csv."""
    return made_once(tmp_path_factory, "data", lambda folder: write_small_data(folder / "demo")) / "demo"


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch a stage, from a random source model whose batch-norm statistics are those of real images."""

    def make(folder: Path) -> None:
        save_source(folder / "source.safetensors", data)
        adapt_small(folder, data)

    return made_once(tmp_path_factory, "run", make) / "run"


def save_source(file: Path, data: Path) -> None:
    torch.manual_seed(0)
    source = SceneClassifier(len(CLASSES))
    settle(source, data / "source")
    save_checkpoint(file, source, Header("source", CLASSES, SIDE))


def adapt_small(folder: Path, data: Path) -> None:
    inputs = RunInputs(
        str(data / "target"), str(data / "paired"), source_model=str(folder / "source.safetensors")
    )
    sets = [
        "image_size=32",
        "batch=6",
        "device=cpu",
        "precision=fp32",
        "tgmb.epochs=1",
        "tgkt.epochs=1",
        "translator=pixels",
    ]
    config = build_config(None, sets)
    adapt(inputs, load_sensor("depth"), folder / "run", config)


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of that run. Tests only read it."""
    folder = made_once(tmp_path_factory, "bundle", lambda folder: export(run, folder / "depth"))
    return Bundle.open(folder / "depth")


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

    def make(folder: Path) -> None:
        messages: list[str] = []
        export(
            bundle.path, folder / "bundle", precisions=["fp16", "int8", "int8-cpu"], calibrate=data / "target",
            max_drop=0.5, calibration_method="minmax", say=messages.append,
        )  # fmt: skip
        (folder / "messages.json").write_text(json.dumps(messages))

    folder = made_once(tmp_path_factory, "full", make)
    return Bundle.open(folder / "bundle"), json.loads((folder / "messages.json").read_text())
