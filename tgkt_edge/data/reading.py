"""From listed items to decoded rows, in memory or in a file of the cache; every unusable item is reported at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.bad_files import Progress, name_of, read_all, report_bad
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.cache.fill import fill
from tgkt_edge.data.digests import FileDigests
from tgkt_edge.data.recipes import Item, MemoryRows, Recipe, Values
from tgkt_edge.data.sets import take_rows
from tgkt_edge.data.size import reader_of
from tgkt_edge.errors import DataError
from tgkt_edge.io.recording_format import video_frames
from tgkt_edge.notes import note

Fields = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Reading:
    """How a set is read.

    Attributes:
        what: what messages call the set. skip_bad: whether unusable items may be left out.
        digests: told what each file held. cache: where decoded rows are kept; None: in memory.
    """

    what: str
    skip_bad: bool = False
    progress: Progress | None = None
    digests: FileDigests | None = None
    cache: Cache | None = None

    def items(
        self, recipe: Recipe, items: Sequence[Item], ahead: Callable[[Path], NDArray[Any]] | None = None
    ) -> tuple[Fields, list[int]]:
        """Decode items; returns the fields' rows and the numbers of the items that they are of.

        Args:
            ahead: reads a frame, perhaps one that was read before.

        Raises:
            DataError: unusable items, named with reasons, unless they may be left out and others are left.
        """
        if self.cache is None:
            rows = MemoryRows(recipe, len(items))
            reader = reader_of(self.digests)

            def read(number: int) -> None:
                rows.write(number, recipe.read(items[number], reader, ahead))

            bad = read_all(items, read, self.what, self.progress)
            return self._kept(rows.arrays, bad, lambda number, reason: name_of(items[number], reason))
        digests = self.digests or FileDigests()
        file = self.cache.open(recipe, items, digests, self.what, self.progress)
        if file.missing:
            known = digests.of([one for item in items for one in item])
            bad = fill(file, recipe, items, known, self.what, self.progress)
            self.cache.publish(file)
        else:
            bad = []
        return self._kept(file.arrays, bad, lambda number, reason: name_of(items[number], reason))

    def video(self, recipe: Recipe, path: Path, positions: Sequence[int]) -> tuple[Fields, list[int]]:
        """Decode those frames of a video, in ascending order of ``positions``: they are not all held in memory at once.

        Returns:
            As :meth:`items`, numbers being those of ``positions``.
        """
        file = None
        if self.cache is not None:
            items = [(path,)] * len(positions)
            digests = self.digests or FileDigests()
            file = self.cache.open(recipe, items, digests, self.what, self.progress, positions)
        rows = file or MemoryRows(recipe, len(positions))
        bad, absent = _from_video(recipe, path, positions, set(rows.missing), rows.write, self)
        if file is not None and self.cache is not None and file.missing:
            self.cache.publish(file)
        if len(absent) == len(positions):
            raise DataError(f"{self.what}: {path.name} holds no frame: the recording was cut off")
        if absent:
            note(
                f"{self.what}: {path.name} ends before {len(absent)} of {len(positions)} frames that are listed: it "
                f"was cut off"
            )
        return self._kept(rows.arrays, bad, lambda number, _: f"{path}:{positions[number]}", absent)

    def _kept(
        self,
        arrays: Mapping[str, NDArray[Any]],
        bad: Sequence[tuple[int, str]],
        name: Callable[[int, str], str],
        absent: Sequence[int] = (),
    ) -> tuple[Fields, list[int]]:
        count = len(next(iter(arrays.values())))
        dropped = {number for number, _ in bad}.union(absent)
        kept = [number for number in range(count) if number not in dropped]
        named = [(name(number, reason), reason) for number, reason in bad]
        report_bad(named, bool(kept), count - len(absent), self.skip_bad, self.what)
        index = np.array(kept, np.int64)
        # Pixels may stay in their file; the few numbers beside them are wanted in memory.
        found = {
            key: (rows if len(kept) == count else take_rows(rows, index))
            if rows.ndim > 2
            else np.array(rows[index])
            for key, rows in arrays.items()
        }
        return found, kept


def _from_video(
    recipe: Recipe,
    path: Path,
    positions: Sequence[int],
    missing: set[int],
    write: Callable[[int, Values], None],
    reading: Reading,
) -> tuple[list[tuple[int, str]], list[int]]:
    """Write the ``missing`` rows; returns numbers and reasons of unusable frames, and numbers beyond the end."""
    bad: list[tuple[int, str]] = []
    if not missing:
        return bad, []
    numbers = {position: number for number, position in enumerate(positions)}
    ended = done = 0
    for position, (frame, damage) in enumerate(video_frames(path)):
        ended = position + 1
        number = numbers.get(position)
        if number is None:
            continue
        done += 1
        if number in missing:
            try:
                if frame is None or damage:
                    raise DataError(damage)
                write(number, recipe.of_frame(frame, f"{path}:{position}"))
            except DataError as error:
                bad.append((number, str(error)))
        if reading.progress is not None:
            reading.progress(reading.what, done, len(positions))
    return bad, [number for number in sorted(missing) if positions[number] >= ended]
