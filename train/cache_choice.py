"""Where decoded images are kept: in memory, or in a cache on disk where memory would not do or one was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.discovery import frame_places, labelled, matched, read_csv_columns
from tgkt_edge.data.recipes import Recipe
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.memory import available_memory, in_bytes
from tgkt_edge.train.continuing.shipped import old_frames_of
from tgkt_edge.train.run_folder.folder import RunInputs
from tgkt_edge.train.time_left import in_words

SHARE = 0.5
"""Of the memory that is free, which decoded images may take: networks, features and other programs need the rest."""

BESIDE = "tgkt-edge-cache"
"""Folder beside the run that is taken where none was given."""

EVERY_S = 10.0


def choose_cache(
    inputs: RunInputs,
    sensor: SensorSpec,
    side: int,
    out: Path,
    given: Path | None,
    say: Callable[[str], None],
    readers: int = 1,
    free: int | None = None,
    keep: int | None = None,
) -> Cache | None:
    """The cache to use; None: everything is decoded into memory.

    Args:
        side: of decoded images, pixels. out: the run folder. given: what was asked for.
        say: told when memory would not do, with the figures.
        readers: processes on this machine that each hold all images.
        free: bytes of memory; None: as measured. keep: labelled images that are read at most; None: all.

    Raises:
        UsageError: ``given`` is a file. TgktEdgeError: the folder cannot be made.
    """
    if given is not None:
        return Cache(given, say)
    free = available_memory() if free is None else free
    if free is None:
        return None
    try:
        needed = readers * decoded_bytes(inputs, sensor, side, keep)
    except TgktEdgeError:
        return None  # reading says better what is wrong
    if needed <= SHARE * free:
        return None
    folder = out.resolve().parent / BESIDE
    say(
        f"decoded images take {in_bytes(needed)}, and {in_bytes(free)} of memory are free: they are kept in {folder} "
        f"(`cache` names another place), which other runs share and which may be deleted afterwards"
    )
    return Cache(folder, say)


def decoded_bytes(inputs: RunInputs, sensor: SensorSpec, side: int, keep: int | None = None) -> int:
    """Bytes of all images once they are decoded, of labelled ones ``keep`` at most. Raises TgktEdgeError: they cannot
    be listed."""
    total = len(frame_places(Path(inputs.target), "`target`")) * Recipe("frames", side, sensor).row_bytes
    old = old_frames_of(inputs)
    if old is not None:
        total += len(frame_places(old, "`old_frames`")) * Recipe("frames", side, sensor).row_bytes
    if inputs.source is not None:
        images = len(labelled(Path(inputs.source), "`source`", "image")[0])
        total += (images if keep is None else min(images, keep)) * Recipe("images", side).row_bytes
    if inputs.paired is not None:
        path = Path(inputs.paired)
        pairs = read_csv_columns(path, "`paired`", ("rgb",))["rgb"] if path.is_file() else matched(path)[0]
        total += len(pairs) * Recipe("pairs", side, sensor).row_bytes
    return total


def read_progress(say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Progress:
    """Lines of what takes longer than ten seconds to be read, with the time that is left."""
    began: dict[str, float] = {}
    told: dict[str, float] = {}

    def progress(what: str, done: int, total: int) -> None:
        now = clock()
        start = began.setdefault(what, now)
        if now - told.setdefault(what, now) >= EVERY_S:
            told[what] = now
            left = (now - start) / max(done, 1) * (total - done)
            say(f"{what}: {done}/{total} ETA {in_words(left)}")

    return progress
