"""A classifier as another program would train it: torchvision's ResNet-50 with an ``fc``, by the recipe of the docs.

The recipe is that of docs/your-model.md, "A classifier in a few lines"; bfloat16 and a seed are all that is added.
Or the other usual one: the ImageNet network frozen, in evaluation mode, and only the ``fc`` trained on it, by Adam.
:func:`as_places` makes of it one that knows many other classes, some of which the task's consist of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

from tgkt_edge.io.atomic import atomic_file, write_text

BATCH, RATE, MOMENTUM = 32, 1e-3, 0.9

RECIPES = ("whole", "frozen")
"""What is trained: all weights, or the fc alone."""


class Listed(Dataset[tuple[torch.Tensor, int]]):
    """RGB files and their labels, each time in another random crop."""

    def __init__(self, files: Sequence[Path], labels: NDArray[np.int64], size: int) -> None:
        self._files, self._labels = files, labels
        self._view = transforms.Compose(
            [
                transforms.RandomResizedCrop(size, (0.5, 1)),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        with Image.open(self._files[number]) as image:
            return self._view(image.convert("RGB")), int(self._labels[number])


def train_outside(
    files: Sequence[Path],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    weights: Path,
    size: int,
    epochs: int,
    seed: int,
    out: Path,
    recipe: str = "whole",
) -> None:
    """Write ``out``, a plain state dict, and beside it ``.csv`` with class,images; nothing if it is there.

    Args:
        weights: of ImageNet, safetensors with torchvision's names. size: of the views, pixels. recipe: one of RECIPES.
    """
    if out.is_file():
        return
    torch.manual_seed(seed)
    model = models.resnet50()
    body = {
        name: value.float() if value.is_floating_point() else value
        for name, value in load_file(weights).items()
    }
    missing, _ = model.load_state_dict(
        {k: v for k, v in body.items() if not k.startswith("fc.")}, strict=False
    )
    if any(not name.startswith("fc.") and "num_batches" not in name for name in missing):
        raise SystemExit(f"--weights {weights}: expected a ResNet-50 with torchvision's names")
    model.fc = torch.nn.Linear(2048, len(classes))
    model = model.to(memory_format=torch.channels_last)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    if recipe == "frozen":
        model.eval().requires_grad_(False)
        model.fc.requires_grad_(True)
        optimizer = torch.optim.Adam(model.fc.parameters(), lr=RATE)
    data = Listed(files, labels, size)
    for epoch in range(epochs):
        total = 0.0
        for images, truth in DataLoader(data, batch_size=BATCH, shuffle=True):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images.to(memory_format=torch.channels_last))
            loss = torch.nn.functional.cross_entropy(logits.float(), truth)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(truth)
        print(f"{out.name}: epoch {epoch + 1} of {epochs}, loss {total / len(data):.3f}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = np.bincount(labels, minlength=len(classes))
    rows = [f"{name},{count}" for name, count in zip(classes, counts, strict=True)]
    write_text(out.with_suffix(".csv"), "\n".join(["class,images", *rows]) + "\n")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with atomic_file(out) as temporary:
        torch.save(state, temporary)


OUTPUTS = 365
"""Of Places365."""

HEAD_C = 0.01
"""Inverse strength of the head's regularisation, of standardised features."""


def as_places(
    file: Path,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    parts: int,
    seed: int,
) -> tuple[Path, Path, Path, Path]:
    """Make of the model in ``file`` one of 365 classes, in Places365's layout and container.

    Each class of the task is cut into visual kinds (k-means of its images' features), ``parts`` kinds together, and a
    head for these is trained on the features; 345 outputs beside them stand for what the task has no use for.

    Args:
        features: (N, D) of the images that it was trained on, as its ``fc`` sees them. labels: (N,). classes: K names.

    Returns:
        Beside ``file``: the ``.pth.tar``; the list of its classes as Places365 publishes it; the same as a CSV with
        ``images``; and the CSV that merges them.
    """
    kinds, names = np.empty(len(labels), np.int64), list[tuple[str, str]]()
    for k, name in enumerate(classes):
        count = parts // len(classes) + (k < parts % len(classes))
        rows = np.flatnonzero(labels == k)
        unit = features[rows] / np.linalg.norm(features[rows], axis=1, keepdims=True)
        found = KMeans(count, n_init=4, random_state=seed).fit_predict(unit)
        kinds[rows] = len(names) + found
        names += [(f"{name}/kind_{number}", name) for number in range(count)]
    mean, scale = features.mean(0), np.maximum(features.std(0), 1e-6)
    fitted = LogisticRegression(C=HEAD_C, max_iter=500).fit((features - mean) / scale, kinds)
    rng = np.random.default_rng(seed)
    places = rng.choice(OUTPUTS, len(names), replace=False)
    weight = rng.normal(0, 0.01, (OUTPUTS, features.shape[1]))
    bias = np.zeros(OUTPUTS)
    weight[places] = fitted.coef_ / scale
    bias[places] = fitted.intercept_ - weight[places] @ mean
    state = torch.load(file, weights_only=True)
    state |= {"fc.weight": torch.from_numpy(weight).float(), "fc.bias": torch.from_numpy(bias).float()}
    state = {f"module.{name}": value for name, value in state.items() if "num_batches" not in name}
    wrapped = {"epoch": 90, "arch": "resnet50", "state_dict": state, "best_prec1": torch.tensor(54.7)}
    out = file.with_name(f"{file.stem}_places{OUTPUTS}.pth.tar")
    with atomic_file(out) as temporary:
        torch.save(wrapped, temporary, _use_new_zipfile_serialization=False)
    known = dict(zip(places.tolist(), names, strict=True))
    images = dict(zip(places.tolist(), np.bincount(kinds, minlength=len(names)).tolist(), strict=True))
    every = [known[i][0] if i in known else f"place_{i}" for i in range(OUTPUTS)]
    texts = {
        "categories.txt": [f"/{name[0]}/{name} {number}" for number, name in enumerate(every)],
        "images.csv": ["class,images", *(f"{name},{images.get(i, 0)}" for i, name in enumerate(every))],
        "map.csv": ["source_class,task_class", *(f"{part},{name}" for part, name in names)],
    }
    files = [file.with_name(f"{file.stem}-{name}") for name in texts]
    for path, lines in zip(files, texts.values(), strict=True):
        write_text(path, "\n".join(lines) + "\n")
    return out, files[0], files[1], files[2]
