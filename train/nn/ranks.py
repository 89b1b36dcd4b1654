"""Processes that train one network together, as ``torchrun`` starts them: what each computes, what is shared.

Every rank draws the same batch and takes its part of it. Losses are those of the whole batch on every rank: a rank adds
what the others found to its own, and only its own takes gradients. So the gradients' sum over the ranks is the gradient
of one process that had the whole batch, and each optimiser makes the same step everywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import hashlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.notes import LOGGER
from tgkt_edge.train.nn.fused import is_dense, lies_as
from tgkt_edge.train.nn.out_of_memory import is_out_of_memory

WAIT = datetime.timedelta(days=1)
"""A rank may wait for another that writes the report or reads millions of frames; one that ended is noticed at once."""


PATIENCE_S = 15.0
"""Seconds after which a rank says that it waits for the others to begin."""

LARGE = 1 << 16
"""Numbers of a gradient from which it is summed by itself; smaller ones together, since each sum has to wait."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: from 0; rank 0 writes. count: of all. on_machine: ranks on this machine.
    """

    rank: int = 0
    count: int = 1
    on_machine: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is one process."""
        return self.count == 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def part(self, size: int) -> slice:
        """Which rows of a batch of ``size`` this rank computes; sizes of parts differ by one at most."""
        return slice(size * self.rank // self.count, size * (self.rank + 1) // self.count)

    def sum(self, own: Tensor) -> Tensor:
        """The sum over all ranks; gradients go to this rank's own part."""
        if self.alone:
            return own
        return own + (self.total(own.detach()) - own.detach())

    def total(self, own: Tensor) -> Tensor:
        """The sum over all ranks, alike on all; no gradients.

        On CPUs a small tensor is gathered and added up here: gloo reduces in a ring, which waits four times as often.
        """
        if self.alone:
            return own
        if own.device.type == "cpu" and own.numel() < LARGE:
            return self.stack(own).sum(0)
        result = own.clone()
        with ended_as_error():
            dist.all_reduce(result)
        return result

    def mean(self, own: Tensor, size: int) -> Tensor:
        """A mean over the whole batch from the mean over this rank's part of it.

        Args:
            size: of the whole batch.
        """
        if self.alone:
            return own
        part = self.part(size)
        return self.sum(own * ((part.stop - part.start) / size))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by the sum over all ranks."""
        if self.alone:
            return
        large: list[Tensor] = []
        small: list[Tensor] = []
        for p in parameters:
            if p.grad is not None:
                fits = p.grad.numel() >= LARGE and is_dense(p) and lies_as(p.grad, p)
                (large if fits else small).append(p.grad)
        # Large ones as they lie in memory, which is alike on all ranks: nothing is copied.
        parts = [gradient.as_strided((gradient.numel(),), (1,)) for gradient in large]
        if small:
            parts.append(torch.cat([gradient.reshape(-1) for gradient in small]))
        with ended_as_error():
            for begun in [dist.all_reduce(part, async_op=True) for part in parts]:
                begun.wait()
        if small:
            pieces = parts[-1].split([gradient.numel() for gradient in small])
            for gradient, piece in zip(small, pieces, strict=True):
                gradient.copy_(piece.view_as(gradient))

    def stack(self, own: Tensor) -> Tensor:
        """(count, ...): the tensors of all ranks in order, which have one shape."""
        if self.alone:
            return own[None]
        with ended_as_error():
            found = [torch.empty_like(own) for _ in range(self.count)]
            dist.all_gather(found, own)
        return torch.stack(found)

    def gather(self, own: Tensor) -> list[Tensor]:
        """The (n, ...) tensors of all ranks, in order; n may differ, nothing else."""
        if self.alone:
            return [own]
        with ended_as_error():
            sizes = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(self.count)]
            dist.all_gather(sizes, torch.tensor([len(own)], device=own.device))
            lengths = [int(size) for size in sizes]
            padded = own.new_zeros((max(lengths), *own.shape[1:]))
            padded[: len(own)] = own
            found = [torch.empty_like(padded) for _ in range(self.count)]
            dist.all_gather(found, padded)
        return [rows[:length] for rows, length in zip(found, lengths, strict=True)]

    def least(self, own: int, device: torch.device) -> int:
        """The smallest of all ranks' whole numbers, so that all decide alike.

        Args:
            device: where this rank computes.
        """
        return min(int(one) for one in self.gather(torch.tensor([own], device=device)))

    def wait(self) -> None:
        """Until all ranks are here: what rank 0 wrote before may then be read."""
        if not self.alone:
            with ended_as_error():
                dist.barrier()

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by those of rank 0."""
        if not self.alone:
            with torch.no_grad(), ended_as_error():
                for tensor in tensors:
                    whole = tensor.detach().contiguous()
                    dist.broadcast(whole, 0)
                    tensor.copy_(whole)

    def agree(self, about: Mapping[str, str]) -> None:
        """Refuse ranks that differ.

        Args:
            about: by name what should be the same on all ranks.

        Raises:
            UsageError: names what differs, on every rank.
        """
        if self.alone:
            return
        text = torch.frombuffer(bytearray(json.dumps(dict(about)).encode()), dtype=torch.uint8)
        # A fingerprint first: where all are alike nothing else travels.
        own = torch.frombuffer(bytearray(hashlib.sha256(text.numpy().tobytes()).digest()), dtype=torch.uint8)
        device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else None
        prints = self.gather(own[None].to(device))
        if all(torch.equal(one, prints[0]) for one in prints):
            return
        found = [json.loads(bytes(one.cpu().numpy())) for one in self.gather(text.to(device))]
        lines = [
            f"{name}: rank 0 has {found[0][name]}, rank {rank} {other.get(name)}"
            for rank, other in enumerate(found)
            for name in found[0]
            if other.get(name) != found[0][name]
        ]
        raise UsageError(
            f"the ranks do not train the same: {'; '.join(lines)}. Start all with the same options, data and version "
            f"of tgkt-edge."
        )


ALONE = Ranks()


def open_ranks(device: torch.device) -> Ranks:
    """Join the ranks that ``torchrun`` (or another launcher that sets its variables) started; alone without one.

    On ranks beside the first nothing but errors is shown from now on.

    Raises:
        UsageError: the launcher's variables make no sense. TgktEdgeError: the others cannot be reached.
    """
    try:
        count, rank = (
            int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("RANK", "0"))
        )
        on_machine = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    except ValueError as error:
        raise UsageError(f"WORLD_SIZE, RANK and LOCAL_WORLD_SIZE: expected whole numbers: {error}") from error
    if count == 1:
        return ALONE
    if "RANK" not in os.environ or not 0 <= rank < count or not 1 <= on_machine <= count:
        words = ", ".join(
            f"{name}={os.environ.get(name, 'not set')}" for name in ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE")
        )
        raise UsageError(
            f"{words}: expected WORLD_SIZE of at least 1, RANK from 0 to WORLD_SIZE - 1, and LOCAL_WORLD_SIZE, if "
            f"set, from 1 to WORLD_SIZE. torchrun sets all three; without them one process trains alone."
        )
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"`device={device}`: several ranks train on CPUs or CUDA GPUs")
    if not dist.is_available():
        raise UsageError(
            f"WORLD_SIZE={count}: this torch {torch.__version__} was built without torch.distributed"
        )
    if not dist.is_initialized():
        place = ":".join(os.environ.get(name, "?") for name in ("MASTER_ADDR", "MASTER_PORT"))
        waiting = f"rank {rank} of {count}: waiting for the others at {place} (MASTER_ADDR, MASTER_PORT)"
        try:
            with said_after(PATIENCE_S, lambda: LOGGER.warning(waiting)):
                dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=WAIT)
        except (RuntimeError, ValueError) as error:
            raise TgktEdgeError(
                f"rank {rank} of {count} cannot reach the others: {str(error).partition(chr(10))[0]}. Start it by "
                f"torchrun, which sets the address where they meet."
            ) from error
        # Threads of the group that outlive the interpreter abort the process now and then, after all was done.
        atexit.register(_leave)
    if rank:
        LOGGER.setLevel(logging.ERROR)
    return Ranks(rank, count, on_machine)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def local_device(device: torch.device) -> torch.device:
    """The GPU of this rank where ``cuda`` means any: that of its number on the machine."""
    local = os.environ.get("LOCAL_RANK")
    if device.type != "cuda" or device.index is not None or local is None or not local.isdecimal():
        return device
    if int(local) >= torch.cuda.device_count():
        raise UsageError(
            f"`device={device}`: rank {local} of this machine would need a GPU of its own, and there are "
            f"{torch.cuda.device_count()}. Start as many processes as there are GPUs."
        )
    torch.cuda.set_device(int(local))
    return torch.device("cuda", int(local))


@contextlib.contextmanager
def said_after(seconds: float, say: Callable[[], object]) -> Iterator[None]:
    """Call ``say``, in a thread, if what is inside takes longer."""
    timer = threading.Timer(seconds, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def ended_as_error() -> Iterator[None]:
    """Say what it means that a collective failed."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise TgktEdgeError(
            f"another rank ended, or cannot be reached: {str(error).strip().partition(chr(10))[0][:200]}. Its own "
            f"message says why; `resume=True` continues after the last epoch that was saved."
        ) from error
