"""The gradient of one batch that is computed in parts, one after the other, so that less of it is in memory at a time.

Losses over the whole batch (L_IM's mean answer, the statistics that SOCKET matches) are those of the whole batch: the
parts are answered once without gradients, the losses are taken from all answers, and each part is computed again and
goes backwards from the gradient of its own answers (Gao et al., Scaling deep contrastive learning batch size under
memory limited setup, 2021). Losses that are means over rows need one pass a part. Either way the gradient is that of
the batch in one piece, except that batch norm sees a part at a time (ghost batch norm; Hoffer et al., 2017).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Outputs = tuple[Tensor, ...]
"""Of a forward pass; each with rows of its own along its first dimension, which those of further parts follow."""

Terms = dict[str, Tensor]
"""Scalars by name; ``loss`` is what is minimised."""


@dataclass(frozen=True)
class Objective:
    """What a stage minimises, and how a batch of it is computed.

    Attributes:
        network: that learns.
        forward: from tensors of n rows to outputs.
        losses: from outputs, what is known beside them, and the rows of the batch over all ranks, to the terms.
        parts: in which a batch is computed.
        by_row: whether every term is a mean over rows, of which all that is known has as many as the inputs.
    """

    network: nn.Module
    forward: Callable[..., Outputs]
    losses: Callable[[Outputs, Outputs, int], Terms]
    parts: int = 1
    by_row: bool = False

    def backward(self, inputs: Outputs, known: Outputs, size: int) -> tuple[Outputs, Terms]:
        """Add the gradient of ``loss`` to that of the parameters.

        Args:
            inputs: (n, ...) each, of this rank. known: what the losses are told. size: rows over all ranks.

        Returns:
            Outputs and terms of the whole batch, which take no gradients.
        """
        rows = len(inputs[0])
        if self.parts == 1:
            outputs = self.forward(*inputs)
            terms = self.losses(outputs, known, size)
            terms["loss"].backward()
            return tuple(one.detach() for one in outputs), detached(terms)
        cuts = [slice(rows * i // self.parts, rows * (i + 1) // self.parts) for i in range(self.parts)]
        parts = [tuple(one[cut] for one in inputs) for cut in cuts]
        if self.by_row:
            weights = [len(part[0]) / rows for part in parts]
            return self._by_row(parts, [tuple(one[cut] for one in known) for cut in cuts], weights, size)
        with torch.no_grad(), random_numbers_kept(inputs[0].device), norms_kept(self.network):
            answers = [self.forward(*part) for part in parts]
        outputs = tuple(torch.cat(rows_of).requires_grad_() for rows_of in zip(*answers, strict=True))
        terms = self.losses(outputs, known, size)
        terms["loss"].backward()
        starts = [0] * len(outputs)
        for part in parts:
            again = self.forward(*part)
            taken = []
            for number, (one, whole) in enumerate(zip(again, outputs, strict=True)):
                stop = starts[number] + len(one)
                if one.requires_grad and whole.grad is not None:
                    taken.append((one, whole.grad[starts[number] : stop]))
                starts[number] = stop
            torch.autograd.backward([one for one, _ in taken], [gradient for _, gradient in taken])
        return tuple(one.detach() for one in outputs), detached(terms)

    def _by_row(
        self, parts: list[Outputs], known: list[Outputs], weights: list[float], size: int
    ) -> tuple[Outputs, Terms]:
        total: Terms = {}
        found = []
        for part, beside, weight in zip(parts, known, weights, strict=True):
            outputs = self.forward(*part)
            terms = {name: term * weight for name, term in self.losses(outputs, beside, size).items()}
            terms["loss"].backward()
            for name, term in detached(terms).items():
                total[name] = total[name] + term if name in total else term
            found.append(tuple(one.detach() for one in outputs))
        return tuple(torch.cat(rows_of) for rows_of in zip(*found, strict=True)), total


def detached(terms: Mapping[str, Tensor]) -> Terms:
    """The same numbers, which hold no graph in memory."""
    return {name: term.detach() for name, term in terms.items()}


@contextlib.contextmanager
def random_numbers_kept(device: torch.device) -> Iterator[None]:
    """Dropout inside draws what it will draw again afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextlib.contextmanager
def norms_kept(network: nn.Module) -> Iterator[None]:
    """Running statistics are afterwards as they were."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)


def slow_norms(network: nn.Module, parts: int) -> None:
    """Let the running statistics move by ``parts`` passes as far as they otherwise would by one.

    A copy of a network that was slowed before is slowed from where that began: one that comes from a checkpoint, whose
    momentum is the usual one, ends alike.
    """
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.momentum is not None:
            usual: float = getattr(module, "usual_momentum", module.momentum)
            module.usual_momentum = usual  # type: ignore[assignment]  # a number is a plain attribute
            module.momentum = 1 - (1 - usual) ** (1 / parts)
