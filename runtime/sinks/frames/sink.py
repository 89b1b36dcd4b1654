"""``frames:DIR``: what comes home from the field. A random part for honest accuracy, the rest for adapting.

DIR/random, DIR/uncertain, DIR/novel are each a folder as ``tgkt-edge record`` writes it; DIR/policy.json says how they
were chosen. The random part is chosen first, by nothing but chance, and what it takes lies nowhere else: accuracy
measured on it is that of the frames the camera saw. The others are chosen for being difficult: accuracy measured on
them would be too low.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgkt_edge.errors import ConfigError, FrameError, TgktEdgeError, UsageError
from tgkt_edge.io.recording_format import NOVEL, POLICY, RANDOM
from tgkt_edge.runtime.events import UpdateEvent
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.frames.part import Part
from tgkt_edge.runtime.sinks.frames.policy import (
    LEAST,
    PARTS,
    digest_of,
    draw,
    novelty,
    small_picture,
    uncertainty,
)
from tgkt_edge.runtime.sinks.frames.policy_file import read_policy_file, write_policy_file
from tgkt_edge.sensor import SensorSpec

LOCK = ".lock"
OVERHEAD = 64 << 10
"""Bytes of the budget for all that is no frame."""


class FramesSink(Sink):
    """Keeps frames with their decisions, each once, within ``budget`` bytes.

    Args:
        folder: new, empty, or of an earlier run with this sensor. policy: share of the budget, by part.
        spacing: seconds between two frames that are kept for being uncertain, or for being novel: of those closer
            together the one with the higher score. reserve: bytes of the disk that stay free.
    """

    lossless = False  # a frame that comes while one is written is not looked at

    def __init__(
        self, folder: Path, *, budget: int, policy: Mapping[str, float], spacing: float, reserve: int
    ) -> None:
        self.name = f"frames:{folder}"
        self._folder, self._budget, self._policy = folder, budget, dict(policy)
        self._spacing, self._reserve = spacing, reserve
        self._parts: dict[str, Part] = {}
        self._held: set[str] = set()
        self._newest: dict[str, tuple[float, int]] = {}  # by part: time and number of what was kept last
        self._state: dict[str, Any] = {}
        self._lock = -1
        self._failed: Exception | None = None  # why the last frame worth it could not be kept

    def open(self, info: RunInfo) -> None:
        """Create the folder, or continue an earlier one.

        Raises:
            UsageError: (exit 2) it holds something else, frames of another sensor, or a part that the policy does not
                name; another run writes it; the budget is smaller than a frame.
        """
        self._info, self._spec = info, info.sensor
        if isinstance(info.sensor.size, tuple):
            width, height = info.sensor.size
            self._check_budget(width * height * info.sensor.numpy_dtype.itemsize)
        try:
            if (
                self._folder.exists()
                and not (self._folder / POLICY).is_file()
                and any(self._folder.iterdir())
            ):
                raise self._refusal(f"the folder holds other things (no {POLICY}). Choose a new or empty one")
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._take_up()
            self._write_state()
        except BlockingIOError:
            self.close()
            raise self._refusal("another run is writing it; give each its own folder") from None
        except OSError as error:
            self.close()
            raise self._refusal(f"cannot be written: {error.strerror or error}") from error
        except BaseException:
            self.close()
            raise

    def write(self, message: Message) -> None:
        """Keep the frame of a decision, if it is worth it. Raises OSError: the disk refused, or is nearly full."""
        record, frame = message.record, message.frame
        if isinstance(record, UpdateEvent):
            self._info = self._info.after(record)
        if not isinstance(record, Decision) or frame is None:
            return
        digest = digest_of(frame)
        if digest in self._held:
            self._state["duplicates"] += 1
            return
        self._state["seen"] += 1
        # By chance first; of the other parts the emptier one, since a frame may be worth both.
        for name, part in sorted(self._parts.items(), key=lambda one: (one[0] != RANDOM, one[1].fill)):
            picture = small_picture(frame, self._spec) if name == NOVEL else None
            score = self._score(name, record, digest, picture)
            if score < LEAST[name] or not part.wants(score) or not self._is_next(name, record.time, score):
                continue
            try:
                self._check_disk(frame.nbytes)
                self._fits_sensor(frame)
                kept, gone = part.add(frame, self._spec, score, digest, self._about(record), picture)
            except (OSError, TgktEdgeError) as error:
                self._failed = error
                raise
            self._failed = None
            self._held.difference_update(one.digest for one in gone)
            if kept:
                self._held.add(digest)
                self._space(name, part, record.time)
                return
        if self._failed is not None:
            raise self._failed  # nothing was tried: it is not known to work again

    def close(self) -> None:
        """Write how the frames were chosen. Twice is harmless."""
        if self._lock < 0:
            return
        with contextlib.suppress(OSError, TgktEdgeError):
            if self._state:
                self._write_state()
        os.close(self._lock)
        self._lock = -1

    def _score(self, name: str, decision: Decision, digest: str, picture: Any) -> float:
        if name == RANDOM:
            return draw(self._state["salt"], digest)
        if name == NOVEL:
            kept = self._parts[name].kept
            pictures = {n: one.picture for n, one in kept.items() if one.picture is not None}
            return novelty(picture, pictures)
        return uncertainty(decision)

    def _is_next(self, name: str, time: float, score: float) -> bool:
        """Whether it is time for another frame of a part, or this one is better than its last."""
        if name == RANDOM or name not in self._newest:
            return True
        last, number = self._newest[name]
        kept = self._parts[name].kept.get(number)
        return not 0 <= time - last < self._spacing or kept is None or score > kept.score

    def _space(self, name: str, part: Part, time: float) -> None:
        """A better frame than the last one takes the place of that, not one beside it."""
        if name == RANDOM:
            return
        number = max(part.kept)
        before = self._newest.get(name)
        self._newest[name] = (time, number)
        if before is not None and 0 <= time - before[0] < self._spacing and before[1] in part.kept:
            self._held.discard(part.remove(before[1]).digest)
            self._newest[name] = (before[0], number)

    def _about(self, decision: Decision) -> dict[str, Any]:
        return {
            "time": decision.time,
            "decision": decision.to_dict(),
            "run": self._info.run,
            "bundle": self._info.bundle,
        }

    def _take_up(self) -> None:
        try:
            before = read_policy_file(self._folder)
        except (ValueError, KeyError, TypeError) as error:
            raise self._refusal(f"its {POLICY} is damaged ({error}). Choose another folder") from error
        self._state = {"salt": secrets.token_hex(8), "floor": -1.0, "seen": 0, "duplicates": 0, **before}
        for name in PARTS:
            folder = self._folder / name
            if name not in self._policy:
                if folder.is_dir():
                    raise self._refusal(
                        f"holds a part '{name}', which the policy does not name: its frames would "
                        f"not be counted. Name it, or move it away"
                    )
                continue
            part = Part(
                folder,
                int(self._policy[name] * (self._budget - OVERHEAD)),
                self._state["floor"] if name == RANDOM else -1.0,
            )
            part.before_forgetting = self._write_state  # type: ignore[method-assign]
            self._check_sensor(part)
            part.open()
            self._held.update(one.digest for one in part.kept.values())
            self._parts[name] = part
        for part in self._parts.values():
            self._held.difference_update(one.digest for one in part.shrink())

    def _check_sensor(self, part: Part) -> None:
        try:
            there = part.spec()
        except ConfigError as error:
            raise self._refusal(str(error).rstrip(".")) from error
        if there is None:
            return
        given = self._spec if isinstance(self._spec.size, tuple) else self._spec_of_size(there.size)
        if there != given:
            raise self._refusal("holds frames of another sensor. Choose another folder")
        self._spec = there

    def _spec_of_size(self, size: Any) -> SensorSpec:
        return dataclasses.replace(self._spec, size=size)

    def _fits_sensor(self, frame: Any) -> None:
        if self._spec.size is None:
            self._check_budget(frame.nbytes)
            self._spec = self._spec.with_size(frame.shape[1], frame.shape[0])
        try:
            self._spec.check(frame, "frame")
        except FrameError as error:
            raise OSError(errno.EINVAL, f"{error} Choose another folder for these frames.") from error

    def _check_budget(self, nbytes: int) -> None:
        """Raise UsageError where a part has no room for one frame, even if it cannot be compressed at all."""
        least = min(self._policy.values())
        if least * (self._budget - OVERHEAD) < 1.1 * nbytes + 4096:
            needed = (1.1 * nbytes + 4096) / least + OVERHEAD
            raise self._refusal(
                f"budget_mb={self._budget / 1e6:g} leaves {least * self._budget / 1e6:.2g} MB for a part, and one "
                f"frame may take {nbytes / 1e6:.2g} MB. Give at least budget_mb={-(-needed // 1e6):.0f}"
            )

    def _check_disk(self, nbytes: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if free < self._reserve + 2 * nbytes:
            raise OSError(
                errno.ENOSPC, f"the disk is nearly full ({free / 1e6:.0f} MB left), no frames are kept"
            )

    def _write_state(self) -> None:
        random = self._parts.get(RANDOM)
        if random is not None:
            self._state["floor"] = random.floor
        shares = {
            name: {"share": self._policy[name], "frames": len(part.kept)}
            for name, part in self._parts.items()
        }
        write_policy_file(self._folder, self._budget, shares, self._state)

    def _refusal(self, why: str) -> UsageError:
        return UsageError(f"`sinks={self.name}`: {why}")
