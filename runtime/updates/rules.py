"""What is watched and what a new bundle must pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.cameras.names import Camera
from tgkt_edge.runtime.updates.gates import Gate, parse_gates
from tgkt_edge.sensor import SensorSpec

_MOST = 1000  # frames that are kept in memory to compare on


@dataclass(frozen=True)
class Rules:
    """What is watched and what a new bundle must pass.

    Attributes:
        path: the bundle as the user named it: a link, or a folder whose contents change.
        engine, precision, sensor: see :func:`tgkt_edge.runtime.model.load`.
        gates: all must be passed.
        frames: newest frames that both are compared on.
        poll: seconds between two looks at ``path``.
        patience: seconds that are waited for so many frames; then those that are there have to do.
        trust: public keys, of which one must have signed it; none: it needs no signature.
    """

    path: Path
    engine: str = "auto"
    precision: str = "fp32"
    sensor: str | SensorSpec | None = None
    gates: tuple[Gate, ...] = ()
    frames: int = 32
    poll: float = 0.5
    patience: float = 10.0
    trust: tuple[Path | str, ...] = ()


def watch_rules(
    path: Path,
    watch: bool,
    gates: Sequence[str],
    frames: int,
    poll: float,
    engine: str,
    precision: str,
    camera: Camera,
    trust: Sequence[Path | str] = (),
) -> Rules | None:
    """The rules of a run; None: it does not watch its bundle.

    Args:
        camera: the first; one without a name has the sensor of the run. trust: see :class:`Rules`.

    Raises:
        UsageError: (exit 2) a gate that is none, gates without ``watch``, a number of frames out of range.
    """
    parsed = parse_gates(gates)
    if not 1 <= frames <= _MOST:
        raise UsageError(f"`update_frames={frames}`: expected 1 to {_MOST}")
    if not watch:
        if gates:
            raise UsageError(f"`update_gates={gates[0]}` is for bundles that come during a run: `watch=True`")
        return None
    sensor = None if camera.name else camera.sensor
    return Rules(path, engine, precision, sensor, parsed, frames, poll, trust=tuple(trust))
