"""Resume state of a stage: its modules and optimizers after a whole number of epochs.

All randomness of an epoch comes from (seed, stage, epoch), so modules, optimizers and the epoch are the whole state.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.nn.checkpoint import load_tensors, save_tensors


class StageState:
    """Saves and restores one stage. ``extra`` holds the extra tensors that :meth:`load` found.

    Args:
        path: file of the state; None keeps nothing (a run without a folder).
        writes: whether this process saves it; other ranks read it alone.
        every_s: seconds between two saves; saving costs about as much as a tenth of an epoch on a CPU.
    """

    def __init__(self, path: Path | None, every_s: float, writes: bool = True) -> None:
        self.path, self._every_s, self._writes = path, every_s, writes
        self.extra: dict[str, Tensor] = {}
        self._last = time.monotonic()

    def save(
        self,
        epoch: int,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        extra: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Keep the state after ``epoch`` epochs, if the last save is long enough ago."""
        if self.path is None or not self._writes or time.monotonic() - self._last < self._every_s:
            return
        tensors = {f"extra/{name}": value.cpu().clone() for name, value in (extra or {}).items()}
        for name, module in modules.items():
            tensors.update(
                {f"{name}/{key}": value.cpu().clone() for key, value in module.state_dict().items()}
            )
        for name, optimizer in optimizers.items():
            for number, slots in optimizer.state_dict()["state"].items():
                for slot, value in slots.items():
                    if isinstance(value, Tensor):
                        tensors[f"{name}/{number}/{slot}"] = value.cpu().clone()
        save_tensors(self.path, {key: value.contiguous() for key, value in tensors.items()}, {"epoch": epoch})
        self._last = time.monotonic()

    def load(self, modules: Mapping[str, nn.Module], optimizers: Mapping[str, torch.optim.Optimizer]) -> int:
        """Restore what was saved and return how many epochs are done; 0 if nothing was saved."""
        if self.path is None or not self.path.is_file():
            return 0
        tensors, about = load_tensors(self.path)
        try:
            for name, module in modules.items():
                module.load_state_dict(_below(tensors, name))
            for name, optimizer in optimizers.items():
                state: dict[int, dict[str, Tensor]] = {}
                for key, value in _below(tensors, name).items():
                    number, slot = key.split("/")
                    state.setdefault(int(number), {})[slot] = value
                optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            self.extra = _below(tensors, "extra")
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{self.path}: resume state of another configuration: {error}") from error
        return int(about["epoch"])

    def clear(self) -> None:
        """Remove the state once the stage's checkpoint is written."""
        if self.path is not None and self._writes:
            self.path.unlink(missing_ok=True)


def _below(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")
    }
