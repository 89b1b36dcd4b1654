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

from tests.support.bundles import save_bundle, save_model
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.sensor import PRESETS


def good_bundle(folder: Path, favorite: int) -> Bundle:
    """A bundle that answers every frame with class ``favorite``."""
    bundle = save_bundle(folder)
    change_weights(folder, "bias", np.eye(3, dtype=np.float32)[favorite] * 20)
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
