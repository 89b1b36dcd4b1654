"""Random crops and flips of resident frames, in batches, on the device that trains.

Data stays as decoded: frames as 16-bit codes, RGB as bytes, in memory or mapped from the cache.
Paired RGB and sensor frames are taken with the *same* Views, so crop and flip always agree.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tgkt_edge.data.sets import Rows, is_mapped
from tgkt_edge.preprocess import CODE_MAX

Ints = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Views:
    """B crops: which image, top-left corner in pixels, and whether mirrored. All (B,); ``flip`` is bool."""

    index: Ints
    top: Ints
    left: Ints
    flip: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, which: Ints | NDArray[np.bool_] | slice) -> Views:
        return Views(self.index[which], self.top[which], self.left[which], self.flip[which])


def random_views(rng: np.random.Generator, index: Ints, side: int, size: int) -> Views:
    """One uniformly random crop of ``size`` out of ``side`` pixels, mirrored half the time, for each of ``index``."""
    n = len(index)
    top, left = rng.integers(0, side - size + 1, size=(2, n))
    return Views(index, top, left, rng.random(n) < 0.5)


def center_views(index: Ints, side: int, size: int) -> Views:
    """The central crop, unmirrored: exactly ``preprocess.center_crop``."""
    corner = np.full(len(index), (side - size) // 2, dtype=np.int64)
    return Views(index, corner, corner, np.zeros(len(index), dtype=np.bool_))


def epoch_rng(seed: int, stage: str, epoch: int) -> np.random.Generator:
    """Everything random of one epoch comes from here, so an epoch can be repeated alone, after a restart.

    Torch's own generator is seeded, too: dropout and stochastic depth, which small networks have, draw from it.
    """
    words = [seed, epoch, *stage.encode()]
    torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
    return np.random.default_rng(words)


def pieces(order: Ints, batch: int, least: int = 2) -> list[Ints]:
    """``order`` in ceil(n / batch) pieces whose sizes differ by one at most; in fewer if one were less than ``least``.

    Equal pieces rather than a small remainder: BatchNorm needs at least 2 samples. So a piece may be of ``batch`` + 1.
    """
    n = len(order)
    return list(np.array_split(order, max(1, min(-(-n // batch), n // least))))


def batches(rng: np.random.Generator, n: int, batch: int, least: int = 2) -> list[Ints]:
    """0 to n - 1 in random order, cut into batches by :func:`pieces`."""
    return pieces(rng.permutation(n), batch, least)


def steps_per_epoch(n: int, batch: int, least: int = 2) -> int:
    """How many :func:`batches` range(n) is cut into."""
    return len(pieces(np.arange(n), batch, least))


def endless(rng: np.random.Generator, n: int, sizes: list[int]) -> list[Ints]:
    """Batches of the given sizes that go through range(n) in random order, again and again."""
    rounds = -(-sum(sizes) // n)
    order = np.concatenate([rng.permutation(n) for _ in range(rounds)])
    return list(np.split(order, np.cumsum(sizes)))[: len(sizes)]


def ahead(batches: Iterable[T], device: torch.device, depth: int = 2) -> Iterator[T]:
    """``batches`` in order; for a GPU a thread makes the next ``depth`` of them while it computes."""
    if device.type != "cuda":
        yield from batches
        return
    yield from made_ahead(batches, depth)


def made_ahead(batches: Iterable[T], depth: int) -> Generator[T, None, None]:
    """``batches`` in order, the next ``depth`` of them made by a thread; an error comes where its batch would."""
    source, end = iter(batches), object()
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting = deque(pool.submit(next, source, end) for _ in range(depth))
        while (found := waiting.popleft().result()) is not end:
            waiting.append(pool.submit(next, source, end))
            yield cast(T, found)


class Store:
    """Images kept as decoded: on the device if they fit comfortably, else in main memory, or mapped from a file.

    Args:
        images: (N, R, R) uint16 codes of sensor frames, or (N, R, R, 3) uint8 RGB; perhaps some rows of a mapped file.
        device: where batches are expected.
    """

    def __init__(self, images: NDArray[np.uint16] | NDArray[np.uint8], device: torch.device) -> None:
        # torch computes little with uint16: the same bits travel as int16 and are widened in `take`.
        mapped = is_mapped(images)
        rows: Ints | None = None
        if isinstance(images, Rows):
            images, rows = images.base, images.index
        bits = images.view(np.int16) if images.dtype == np.uint16 else images
        with warnings.catch_warnings():
            # torch warns that a mapped file is read-only: nothing here writes to images.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            tensor = torch.from_numpy(bits if mapped else np.ascontiguousarray(bits))
        self.device = device
        self.side = int(images.shape[1])
        self._rows = None if rows is None else torch.from_numpy(rows)  # of the images, those that are meant
        size = tensor.nbytes if rows is None else tensor[:1].nbytes * len(rows)
        if device.type == "cuda" and _fits(size, device):
            tensor, self._rows = tensor.to(device) if rows is None else tensor[self._rows].to(device), None
        self._images = tensor

    def __len__(self) -> int:
        return len(self._images) if self._rows is None else len(self._rows)

    @property
    def channels(self) -> int:
        """3 of RGB, 1 of sensor frames."""
        return 3 if self._images.dim() == 4 else 1

    def same(self, other: Store) -> bool:
        """Whether both hold the same pixels."""
        if self is other or (self._images is other._images and self._rows is other._rows):
            return True
        if self._images.dtype != other._images.dtype or len(self) != len(other):
            return False
        step = 1024
        return all(
            torch.equal(
                self._some(start, start + step), other._some(start, start + step).to(self._images.device)
            )
            for start in range(0, len(self), step)
        )

    def _some(self, start: int, stop: int) -> Tensor:
        return self._images[start:stop] if self._rows is None else self._images[self._rows[start:stop]]

    def digest(self, start: int, stop: int) -> str:
        """SHA-256 over the decoded pixels of some images."""
        pixels = self._some(start, stop).cpu().contiguous()
        return hashlib.sha256(pixels.view(torch.uint8).numpy().data).hexdigest()

    def take(self, views: Views, size: int) -> Tensor:
        """Cut the views out.

        Returns:
            (B, 1, size, size) or (B, 3, size, size) float32 in [0, 1] on ``device``; channels last.
        """
        cut = self._gathered(views, size) if self._images.is_cuda else self._sliced(views, size)
        cut = cut.to(self.device, non_blocking=True)
        if cut.dtype == torch.int16:
            # A tensor divisor: dividing by a Python number is a multiplication by its reciprocal on CUDA, which
            # rounds differently from preprocess.to_unit.
            codes = (cut.to(torch.int32) & 0xFFFF).to(torch.float32)
            return (codes / torch.full_like(codes, CODE_MAX))[:, None]
        return (cut.to(torch.float32) / 255).permute(0, 3, 1, 2)

    def _sliced(self, views: Views, size: int) -> Tensor:
        """(B, size, size[, 3]) as decoded, one crop after the other: a tenth of the time of a gather of pixels.

        In pinned memory where a GPU fetches it, so that the copy waits for nobody and nobody for it.
        """
        numbers = views.index if self._rows is None else self._rows.numpy()[views.index]
        shape = (len(views), size, size, *self._images.shape[3:])
        cut = torch.empty(shape, dtype=self._images.dtype, pin_memory=self.device.type == "cuda")
        corners = zip(numbers.tolist(), views.top.tolist(), views.left.tolist(), strict=True)
        for row, mirrored, (number, top, left) in zip(cut, views.flip.tolist(), corners, strict=True):
            crop = self._images[number, top : top + size, left : left + size]
            row.copy_(crop.flip(1) if mirrored else crop)
        return cut

    def _gathered(self, views: Views, size: int) -> Tensor:
        """The same in one call, for images on a GPU."""
        step = np.arange(size)
        rows = views.top[:, None] + step  # (B, size)
        columns = views.left[:, None] + np.where(views.flip[:, None], step[::-1], step)
        home = self._images.device
        numbers = torch.from_numpy(views.index)
        index = (numbers if self._rows is None else self._rows[numbers]).to(home)[:, None, None]
        return self._images[
            index, torch.from_numpy(rows).to(home)[:, :, None], torch.from_numpy(columns).to(home)[:, None]
        ]


def _fits(size: int, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return size < free // 4


class JoinedStore(Store):
    """Several stores as one, one after the other: none is copied."""

    def __init__(self, parts: Sequence[Store]) -> None:
        self.parts = list(parts)
        self.device, self.side = self.parts[0].device, self.parts[0].side
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def channels(self) -> int:
        """3 of RGB, 1 of sensor frames."""
        return self.parts[0].channels

    def same(self, other: Store) -> bool:
        """Whether both hold the same pixels in the same parts."""
        return self is other or (
            isinstance(other, JoinedStore)
            and len(self.parts) == len(other.parts)
            and all(mine.same(one) for mine, one in zip(self.parts, other.parts, strict=True))
        )

    def digest(self, start: int, stop: int) -> str:
        """SHA-256 over the digests of the parts of these images."""
        found = []
        for part, end in zip(self.parts, self._ends, strict=True):
            first = int(end) - len(part)
            low, high = max(start, first), min(stop, int(end))
            if low < high:
                found.append(part.digest(low - first, high - first))
        return found[0] if len(found) == 1 else hashlib.sha256(" ".join(found).encode()).hexdigest()

    def take(self, views: Views, size: int) -> Tensor:
        """As of one store, whichever parts the images lie in."""
        whole = torch.empty(len(views), self.channels, size, size, device=self.device)
        whole = whole.contiguous(memory_format=torch.channels_last)
        for part, end in zip(self.parts, self._ends, strict=True):
            first = int(end) - len(part)
            inside = np.flatnonzero((views.index >= first) & (views.index < end))
            if len(inside):
                mine = views[inside]
                mine = Views(mine.index - first, mine.top, mine.left, mine.flip)
                whole[torch.from_numpy(inside).to(self.device)] = part.take(mine, size)
        return whole
