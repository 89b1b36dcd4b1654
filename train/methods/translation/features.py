"""Features of all images in a few fixed views from a frozen network, computed once and kept in the run folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from tgkt_edge.errors import CheckpointError, TgktEdgeError
from tgkt_edge.train.batches import Store, Views, center_views
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.checkpoint import digest, load_tensors, save_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import normalise, pooled_layers, unit_rows
from tgkt_edge.train.nn.normals import DISTANCE_FLOOR, GAIN, RELATIVE_GAIN, relative_normals, surface_normals

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Encoding = Literal["plain", "normals", "relative normals"]

BLOCK = 512
"""Images a file, and in memory at once."""

IN_MEMORY = 1 << 28
"""Bytes of features that are kept in memory; more are mapped from a file."""

FRAME_LAYERS = (2, 3, 4)
"""Layers of a ResNet-50 whose pooled outputs describe a frame: the earlier ones need no color to see edges."""

RGB_LAYERS = (4,)

WIDTH = 2048
"""Of the last layer."""

MOST_VIEWS = 4


def fixed_views(index: Ints, side: int, size: int, count: int = MOST_VIEWS) -> list[Views]:
    """The first ``count`` of: centre, centre mirrored, top-left corner, bottom-right corner mirrored.

    The same for every image, so that both halves of a pair show the same part of the scene.
    """
    centre, last = (side - size) // 2, side - size
    corners = ((centre, False), (centre, True), (0, False), (last, True))

    def view(corner: int, flip: bool) -> Views:
        where = np.full(len(index), corner, np.int64)
        return Views(index, where, where, np.full(len(index), flip))

    return [center_views(index, side, size), *(view(*corner) for corner in corners[1:])][:count]


@dataclass(frozen=True)
class Kind:
    """What is computed of an image.

    Attributes:
        layers: of the ResNet-50, pooled and concatenated; none: what another network gives itself.
        unit: whether each layer's vector is brought to length 1.
        encoding: of a sensor frame: as it is, three times, or as surface normals, of the code or relative to distances.
        views: how many of :func:`fixed_views`.
        offset: of relative normals, the distance of code 0 in code ranges.
    """

    layers: tuple[int, ...]
    unit: bool
    encoding: Encoding = "plain"
    views: int = MOST_VIEWS
    offset: float = field(
        default=0.0, repr=False
    )  # repr names kept features of other encodings, which have none


class Features:
    """Features of N images in V views, (n, V, D) a file; read again file by file, so that memory stays flat."""

    def __init__(self, files: list[Path], count: int, width: int | None = None) -> None:
        self._files, self._count, self._width = files, count, width

    def __len__(self) -> int:
        return self._count

    def last(self, width: int) -> Features:
        """The same with the last ``width`` columns alone: the last layer of several."""
        return Features(self._files, self._count, width)

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(number of the first image, (n, V, D) float32) of every file in order."""
        start = 0
        for file in self._files:
            with safe_open(file, framework="np") as opened:
                block = opened.get_tensor("features").astype(np.float32)
            if self._width is not None:
                block = np.ascontiguousarray(block[..., -self._width :])
            yield start, block
            start += len(block)

    def scratch(self, width: int) -> NDArray[np.float16]:
        """(N, width) to write to: in memory, or where it is large in a file beside the features that nobody else sees.

        Raises:
            TgktEdgeError: no room on the disk.
        """
        shape = (self._count, width)
        size = 2 * self._count * width
        if size <= IN_MEMORY:
            return np.empty(shape, np.float16)
        folder = self._files[0].parent
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, np.float16, "r+", shape=shape)
        except OSError as error:
            raise TgktEdgeError(
                f"{folder}: cannot take {size / 2**30:.1f} GiB for the features that are learnt from: "
                f"{error.strerror}. Make room, then go on with `resume=True`."
            ) from error

    def rows(self, index: Ints) -> Floats:
        """(len(index), V, D) of ascending image numbers."""
        found = []
        for start, block in self.blocks():
            inside = index[(index >= start) & (index < start + len(block))]
            if len(inside):
                found.append(block[inside - start])
        return np.concatenate(found)


def extract(
    name: str,
    backbone: nn.Module,
    images: Store,
    kind: Kind,
    size: int,
    batch: int,
    compute: Compute,
    log: RunLog,
    folder: Path,
) -> Features:
    """Compute what ``folder`` does not hold yet.

    A file's name is a digest of the weights, the images' own bytes and all that is computed, so what is found there is
    what would be computed again.

    Args:
        name: of the images, for the person who waits.
        backbone: frozen, on the device; a ResNet-50, or without ``kind.layers`` any network that gives (B, D).
        size: of the views, pixels. batch: images at once in each view.
        folder: which all ranks see; each computes some of the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    what = f"{digest(backbone.state_dict())} {kind} {size} {compute.device.type} {compute.precision}"
    if kind.encoding == "normals":
        what += f" {GAIN}"
    elif kind.encoding == "relative normals":
        what += f" {RELATIVE_GAIN} {DISTANCE_FLOOR} {kind.offset}"
    files = []
    with log.progress(name, len(images)) as advance:
        for number, start in enumerate(range(0, len(images), BLOCK)):
            stop = min(start + BLOCK, len(images))
            key = hashlib.sha256(f"{what} {images.digest(start, stop)}".encode()).hexdigest()[:24]
            file = folder / f"{key}.safetensors"
            if number % compute.ranks.count != compute.ranks.rank:
                advance(stop - start)  # another rank's
            elif not _is_whole(file):
                block = _block(backbone, images, kind, size, batch, compute, range(start, stop), advance)
                save_tensors(file, {"features": torch.from_numpy(block)}, {"kind": "features", "of": name})
            else:
                advance(stop - start, known=True)
            files.append(file)
    compute.ranks.wait()
    if not all(file.exists() for file in files):
        raise TgktEdgeError(
            f"{folder}: rank {compute.ranks.rank} does not see there what another rank computed: `cache`, or "
            f"without one the run folder, must lie on a file system that all machines share, and be the same everywhere"
        )
    return Features(files, len(images))


@torch.inference_mode()
def _block(
    backbone: nn.Module,
    images: Store,
    kind: Kind,
    size: int,
    batch: int,
    compute: Compute,
    numbers: range,
    advance: Callable[[int], None],
) -> NDArray[np.floating]:
    found = []
    for start in range(numbers.start, numbers.stop, batch):
        index = np.arange(start, min(start + batch, numbers.stop))
        views = []
        for view in fixed_views(index, images.side, size, kind.views):
            unit = images.take(view, size)
            x = normalise(_encoded(unit, kind))
            with compute.autocast():
                layers = pooled_layers(backbone, x, kind.layers) if kind.layers else [backbone(x)]
            rows = [unit_rows(layer) if kind.unit else layer.float() for layer in layers]
            views.append(torch.cat(rows, 1))
        # Half precision: features of unit length have three digits that matter, and a million frames fill a disk. Of
        # another network's features nobody knows the size.
        rows_of_views = torch.stack(views, 1)
        found.append((rows_of_views.half() if kind.layers else rows_of_views).cpu())
        advance(len(index))
    block: NDArray[np.floating] = torch.cat(found).numpy()
    return block


def _encoded(unit: Tensor, kind: Kind) -> Tensor:
    if kind.encoding == "normals":
        return surface_normals(unit)
    return relative_normals(unit, kind.offset) if kind.encoding == "relative normals" else unit


def _is_whole(file: Path) -> bool:
    """Whether the file is there with the bytes that were written; a damaged one is computed again."""
    try:
        load_tensors(file)
    except CheckpointError:
        return False
    return True
