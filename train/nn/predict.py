"""What a network answers to all frames: evaluation mode, central crops, no gradients; and whether it is finite."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.train.batches import Store, center_views, pieces
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator, normalise
from tgkt_edge.train.nn.ranks import Ranks
from tgkt_edge.train.nn.shared_norm import share_norms

COMPARED = 4000
"""Frames, evenly spread, whose features a report compares with each other; those of more are not kept."""

NO_FEATURES = np.empty(0, np.int64)
"""For :func:`predict_target`: only logits are needed."""


def compared(count: int) -> NDArray[np.int64]:
    """Numbers of those of ``count`` frames whose features are kept for the report, ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, COMPARED)).round().astype(np.int64))


ADVICE = (
    "Lower the learning rate (`set_=STAGE.lr=...`), bring more images, train the source model longer, or try "
    "`precision=fp32`."
)


@torch.no_grad()
def predict_target(
    model: Classifier,
    frames: Store,
    size: int,
    batch: int,
    compute: Compute,
    translator: nn.Module | None = None,
    name: str | None = None,
    advance: Callable[[int], object] | None = None,
    kept: NDArray[np.int64] | None = None,
) -> tuple[Tensor, Tensor]:
    """Features and logits of every image in ``frames``, in order; ``model`` is left in evaluation mode.

    Args:
        translator: if given, frames go through it first (the TGMB path); otherwise they enter as they are.
        name: if given, non-finite outputs are refused, and the error calls the network so.
        advance: called with the number of images of each batch, once it is answered.
        kept: ascending numbers of the images whose features are needed; None: all.

    Returns:
        (N, 256), or as many as are ``kept``, and (N, K) float32 on the device.

    Raises:
        TgktEdgeError: some are infinite or not a number, with ``name``: the network diverged, whatever its losses were.
    """
    model.eval()
    ranks = compute.ranks
    starts = range(0, len(frames), batch)
    sizes = [min(batch, len(frames) - start) for start in starts]
    # Of each batch, how many features are kept.
    rows = sizes
    if kept is not None:
        rows = np.diff(np.searchsorted(kept, [*starts, len(frames)])).tolist()
    features, logits = (_Filled(sum(some[ranks.rank :: ranks.count])) for some in (rows, sizes))
    lost = 0
    for start in starts:
        index = np.arange(start, min(start + batch, len(frames)))
        kept_rows = index if kept is None else kept[(kept >= index[0]) & (kept <= index[-1])]
        if start // batch % ranks.count != ranks.rank:
            if advance is not None:
                advance(len(index))
            continue
        x = normalise(frames.take(center_views(index, frames.side, size), size))
        with compute.autocast():
            f = model.features(x if translator is None else translator(x))
            answers = model.classifier(f).float()
            logits.add(answers)
        f = f.float()
        if name is not None:
            lost += int((~(f.isfinite().all(1) & answers.isfinite().all(1))).sum())
        features.add(f if kept is None else f[torch.from_numpy(kept_rows - start).to(f.device)])
        if advance is not None:
            advance(len(index))
    blank = torch.empty(0, device=compute.device)  # of a rank, where there are fewer batches than ranks
    found = features.tensor(blank.view(0, model.width)), logits.tensor(blank.view(0, model.num_classes))
    if not ranks.alone:
        found = _in_order(found[0], rows, ranks), _in_order(found[1], sizes, ranks)
        lost = int(ranks.sum(torch.tensor(float(lost), device=compute.device)))
    if lost:
        raise TgktEdgeError(
            f"{name}: its answers to {lost} of {len(frames)} images are infinite or not a number: it diverged. {ADVICE}"
        )
    return found


class _Filled:
    """Rows that come in blocks, in one tensor from the first on: at no time twice in memory."""

    def __init__(self, rows: int) -> None:
        self._rows, self._done = rows, 0
        self._whole: Tensor | None = None

    def add(self, block: Tensor) -> None:
        """Take (n, D) in."""
        if self._whole is None:
            self._whole = block.new_empty((self._rows, *block.shape[1:]))
        self._whole[self._done : self._done + len(block)] = block
        self._done += len(block)

    def tensor(self, blank: Tensor) -> Tensor:
        """(rows, D), or ``blank`` where no block came."""
        return blank if self._whole is None else self._whole


def _in_order(own: Tensor, sizes: Sequence[int], ranks: Ranks) -> Tensor:
    """All rows in the order of the batches, of which the ranks computed one after the other in turn.

    Args:
        own: (n, D) of this rank's batches. sizes: rows of each batch.
    """
    found, taken, pieces = ranks.gather(own), [0] * ranks.count, []
    for number, size in enumerate(sizes):
        rank = number % ranks.count
        pieces.append(found[rank][taken[rank] : taken[rank] + size])
        taken[rank] += size
    return torch.cat(pieces)


def refuse_diverged(
    name: str,
    trained: Classifier | Translator,
    source: Classifier,
    frames: Store,
    size: int,
    batch: int,
    compute: Compute,
) -> None:
    """Raise TgktEdgeError unless what the stage ``name`` trained, and float32 answers to ``frames``, are finite.

    Losses do not show it all: they are taken before an update, with the statistics of the batch.

    Args:
        source: what answers where ``trained`` is a translation net.
    """
    for path, tensor in trained.state_dict().items():
        if not tensor.isfinite().all():
            raise TgktEdgeError(f"{name}: {path} became infinite or not a number: it diverged. {ADVICE}")
    exact, kept = dataclasses.replace(compute, precision="fp32"), compared(len(frames))
    if isinstance(trained, Translator):
        answers = predict_target(source, frames, size, batch, exact, trained, name, kept=kept)
    else:
        answers = predict_target(trained, frames, size, batch, exact, None, name, kept=kept)
    _checked[trained] = _Checked(answers, frames, size, _versions(trained))


@dataclass(frozen=True)
class _Checked:
    """Float32 answers of a network, what it was asked about, and the state that its weights were in."""

    answers: tuple[Tensor, Tensor]
    frames: Store
    size: int
    versions: tuple[int, ...]


# The report asks the very networks that were checked when their stages ended about the very same frames.
_checked: WeakKeyDictionary[nn.Module, _Checked] = WeakKeyDictionary()


def _versions(module: nn.Module) -> tuple[int, ...]:
    """How often each weight was written to: PyTorch counts."""
    return tuple(tensor._version for tensor in module.state_dict(keep_vars=True).values())


def checked_answers(trained: nn.Module, frames: Store, size: int) -> tuple[Tensor, Tensor] | None:
    """What :func:`refuse_diverged` got from a network (or through a translation net) about ``frames``, if it was asked
    about the same pixels and no weight was written to since; else None. Features are of those :func:`compared`."""
    known = _checked.get(trained)
    if known is None or known.size != size or known.versions != _versions(trained):
        return None
    return known.answers if known.frames.same(frames) else None


@torch.no_grad()
def reestimate_batch_norm(
    model: Classifier,
    frames: Store,
    size: int,
    batch: int,
    compute: Compute,
    translator: nn.Module | None = None,
) -> None:
    """Replace the running statistics of every batch norm by those of ``frames``; no weight changes.

    Batch norm trained on RGB shifts and scales sensor frames by the wrong numbers (adaptive batch normalisation, Li
    et al., 2016). Means and variances are averaged over batches of equal weight, central crops.

    Args:
        translator: if given, frames go through it first. ``model`` is left in evaluation mode.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average instead of a decaying one
        norm.train()
    share_norms(model, compute.ranks)
    for index in pieces(np.arange(len(frames)), batch):
        index = index[compute.ranks.part(len(index))]
        x = normalise(frames.take(center_views(index, frames.side, size), size))
        with compute.autocast():
            model(x if translator is None else translator(x))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
