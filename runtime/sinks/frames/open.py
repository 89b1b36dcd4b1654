"""What ``--sink frames:DIR?options`` asks for, and the sinks that do it: one, or one for each camera with a name."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from tgkt_edge.data.discovery import escape_name
from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.sinks.base import Sink
from tgkt_edge.runtime.sinks.frames.policy import parse_policy
from tgkt_edge.runtime.sinks.frames.sink import FramesSink
from tgkt_edge.runtime.sinks.per_camera import SinkPerCamera
from tgkt_edge.runtime.sinks.uri_options import Options, file_path

OPTIONS = ("budget_mb", "policy", "spacing", "reserve_mb")


def open_frames(rest: str) -> Sink:
    """The sink of ``frames:rest``.

    Options: ``budget_mb=500`` that the folder never exceeds; ``policy=random:0.2,uncertain:0.4,novel:0.4``, shares of
    it; ``spacing=10`` seconds between two frames that are kept for being uncertain or novel; ``reserve_mb=64`` of the
    disk that stay free. Cameras with names have a folder each, DIR/NAME, share the budget equally, and have DIR to
    themselves: what else lies there would not be counted.

    Raises:
        UsageError: no folder, or a bad option.
        MissingDependency: (exit 6, extra ``cpu``) OpenCV is not installed.
    """
    folder, _, text = rest.partition("?")
    name = f"frames:{folder}"
    options = Options(name, text, OPTIONS)
    if not folder or folder == "-":
        raise UsageError(f"`sinks={name}`: expected frames:DIR")
    require("cv2", "cpu", "`sinks=frames:`")
    place = file_path("frames", folder)
    budget = round(options.number("budget_mb", 500, 1, 1e9) * 1e6)
    make = partial(
        FramesSink,
        policy=parse_policy(name, options.text("policy")),
        spacing=options.number("spacing", 10, 0, 1e6),
        reserve=round(options.number("reserve_mb", 64, 0, 1e9) * 1e6),
    )
    return SinkPerCamera(
        lambda camera, count: make(place / camera if camera else place, budget=budget // count),
        partial(_refuse_others, name, place),
    )


def _refuse_others(sink: str, folder: Path, cameras: Collection[str]) -> None:
    """Raise UsageError if a folder for cameras with names holds anything else."""
    if "" in cameras:
        return  # the sink itself looks
    try:
        others = sorted(path.name for path in folder.iterdir() if path.name not in cameras)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"`sinks={sink}`: cannot be read: {error.strerror or error}") from error
    if not others:
        return
    listed = ", ".join(map(escape_name, others[:5])) + (
        f" and {len(others) - 5} more" if len(others) > 5 else ""
    )
    raise UsageError(
        f"`sinks={sink}`: holds {listed}, of no camera of this run ({', '.join(cameras)}): it would not be counted. "
        f"Move it away, give the cameras the names they had, or choose another folder"
    )
