"""What the files of a data set held, noted while they are read: nothing is opened a second time for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from tgkt_edge.errors import DataError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.io.parts import read_bytes, split_part
from tgkt_edge.system.threads import in_threads


class FileDigests:
    """SHA-256 of the files that a loader of :mod:`tgkt_edge.data.loading` reads, and what it found listed.

    Attributes:
        rows: the files in order, each row with what belongs to it: a label, the other half of a pair, a position in a
            video.
    """

    def __init__(self) -> None:
        self.rows: list[Sequence[object]] = []
        self._known: dict[Path, str] = {}

    def read(self, file: Path) -> bytes:
        """All bytes of a file. Raises OSError. May be called from several threads, and for every page of a stack."""
        data = read_bytes(file)
        if file not in self._known:
            self._known[file] = hashlib.sha256(data).hexdigest()
        return data

    def list(self, rows: Iterable[Sequence[object]]) -> None:
        """Keep what was listed."""
        self.rows = list(rows)

    def summary(self) -> str:
        """How many rows, and a SHA-256 over their names, labels and bytes; the order counts.

        What was not read is read now: a video and a .npy, which their decoders opened, and the second half of a bad
        pair. A page of a stack counts with the whole file.
        """
        files = list(dict.fromkeys(cell for row in self.rows for cell in row if isinstance(cell, Path)))
        digests = self.of(files)
        total = hashlib.sha256()
        for row in self.rows:
            words = [f"{cell} {digests[cell]}" if isinstance(cell, Path) else str(cell) for cell in row]
            total.update(("\n".join(words) + "\n\n").encode("utf-8", "surrogateescape"))
        return f"{len(self.rows)} with sha256 {total.hexdigest()[:32]}"

    def of(
        self, files: Sequence[Path], watch: Callable[[int], object] = lambda _: None
    ) -> Mapping[Path, str]:
        """Hexadecimal SHA-256 of what each file holds, "unreadable" where it cannot be read; what is not known is read.

        Args:
            watch: called with how many are known.
        """
        found: dict[Path, str] = {}
        for file, digest in zip(files, in_threads(self._digest, files), strict=True):
            found[file] = digest
            watch(len(found))
        return found

    def _digest(self, listed: Path) -> str:
        try:
            file, _ = split_part(listed)
            if file not in self._known:
                self._known[file] = sha256_of(file)
            return self._known[file]
        except (DataError, OSError):
            return "unreadable"  # ``skip_bad`` left it out
