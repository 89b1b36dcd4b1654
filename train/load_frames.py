"""Reading the target frames, and refusing those that nothing can be learnt from."""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.loading import Frames, load_frames
from tgkt_edge.data.sets import blocks
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.run_folder.contents import DataDigests

FEWEST = 2
"""Images of each kind below which nothing can be trained."""


def load_target(
    path: str,
    sensor: SensorSpec,
    side: int,
    skip_bad: bool,
    progress: Progress,
    digests: DataDigests,
    cache: Cache | None,
) -> tuple[Frames, SensorSpec]:
    """The frames of the task, and ``sensor`` with its size pinned to theirs. Raises DataError."""
    target, pinned = load_frames(
        Path(path), sensor, side, skip_bad=skip_bad, progress=progress, digests=digests.target, cache=cache,
    )  # fmt: skip
    refuse_fewer("`target`", len(target))
    if all((block == target.codes[0]).all() for block in blocks(target.codes)):
        raise DataError(
            f"`target`: all {len(target)} frames are alike, pixel by pixel: nothing can be learnt from them. Check "
            f"that the sensor was not covered or frozen."
        )
    return target, pinned


def refuse_fewer(flag: str, found: int, beside: str = "") -> None:
    """Raise DataError where there are fewer than FEWEST images."""
    if found < FEWEST:
        raise DataError(
            f"{flag}: {found} image{'s' if found != 1 else ''}{beside}: BatchNorm needs at least {FEWEST}. Bring more."
        )
