"""A classifier as another program would train it: torchvision's ResNet-50 with an ``fc``, by the recipe of the docs.

The recipe is that of docs/your-model.md, "A classifier in a few lines"; bfloat16 and a seed are all that is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

from tgkt_edge.io.atomic import atomic_file, write_text

BATCH, RATE, MOMENTUM = 32, 1e-3, 0.9


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
) -> None:
    """Write ``out``, a plain state dict, and beside it ``.csv`` with class,images; nothing if it is there.

    Args:
        weights: of ImageNet, safetensors with torchvision's names. size: of the views, pixels.
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
    sgd = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    data = Listed(files, labels, size)
    for epoch in range(epochs):
        total = 0.0
        for images, truth in DataLoader(data, batch_size=BATCH, shuffle=True):
            sgd.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images.to(memory_format=torch.channels_last))
            loss = torch.nn.functional.cross_entropy(logits.float(), truth)
            loss.backward()
            sgd.step()
            total += loss.item() * len(truth)
        print(f"{out.name}: epoch {epoch + 1} of {epochs}, loss {total / len(data):.3f}", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = np.bincount(labels, minlength=len(classes))
    rows = [f"{name},{count}" for name, count in zip(classes, counts, strict=True)]
    write_text(out.with_suffix(".csv"), "\n".join(["class,images", *rows]) + "\n")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    with atomic_file(out) as temporary:
        torch.save(state, temporary)
