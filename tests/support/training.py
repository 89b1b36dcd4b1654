"""A small data set, backbone weights that behave, and what a run folder holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.data.discovery import in_folder, labelled, matched, read_csv_columns
from tgkt_edge.data.loading import load_images
from tgkt_edge.demo.write import write_demo_data
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.nn.model import normalise
from tgkt_edge.train.run_folder.folder import RunInputs

CLASSES = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
"""Of the demo data."""

SIDE = 32

# Precision by name: "auto" is bf16 on some CPUs, and evaluation is always in float32.
SMALL = (
    f"image_size={SIDE}",
    "batch=6",
    "device=cpu",
    "precision=fp32",
    "source.epochs=2",
    "tgmb.epochs=2",
    "tgkt.epochs=2",
    "translator=pixels",
    "translation.head_c=0.1",  # leaves the target network something to learn of twelve frames
)
"""Options of a run of a few seconds, with every stage of the paper's method."""

FEATURES = ("translator=features", "translation.force=true", "student.epochs=4", "student.renew_after=2")
"""The default way. Random weights translate nothing, and these runs are to end."""

Stores = tuple[Store, Store, Store]
"""Target frames, paired RGB images, and the frames of those pairs."""


@dataclass(frozen=True)
class Tiny:
    """Demo data: six classes, 12 labelled RGB images, 12 target frames, 10 pairs; and backbone weights."""

    data: Path
    weights: Path
    small: tuple[str, ...] = SMALL

    @property
    def inputs(self) -> RunInputs:
        return run_inputs(self.data)

    def config(self, *sets: str) -> AdaptConfig:
        return build_config(None, [*self.small, f"weights={self.weights}", *sets])


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """The networks of tests see so little that threads cost more than they bring, above all on a busy machine.

    So does oneDNN, which rearranges all weights for every four images: without it a run takes four fifths of the time.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.backends.mkldnn.flags(enabled=False):
        yield
    torch.set_num_threads(before)


def run_inputs(data: Path) -> RunInputs:
    """The folders of demo data that ``adapt`` takes."""
    return RunInputs(*(str(data / name) for name in ("target", "paired", "source")))


def write_small_data(folder: Path, sensor: Literal["depth", "nir"] = "depth") -> Path:
    """Demo data of 40x30 pixels: two labelled images, two target frames and two pairs a class."""
    write_demo_data(
        folder,
        sensor=sensor,
        source_per_class=2,
        target_per_class=2,
        pairs_per_class=2,
        clip_frames=6,
        width=40,
        height=30,
    )
    return folder


def write_prepared(data: Path, folder: Path) -> Path:
    """Demo data of a depth sensor in the form that ``data prepare`` writes, in the same order."""
    folder.mkdir()

    def write(name: str, header: str, *columns: list[Any]) -> None:
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([header.split(","), *zip(*columns, strict=True)])

    write("source.csv", "image,label", *labelled(data / "source", "--source", "image"))
    write("target.csv", "frame", in_folder(data / "target", "--target"))
    write("paired.csv", "rgb,frame", *matched(data / "paired"))
    truth = read_csv_columns(data / "target_labels.csv", "--data", ("frame",), ("label",))
    write("labels.csv", "frame,label", truth["frame"], truth["label"])
    (folder / "sensor.yaml").write_text(yaml.safe_dump(load_sensor("depth").to_dict()))
    (folder / "prepare.json").write_text("{}")
    return folder


def settle(network: nn.Module, source: Path) -> None:
    """Damp the residual branches of a random network, and let its running statistics be those of real images.

    Otherwise six steps of four images leave a network whose activations grow from block to block in evaluation mode,
    to 1e11 and to NaN, which would prove little.

    Args:
        network: takes normalised images (N, 3, SIDE, SIDE). source: a folder of class folders.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            layer.momentum = 1.0
        elif isinstance(layer, Bottleneck):
            nn.init.constant_(layer.bn3.weight, 0.1)
    rgb = torch.from_numpy(load_images(source, SIDE).rgb)
    with torch.no_grad():
        network.train()(normalise(rgb.permute(0, 3, 1, 2) / 255))


def make_tiny(folder: Path) -> Tiny:
    """Write the data and the weights of :func:`at_tiny`: a random ResNet-50 in fp16, as a downloaded file may be."""
    data = write_small_data(folder / "data")
    torch.manual_seed(0)
    resnet = torchvision.models.resnet50(weights=None)
    settle(resnet, data / "source")
    state = resnet.state_dict()
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file(half, folder / "resnet50.safetensors")
    return at_tiny(folder)


def at_tiny(folder: Path) -> Tiny:
    """What :func:`make_tiny` wrote."""
    return Tiny(folder / "data", folder / "resnet50.safetensors")


def metric_lines(run: Path) -> list[dict[str, Any]]:
    """What a run folder's metrics.jsonl holds."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def step_lines(run: Path) -> list[dict[str, Any]]:
    """Lines of loss terms: everything in them is repeatable."""
    return [line for line in metric_lines(run) if "step" in line]


def weights_of(path: Path) -> dict[str, Tensor]:
    """The network's tensors, without what a source model keeps beside them."""
    return {name: value for name, value in load_tensors(path)[0].items() if not name.startswith("beside/")}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names of tensors that are not equal bit for bit, or that only one of the two has."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if name not in one or name not in other or not torch.equal(one[name], other[name])
    )


def differing_weights(one: Path, other: Path) -> list[str]:
    """:func:`differing` of two checkpoints' networks."""
    return differing(weights_of(one), weights_of(other))


def differing_tensors(one: Path, other: Path) -> list[str]:
    """:func:`differing` of all that two checkpoints hold."""
    return differing(load_tensors(one)[0], load_tensors(other)[0])


def rows_seen(module: nn.Module) -> list[int]:
    """A list that grows by the batch size of every forward call of the module."""
    seen: list[int] = []
    module.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    return seen


def tgkt_options(*sets: str) -> AdaptConfig:
    """The paper's configuration; four frames are one batch: one step an epoch."""
    return build_config("paper", [f"image_size={SIDE}", "batch=4", "tgkt.epochs=3", *sets])
