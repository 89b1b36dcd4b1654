"""Bundles to swap while a run goes on: good ones that answer differently, and ones that are broken in many ways."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.support.bundles import SIZE, save_bundle, save_model
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.sensor import PRESETS


def good_bundle(folder: Path, favorite: int, size: int = SIZE) -> Bundle:
    """A bundle that answers every frame with class ``favorite``, of a network with another input ``size`` perhaps."""
    bundle = save_bundle(folder)
    if size != SIZE:
        save_model(folder / "model.onnx", size=size)
        bundle = replace(bundle, size=size)
    change_weights(folder, "bias", np.eye(3, dtype=np.float32)[favorite] * 20)
    return bundle.write()


def heavy_bundle(folder: Path, megabytes: int = 120) -> Bundle:
    """A bundle that takes a while to load."""
    bundle = save_bundle(folder)
    rng = np.random.default_rng(0)
    middle = megabytes * 250_000 // (32 * 32)
    weights = {
        "first": rng.random((32 * 32, middle), np.float32) / 1024,
        "second": rng.random((middle, 3), np.float32) / middle,
    }
    nodes = [
        onnx.helper.make_node("Flatten", ["frame"], ["f"]),
        onnx.helper.make_node("MatMul", ["f", "first"], ["m"]),
        onnx.helper.make_node("MatMul", ["m", "second"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "frame": ["N", 1, 32, 32],
        "logits": ["N", 3],
        "probabilities": ["N", 3],
    }
    values = {
        name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    graph = onnx.helper.make_graph(
        nodes,
        "heavy",
        [values["frame"]],
        [values["logits"], values["probabilities"]],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, folder / "model.onnx")
    return bundle.write()


def change_weights(folder: Path, name: str, values: Any) -> None:
    """Replace one tensor of the bundle's network; the manifest stays as it is."""
    model = onnx.load(folder / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(values, np.float32), name))
    onnx.save_model(model, folder / "model.onnx")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _other_classes(folder: Path) -> None:
    save_model(folder / "model.onnx", ("bedroom", "kitchen", "garage"))
    Bundle(folder, ("bedroom", "kitchen", "garage"), PRESETS["depth"], 32).write()


def _other_sensor(folder: Path) -> None:
    replace(Bundle.open(folder), sensor=replace(PRESETS["depth"], far_m=5.0)).write()


def _nan(folder: Path) -> None:
    change_weights(folder, "bias", [np.nan] * 3)
    Bundle.open(folder).write()


def _cut(folder: Path) -> None:
    os.truncate(folder / "model.onnx", 500)


def _flipped(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[700] ^= 1
    (folder / "model.onnx").write_bytes(data)


def _no_network(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"this is no network")
    Bundle.open(folder).write()


def _newer(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "does not exist"),
    "an empty folder": (_empty, "manifest.json"),
    "no network": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx"),
    "a network cut off": (_cut, "model.onnx"),
    "a bit flipped": (_flipped, "model.onnx"),
    "a manifest of no JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json"),
    "a newer manifest": (_newer, "manifest.json"),
    "other classes": (
        _other_classes,
        "its classes are bedroom, kitchen, garage, not bedroom, kitchen, office",
    ),
    "another sensor": (_other_sensor, "its sensor differs: far_m 5.0 instead of 8.0"),
    "weights that are no numbers": (_nan, "not finite"),
    "no ONNX": (_no_network, "model.onnx"),
}
"""What is done to a good bundle, and what the reason of its refusal says."""


def point(link: Path, folder: Path) -> None:
    """Set a link to another folder in one step, as ``ln -sfn`` with ``mv -T`` does."""
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    os.symlink(folder, new)
    os.replace(new, link)
