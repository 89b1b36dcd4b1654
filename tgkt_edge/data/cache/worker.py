"""A process that decodes items and writes them into an open file of rows.

Requests are JSON objects, one a line on stdin, each answered with one on stdout: the job first, then pieces of work. It
ends when stdin does, so a parent that is killed leaves none behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgkt_edge.data.cache.rows_file import Layout, RowsFile
from tgkt_edge.data.recipes import Item, Recipe
from tgkt_edge.errors import DataError
from tgkt_edge.io.parts import read_bytes

Piece = tuple[int, Item]
"""Number of a row, and the item that belongs there."""


class Decoder:
    """Decodes items and writes their rows.

    Args:
        digests: hexadecimal SHA-256 of the files, by path, as they were when the cache's file was looked for.
    """

    def __init__(self, recipe: Recipe, file: RowsFile, digests: Mapping[Path, str]) -> None:
        self._recipe, self._file, self._digests = recipe, file, digests

    def decode(self, piece: Piece) -> str | None:
        """Write one row; returns why it cannot be, if the item is unusable. Raises OSError: the disk refused."""
        row, item = piece
        try:
            values = self._recipe.read(item, self._read)
        except DataError as error:
            return str(error)
        self._file.write(row, values)
        return None

    def _read(self, file: Path) -> bytes:
        data = read_bytes(file)
        known = self._digests.get(file)
        if known is not None and hashlib.sha256(data).hexdigest() != known:
            raise DataError(f"{file}: changed while it was read. Leave the data alone until adapt is done.")
        return data


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    job = json.loads(sys.stdin.readline())
    recipe = Recipe.from_dict(job["recipe"])
    file = RowsFile(Path(job["path"]), int(job["descriptor"]), Layout.of(recipe, int(job["rows"])))
    for line in sys.stdin:
        request = json.loads(line)
        known = {Path(name): digest for name, digest in request["digests"].items()}
        decoder = Decoder(recipe, file, known)
        reply: dict[str, Any] = {"bad": []}
        try:
            for row, names in request["items"]:
                reason = decoder.decode((row, tuple(Path(name) for name in names)))
                if reason is not None:
                    reply["bad"].append([row, reason])
        except OSError as error:
            reply = {"errno": error.errno, "error": error.strerror or str(error)}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
