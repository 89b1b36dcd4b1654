"""Proof that an import answers as the model did: both are asked about the same images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.nn.imported import ImportedClassifier, Pixels
from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD
from tgkt_edge.train.source_import.assemble import Whole
from tgkt_edge.train.source_import.check_images import batches_of
from tgkt_edge.train.source_import.class_names import Classes

IMAGES = 8
"""That both are asked about."""

TOLERANCE = 1e-4
"""Largest difference of logits over the largest logit: some ten times float32's rounding through a deep network."""

CONSTANT = 1e-9
"""Largest difference of logits between images, over the largest logit, of a network that does not look at them."""


def generated_images(size: int) -> NDArray[np.uint8]:
    """(IMAGES, size, size, 3) colored blobs and noise, always the same."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((IMAGES, 3, 5, 5), dtype=np.float32))
    smooth = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False).clamp(0, 1).numpy()
    noisy = smooth * 255 + rng.normal(0, 8, smooth.shape)
    return np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def reference_logits(logits: Tensor, classes: Classes) -> Tensor:
    """(N, S) of the model as it was -> (N, K) float64: log of the summed exponentials of each class's members."""
    wide = logits.double()
    return torch.stack([wide[:, list(group)].logsumexp(1) for group in classes.groups], 1)


@torch.inference_mode()
def prove(
    network: ImportedClassifier,
    whole: Whole,
    classes: Classes,
    pixels: Pixels,
    rgb: NDArray[np.uint8],
    size: int,
    what: str,
) -> dict[str, Any]:
    """Largest differences of logits and probabilities, for the header.

    Args:
        whole: the model as it was. rgb: (N, R, R, 3). size: of the central crop, pixels. what: kind of images.

    Raises:
        CheckpointError: they differ by more than rounding: the import is not that model. Or the model answers all
            images alike: it knows nothing.
    """
    logits = probabilities = largest = 0.0
    answered: list[Tensor] = []
    for x in batches_of(rgb[:IMAGES], size):
        expected = reference_logits(whole(own_pixels(x, pixels)), classes)
        found = network(x).double()
        for of, answers in (("the model's", expected), ("the imported network's", found)):
            if not answers.isfinite().all():
                raise CheckpointError(
                    f"{of} answers to {what} images are non-finite: weights that overflow, or pixels of another scale "
                    f"than it was trained on (`mean`, `std`)."
                )
        answered.append(expected)
        logits = max(logits, float((found - expected).abs().max()))
        probabilities = max(probabilities, float((found.softmax(1) - expected.softmax(1)).abs().max()))
        largest = max(largest, float(expected.abs().max()))
    if logits > TOLERANCE * (1 + largest):
        raise CheckpointError(
            f"the imported network's logits differ from the model's by up to {logits:.2g} where the largest is "
            f"{largest:.3g}: its last linear layer is not all that comes after the features. Export it to ONNX: "
            f"it can be a teacher."
        )
    seen = torch.cat(answered)
    if len(seen) > 1 and float((seen - seen[0]).abs().max()) <= CONSTANT * (1 + largest):
        shown = ", ".join(f"{logit:.3g}" for logit in seen[0][:6].tolist())
        raise CheckpointError(
            f"gives the same logits ({shown}{', ...' if seen.shape[1] > 6 else ''}) to each of {len(seen)} {what} "
            f"images: its last layer was never trained, or its features died. Expected a classifier that was trained; "
            f"take another epoch or a whole copy."
        )
    return {
        "images": min(IMAGES, len(rgb)),
        "of": what,
        "largest_logit": round(largest, 3),
        "largest_logit_difference": logits,
        "largest_probability_difference": probabilities,
    }


def own_pixels(x: Tensor, pixels: Pixels) -> Tensor:
    """(B, 3, S, S) ImageNet-normalised RGB as the model was trained on it, by the plainest way."""
    unit = x.double() * torch.tensor(IMAGENET_STD).double().view(3, 1, 1)
    unit = unit + torch.tensor(IMAGENET_MEAN).double().view(3, 1, 1)
    if pixels.side is not None and x.shape[-1] != pixels.side:
        unit = F.interpolate(
            unit.float(), (pixels.side, pixels.side), mode="bilinear", antialias=True
        ).double()
    if pixels.bgr:
        unit = unit.flip(1)
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (pixels.mean, pixels.std))
    return ((unit - mean) / std).float()
