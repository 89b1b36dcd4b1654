"""A few labelled RGB images: is the model as good as expected, and would other pixels suit it better?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.data.loading import Images, spread
from tgkt_edge.data.names import class_index
from tgkt_edge.errors import DataError
from tgkt_edge.train.nn.imported import Entry, Pixels
from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD, Classifier, normalise

BATCH = 32

CAFFE = (103.939 / 255, 116.779 / 255, 123.68 / 255)

USUAL = {
    "`mean=0.485,0.456,0.406` `std=0.229,0.224,0.225`": (IMAGENET_MEAN, IMAGENET_STD),
    "`mean=0.5` `std=0.5`": ((0.5,) * 3, (0.5,) * 3),
    "`mean=0` `std=1`": ((0.0,) * 3, (1.0,) * 3),
    "`mean=0` `std=0.00392157`": ((0.0,) * 3, (1 / 255,) * 3),
    "`mean=103.939,116.779,123.68` `std=1`": (CAFFE, (1 / 255,) * 3),
    "`mean=0.48145466,0.4578275,0.40821073` `std=0.26862954,0.26130258,0.27577711`": (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
}
"""What networks are usually trained on: torchvision's, -1 to 1, 0 to 1, 0 to 255, Caffe's, CLIP's. As arguments."""

TRIED_ON = 64
"""Images at most that other settings are tried on."""

LEAST_GAIN = 0.05
"""Share of the images by which another setting has to be better before it is pointed out."""


@dataclass(frozen=True)
class Checked:
    """What the images showed.

    Attributes:
        accuracy: as given. images: how many. tried: accuracy of the other settings, on some of the images; of_tried: as
            given on these. better: the arguments of a setting that is clearly better, or None.
    """

    accuracy: float
    images: int
    tried: dict[str, float]
    better: str | None
    of_tried: float

    def to_dict(self) -> dict[str, Any]:
        """For the header."""
        return {"accuracy": round(self.accuracy, 4), "images": self.images, "better": self.better}

    def lines(self, flag: str) -> list[str]:
        """For the person."""
        right = round(self.accuracy * self.images)
        found = [f"{flag}: {right} of {self.images} images classified correctly ({self.accuracy:.1%})"]
        if self.better is not None:
            found.append(
                f"{flag}: with {self.better} accuracy would be {self.tried[self.better]:.1%} instead of "
                f"{self.of_tried:.1%}. The model was most likely trained with these settings: use them."
            )
        return found


def task_labels(images: Images, classes: Sequence[str], flag: str) -> NDArray[np.int64]:
    """(N,) the labels as numbers of ``classes``. Raises DataError for one that is none of them."""
    known = class_index(classes)
    names = class_index(images.classes)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise DataError(
            f"{flag}: classes that the model does not have: {', '.join(map(repr, sorted(unknown)))}. It has "
            f"{', '.join(classes)}. Rename the folders or labels, or leave those images out."
        )
    numbers = np.array([known[name] for name in names], np.int64)
    result: NDArray[np.int64] = numbers[images.labels]
    return result


def batches_of(rgb: NDArray[np.uint8], size: int, batch: int = BATCH) -> Iterator[Tensor]:
    """(B, 3, S, S) ImageNet-normalised central crops of (N, R, R, 3) images."""
    start = (rgb.shape[1] - size) // 2
    for first in range(0, len(rgb), batch):
        cut = rgb[first : first + batch, start : start + size, start : start + size]
        yield normalise(torch.from_numpy(np.ascontiguousarray(cut)).permute(0, 3, 1, 2).float() / 255)


@torch.inference_mode()
def classified(
    whole: Any, pixels: Pixels, merge: Any, images: Images, labels: NDArray[np.int64], size: int
) -> NDArray[np.bool_]:
    """(N,) whether each image is classified correctly; arguments as of :func:`check`."""
    entry = Entry(pixels)
    answers = [merge(whole(entry(x))).argmax(1).numpy() for x in batches_of(images.rgb, size)]
    found: NDArray[np.bool_] = np.concatenate(answers) == labels
    return found


def check_as_it_is(model: Classifier, images: Images, labels: NDArray[np.int64], size: int) -> Checked:
    """Accuracy of a source model whose settings are known: nothing else is tried. Arguments as of :func:`check`."""
    accuracy = float(classified(model, Pixels(), lambda logits: logits, images, labels, size).mean())
    return Checked(accuracy, len(labels), {}, None, accuracy)


def check(
    whole: Any,
    pixels: Pixels,
    merge: Any,
    images: Images,
    labels: NDArray[np.int64],
    size: int,
    others: Mapping[str, Any] | None = None,
) -> Checked:
    """Ask the model as it was about the images, with the pixels that were given and with the usual ones.

    Args:
        whole: (B, 3, S, S) as the network wants it -> (B, S) logits. merge: of these to the task's (B, K).
        labels: (N,) numbers of the task's classes. size: of the images' central crop, pixels.
        others: networks that the file might hold as well, by the argument that asks for each.
    """
    given, count = classified(whole, pixels, merge, images, labels, size), len(labels)
    accuracy = float(given.mean())
    few = np.array(spread(len(labels), TRIED_ON))
    images = dataclasses.replace(images, rgb=images.rgb[few])
    labels, given = labels[few], given[few]
    tried: dict[str, float] = {}
    best: tuple[float, str, NDArray[np.bool_]] | None = None
    for name, network in (others or {}).items():
        answers = classified(network, pixels, merge, images, labels, size)
        tried[name] = float(answers.mean())
        if best is None or tried[name] > best[0]:
            best = tried[name], name, answers
    for arguments, (mean, std) in USUAL.items():
        for bgr in (False, True):
            setting = replace(pixels, mean=mean, std=std, bgr=bgr)
            if np.allclose([*mean, *std], [*pixels.mean, *pixels.std], atol=2e-3) and bgr == pixels.bgr:
                continue
            name = f"{arguments}{' `bgr=True`' if bgr else ''}"
            answers = classified(whole, setting, merge, images, labels, size)
            tried[name] = float(answers.mean())
            if best is None or tried[name] > best[0]:
                best = tried[name], name, answers
    better = None
    if best is not None and best[0] >= given.mean() + LEAST_GAIN:
        # McNemar's test without correction: of the images that one setting alone classifies correctly.
        won, lost = int((best[2] & ~given).sum()), int((given & ~best[2]).sum())
        if (won - lost) / math.sqrt(won + lost) > 2:
            better = best[1]
    return Checked(accuracy, count, tried, better, float(given.mean()))
