"""A thread looks for a new bundle, loads and measures it; the deciding thread takes it over between two frames."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tgkt_edge.bundle.bundle import MANIFEST
from tgkt_edge.io.addresses import redacted
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.notes import LOADER
from tgkt_edge.runtime.cameras.batches import measure_batches, worth_it
from tgkt_edge.runtime.engines.calibrated import uncalibrated
from tgkt_edge.runtime.events import UpdateEvent
from tgkt_edge.runtime.model import Model
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks.base import Message
from tgkt_edge.runtime.updates.candidate import Seen, compare, damage_of, load_beside
from tgkt_edge.runtime.updates.gates import Comparison, Gate
from tgkt_edge.runtime.updates.rules import Rules
from tgkt_edge.sensor import SensorSpec

_HURRY = 0.1  # seconds for the thread, when the run has ended

Key = tuple[tuple[str, int, int, int], ...]


class Requests:
    """What asks for an update: the page's server, and a signal."""

    def __init__(self) -> None:
        self._asked: deque[bool] = deque()
        self._bell = threading.Event()

    def ask(self, back: bool = False) -> None:
        """Look at the bundle now, also if it was refused before; ``back``: return to the one before."""
        self._asked.append(back)
        self._bell.set()

    def hang_up(self) -> None:
        """As :meth:`ask`, from a signal handler, which may take no lock: heard at the next look."""
        self._asked.append(False)

    def wait(self, seconds: float) -> list[bool]:
        """What was asked for within ``seconds``, in order."""
        self._bell.wait(seconds)
        self._bell.clear()
        found = []
        while self._asked:
            found.append(self._asked.popleft())
        return found


@dataclass(frozen=True)
class Change:
    """What the deciding thread is to do between two frames.

    Attributes:
        event: for the records. model: takes over; None: the old one stays. sizes: batches that gain with it.
    """

    event: UpdateEvent
    model: Model | None = None
    sizes: Sequence[int] = (1,)


class Updater:
    """Watches the bundle of a run for changes; a context manager that ends its thread and closes the model in use.

    The deciding thread calls :meth:`see` with what was answered and :meth:`take` between two frames.

    Args:
        model: in use now; it is closed when another has taken over, or at the end.
        spec: the SensorSpec of its bundle.
        sensors: by camera, how its frames are written; "" is the camera without a name.

    Attributes:
        accepted, refused: how many bundles so far.
    """

    def __init__(
        self,
        rules: Rules,
        model: Model,
        spec: SensorSpec,
        sensors: Mapping[str, SensorSpec],
        requests: Requests,
    ) -> None:
        self._rules, self._spec, self._sensors = rules, spec, dict(sensors)
        self._requests = requests
        self.model = model
        self.accepted = self.refused = 0
        self._folder = Path(os.path.realpath(rules.path))
        self._good: tuple[Path, str | None] | None = None  # folder and digest of the bundle before
        self._looked: Key | None = _key(rules.path)
        self._lock = threading.Lock()
        self._seen: deque[Seen] = deque(maxlen=rules.frames)
        self._change: Change | None = None
        self._taken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name=LOADER, daemon=True)

    def see(self, message: Message) -> None:
        """Remember an answered frame, to compare a new bundle on."""
        record = message.record
        if isinstance(record, Decision) and message.frame is not None and record.top:
            with self._lock:
                self._seen.append(Seen(message.frame, record.camera, record.top[0].label))

    def take(self) -> Change | None:
        """The pending change, or None, without waiting. Its model, if it has one, answers from the next frame on."""
        if self._change is None:
            return None
        with self._lock:
            change, self._change = self._change, None
            if change is not None and change.model is not None:
                self._seen.clear()  # the next one is compared with this one's answers
        if change is not None:
            self.accepted += change.event.state == "accepted"
            self.refused += change.event.state == "refused"
            if change.model is not None:
                before, self.model = self.model, change.model
                before.close()
            self._taken.set()
        return change

    def __enter__(self) -> Updater:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._requests.ask()
        self._taken.set()
        self._thread.join(_HURRY)
        if (
            self._thread.is_alive()
        ):  # loading, which nothing can break off, and the interpreter may not end below it
            atexit.register(self._thread.join)
        self.model.close()

    # Everything below runs in the updater's thread.

    def _work(self) -> None:
        due = requested = False
        while not self._stopping:
            asked = self._requests.wait(self._rules.poll)
            for back in asked:
                if back and not self._stopping:
                    self._go_back()
            requested = requested or False in asked
            due = self._changed() or due or requested
            # A gate is about frames: while the camera is away, the new bundle waits.
            if due and not self._stopping and (self._seen or not self._rules.gates):
                self._try_new(asked=requested)
                due = requested = False

    def _changed(self) -> bool:
        """Whether the bundle is another than at the last look, and no longer being written."""
        key = _key(self._rules.path)
        if key == self._looked:
            return False
        time.sleep(min(self._rules.poll, 0.1))
        again = _key(self._rules.path)
        if again != key:
            return False  # at the next look
        self._looked = key
        return True

    def _try_new(self, asked: bool) -> None:
        folder = Path(os.path.realpath(self._rules.path))
        digest = _digest(folder)
        if digest is not None and digest == self.model.digest:
            # The manifests are equal, and the files are what they say: of another copy that may be wrong.
            why = damage_of(folder, self._rules.trust)
            if why:
                self._tell(self._event("refused", folder, digest, why))
                return
            self._folder = folder
            if asked:
                self._tell(self._event("unchanged", folder, digest, "it is the bundle that answers"))
            return
        self._try(folder, digest, self._rules.gates, superseded=True)

    def _go_back(self) -> None:
        if self._good is None:
            self._tell(self._event("refused", self._folder, None, "there is no bundle before this one"))
            return
        folder, digest = self._good
        if _digest(folder) != digest:
            why = (
                "the bundle before is no longer there. Keep each bundle in a folder of its own, and let a link lead to "
                "the one in use"
            )
            self._tell(self._event("refused", folder, digest, why))
            return
        self._try(folder, digest, (), superseded=False)

    def _try(self, folder: Path, digest: str | None, gates: Sequence[Gate], *, superseded: bool) -> None:
        """Load, compare, hand over; or say why not."""
        model: Model | None = None
        comparison = Comparison()
        try:
            rules = self._rules
            model = load_beside(
                folder,
                self.model,
                self._spec,
                engine=rules.engine,
                precision=rules.precision,
                sensor=rules.sensor,
                trust=rules.trust,
            )
            comparison = compare(self.model, model, self._frames(), self._sensors)
            why = "; ".join(filter(None, (gate.failed(comparison) for gate in gates)))
            there = Path(os.path.realpath(rules.path))
            if not why and superseded and (there != folder or _digest(folder) != model.digest):
                why = f"{rules.path} is another bundle by now"
            sizes: Sequence[int] = (1,)
            if not why and len(self._sensors) > 1 and model.engine.lanes == 1:
                sizes = worth_it(measure_batches(uncalibrated(model.engine), model.size, len(self._sensors)))
        except Exception as error:  # noqa: BLE001 - whatever a new bundle does wrong, the old one goes on
            why = str(error) or type(error).__name__
        if why or model is None:
            if model is not None:
                model.close()
            self._tell(self._event("refused", folder, digest, why, comparison))
            return
        before = (self._folder, self.model.digest)
        event = self._event("accepted", folder, model.digest, "", comparison, model)
        if self._tell(event, model, sizes):
            self._folder, self._good = folder, before
        else:
            model.close()

    def _frames(self) -> list[Seen]:
        """The newest frames, as many as are asked for or come in time."""
        end = time.monotonic() + self._rules.patience
        while True:
            with self._lock:
                seen = list(self._seen)
            if len(seen) >= self._rules.frames or time.monotonic() > end or self._stopping:
                return seen
            time.sleep(0.02)

    def _event(
        self,
        state: str,
        folder: Path,
        digest: str | None,
        why: str,
        comparison: Comparison | None = None,
        model: Model | None = None,
    ) -> UpdateEvent:
        engine: Any = None if model is None else model.engine
        return UpdateEvent(
            time=time.time(),
            state=state,
            bundle=digest,
            before=self.model.digest,
            path=redacted(str(folder)),
            detail=why,
            engine="" if engine is None else engine.name,
            precision=getattr(engine, "precision", None),
            comparison=None if comparison is None else comparison.to_dict(),
        )

    def _tell(self, event: UpdateEvent, model: Model | None = None, sizes: Sequence[int] = (1,)) -> bool:
        """Hand a change to the deciding thread and wait until it is taken. False: the run has ended."""
        self._taken.clear()
        with self._lock:
            self._change = Change(event, model, sizes)
        while not self._stopping and not self._taken.wait(0.2):
            pass
        with self._lock:
            left, self._change = self._change, None
        return left is None


def _digest(folder: Path) -> str | None:
    """Of the bundle that lies there; None: there is none that can be read."""
    try:
        return sha256_of(folder / MANIFEST)
    except OSError:
        return None


def _key(path: Path) -> Key | None:
    """What changes when another bundle lies at ``path``, or none; None: what lies there cannot be read."""
    folder = os.path.realpath(path)
    found = [(folder, 0, 0, 0)]
    try:
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                status = os.stat(os.path.join(place, name))
                found.append((os.path.join(place, name), status.st_size, status.st_mtime_ns, status.st_ino))
    except OSError:
        return None
    return tuple(sorted(found))
