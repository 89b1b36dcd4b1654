"""What the stages of a run share, and how one is trained, timed and kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, save_checkpoint
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator, frozen
from tgkt_edge.train.nn.predict import refuse_diverged
from tgkt_edge.train.resume_state import StageState
from tgkt_edge.train.run_folder.folder import Run

N = TypeVar("N", Classifier, Translator)
R = TypeVar("R")


@dataclass(frozen=True)
class RunContext:
    """Where a run is kept, how it is computed, and who hears of it.

    Attributes:
        features: folder of features: the run's own, which is deleted in the end, or one that runs share.
    """

    run: Run
    features: Path
    config: AdaptConfig
    compute: Compute
    log: RunLog

    def state(self, stage: str) -> StageState:
        """What an unfinished stage keeps after each epoch."""
        file = self.run.path / "state" / f"{stage}.safetensors"
        return StageState(file, self.config.save_every_s, self.compute.ranks.first)

    def timed(self, stage: str, train: Callable[[], R]) -> R:
        """What ``train`` returns; its seconds and memory are logged."""
        self.compute.reset_memory()
        start = time.monotonic()
        self.log.begin(stage)
        found = train()
        self.log.end(stage)
        seconds, peak = time.monotonic() - start, self.compute.peak_memory()
        self.log.record({"stage": stage, "event": "done", "seconds": round(seconds, 3), "peak_bytes": peak})
        self.log.say(f"{stage}: done in {seconds:.0f} s")
        return found


@dataclass(frozen=True)
class Stages(RunContext):
    """What every stage after the source model works with.

    Attributes:
        source: the source model, or the shipped network that is continued; frozen, on the device.
        header: of its checkpoint. about: of the networks that are trained, but for their kind.
        target: the target frames.
    """

    source: Classifier
    header: Header
    about: Header
    target: Store

    def network(
        self, stage: str, kind: str, load: Callable[[Path], N], train: Callable[[StageState], N]
    ) -> N:
        """The network of a stage, frozen, on the device: from its checkpoint, or trained and saved.

        Args:
            kind: what its checkpoint says it is. train: goes on from the state that it is given.

        Raises:
            TgktEdgeError: its training diverged; nothing was saved.
        """
        file = self.run.stages(self.config)[stage]
        if file.is_file():
            return frozen(self.compute.place(load(file)))
        state = self.state(stage)
        network = self.timed(stage, lambda: train(state))
        self.refuse_diverged(stage, network)
        if self.compute.ranks.first:
            save_checkpoint(file, network, dataclasses.replace(self.about, kind=kind))
        state.clear()
        return frozen(self.compute.place(network))

    def student(self, stage: str, train: Callable[[StageState], Classifier]) -> Classifier:
        """The target network of a stage, see :meth:`network`."""
        return self.network(stage, "target", lambda path: load_classifier(path, "target")[0], train)

    def refuse_diverged(self, stage: str, network: Classifier | Translator) -> None:
        """Raise TgktEdgeError where a network's answers to the target frames are not finite."""
        size, batch = self.config.image_size, self.config.batch
        refuse_diverged(stage, network, self.source, self.target, size, batch, self.compute)
