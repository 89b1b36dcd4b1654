"""A bundle of three precisions, labelled frames, and environments that lack a library."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.support.bundles import CLASSES, save_bundle
from tests.support.cli import cli_environment, run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle

QUICK = {"--seconds": "0.2", "--rounds": "4", "--threads": "1"}


def turned(path: Path, out: Path) -> None:
    """The same graph with the logits' weights turned round, so that it gives other classes."""
    model = onnx.load(str(path))
    weight = next(w for w in model.graph.initializer if w.name == "matrix")
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save_model(model, out)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """fp16 is the very same graph as fp32, int8-cpu gives other classes."""
    path = save_bundle(tmp_path / "bundle").path
    shutil.copy(path / MODEL_FILES["fp32"], path / MODEL_FILES["fp16"])
    turned(path / MODEL_FILES["fp32"], path / MODEL_FILES["int8-cpu"])
    return Bundle.open(path).write()


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Nine labelled frames."""
    folder = save_frames(tmp_path / "labelled", make_frames(9))
    lines = [f"labelled/frame_{i}.png,{CLASSES[i % 3]}" for i in range(9)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["frame,label", *lines]) + "\n", encoding="utf-8")
    assert folder.is_dir()
    return path


@dataclass(frozen=True)
class Measured:
    """A benchmark that has ended: exit code, stderr, the JSON, and its rows by (precision, engine, batch)."""

    code: int
    stderr: str
    result: dict[str, Any]
    rows: dict[tuple[str, str, int], dict[str, Any]]


@pytest.fixture
def measure(bundle: Bundle) -> Callable[..., Measured]:
    """Run ``tgkt-edge benchmark`` on the bundle in a process of its own, for a short time."""

    def call(*arguments: object, **env: str) -> Measured:
        quick = {**QUICK, "--json": "-"}
        words = [word for pair in quick.items() if pair[0] not in arguments for word in pair]
        done = run_cli("benchmark", bundle.path, *words, *arguments, **env)
        result = done.records[0] if done.records else {"rows": []}
        rows = {(row["precision"], row["engine"], row["batch"]): row for row in result["rows"]}
        return Measured(done.code, done.stderr, result, rows)

    return call


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """An environment in which packages are not installed, for a process and those that it starts."""

    def environment(*names: str) -> dict[str, str]:
        for name in names:
            (tmp_path / "absent" / name).mkdir(parents=True)
            (tmp_path / "absent" / name / "__init__.py").write_text(
                f"raise ModuleNotFoundError({f'No module named {name}'!r}, name={name!r})\n", encoding="utf-8"
            )
        return {"PYTHONPATH": f"{tmp_path / 'absent'}:{cli_environment()['PYTHONPATH']}"}

    return environment
