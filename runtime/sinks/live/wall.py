"""What viewers see of several cameras: each camera's newest, and the worst of their states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tgkt_edge.runtime.sinks.base import RunInfo
from tgkt_edge.runtime.sinks.live.state import LiveState

_WORST_FIRST = ("lost", "stalled", "silent", "connecting", "live")


class Wall:
    """The states of all cameras as one; see :class:`LiveState` for what the methods return of each.

    Args:
        states: by name of the camera, at least one.
        info: of the run.
    """

    def __init__(self, states: Mapping[str, LiveState], info: RunInfo) -> None:
        self.states, self._info = dict(states), info

    @property
    def info(self) -> RunInfo:
        """What runs now."""
        now = next(iter(self.states.values())).info
        return replace(self._info, bundle=now.bundle, engine=now.engine, precision=now.precision)

    @property
    def version(self) -> int:
        """Grows with every message."""
        return sum(state.version for state in self.states.values())

    @property
    def now(self) -> float:
        """Seconds since the run started."""
        return next(iter(self.states.values())).now

    def update(self, since: int = 0) -> dict[str, Any]:
        """Everything for the wall: of each camera all but the timeline and the events, and the worst state."""
        version, now = self.version, self.now
        cameras = {}
        for name, state in self.states.items():
            cameras[name] = state.update(int(now) + 1)  # no rows of the timeline
            for key in ("timeline", "events", "version", "now"):
                del cameras[name][key]
        return {
            "version": version,
            "now": round(now, 2),
            "state": self.verdict()[1]["state"],
            "cameras": cameras,
        }

    def latest(self) -> dict[str, Any]:
        """Of each camera."""
        return {"cameras": {name: state.latest() for name, state in self.states.items()}}

    def timeline(self) -> dict[str, Any]:
        """Of each camera."""
        return {"cameras": {name: state.timeline() for name, state in self.states.items()}}

    def verdict(self) -> tuple[bool, dict[str, Any]]:
        """Whether every camera is well; the worst state with its reason, and that of each."""
        each = {name: state.verdict()[1] for name, state in self.states.items()}
        worst = min(each, key=lambda name: _WORST_FIRST.index(each[name]["state"]))
        well = all(one["ok"] for one in each.values())
        return well, {**each[worst], "ok": well, "camera": worst, "cameras": each}
