"""How far TensorRT is while it builds, and Ctrl-C, which may end it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from tgkt_edge.trt import library as trt

Progress = Callable[[str, int, int], None]
"""Called with an outermost phase of the builder, steps done and steps in all."""

ProgressShown = Callable[[], AbstractContextManager[Progress]]
"""Entered when a build begins and left when it ends, e.g. a bar; gives what is called meanwhile."""


@contextmanager
def nothing_shown() -> Iterator[Progress]:
    """The :data:`ProgressShown` of a program that shows none."""
    yield lambda phase, done, total: None


@contextmanager
def watched(config: trt.IBuilderConfig, progress: Progress | None) -> Iterator[None]:
    """Report what the builder does within, and let Ctrl-C stop it.

    Nothing may be raised through TensorRT's C++ code: Ctrl-C is noted by a signal handler and the builder told to stop
    at its next step; a ``progress`` that raises is not called again.

    Raises:
        KeyboardInterrupt: on leaving, if Ctrl-C was pressed meanwhile.
    """
    interrupted = threading.Event()

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases: dict[str, int] = {}
            self.shows = progress

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self.phases[phase_name] = num_steps
                self.tell(phase_name, 0)

        def phase_finish(self, phase_name: str) -> None:
            if phase_name in self.phases:
                self.tell(phase_name, self.phases[phase_name])
                del self.phases[phase_name]

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.phases:
                self.tell(phase_name, step + 1)
            return not interrupted.is_set()

        def tell(self, phase: str, done: int) -> None:
            if self.shows is None:
                return
            try:
                self.shows(phase, done, self.phases[phase])
            except Exception:  # noqa: BLE001 # a closed terminal, say: the build goes on without
                self.shows = None

    def note(signum: int, frame: FrameType | None) -> None:
        interrupted.set()

    ours = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, note) if ours else None
    config.progress_monitor = Monitor()
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
    if interrupted.is_set():
        raise KeyboardInterrupt
