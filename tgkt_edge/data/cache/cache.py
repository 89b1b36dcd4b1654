"""The cache: a folder of decoded sets, each in one file that is found by what the original files hold.

A file's name is a digest of the bytes of all originals in their order, the SensorSpec, the size, and the versions of
what decodes them. So a set that was changed, another sensor or another size is another file, and runs, seeds and ranks
that read the same data share one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tgkt_edge import __version__
from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.lock import is_at, lock, unlock
from tgkt_edge.data.cache.rows_file import ADVICE, Layout, RowsFile, create, header_of, is_of, room_refused
from tgkt_edge.data.digests import FileDigests
from tgkt_edge.data.recipes import Item, Recipe
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.notes import log_progress, note


class Cache:
    """A folder of decoded sets.

    Args:
        folder: made where it is missing. say: told what takes long.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = log_progress) -> None:
        self.folder, self._say = folder, say
        if folder.exists() and not folder.is_dir():
            raise UsageError(
                f"`cache={folder}` is a file: expected a folder, which is made where it is missing"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TgktEdgeError(f"`cache={folder}`: cannot be made: {error.strerror or error}") from error

    @property
    def features(self) -> Path:
        """Folder of the features that frozen networks gave, see :mod:`tgkt_edge.train.methods.translation.features`."""
        return self.folder / "features"

    def open(
        self,
        recipe: Recipe,
        items: Sequence[Item],
        digests: FileDigests,
        what: str,
        progress: Progress | None = None,
        positions: Sequence[int] = (),
    ) -> RowsFile:
        """The file of a set, verified; its ``missing`` rows are to be written, and it is locked until it is closed.

        Args:
            items: of the set in order; all their files are read, to know what they hold.
            digests: told what each file holds. what: what messages call the set.
            positions: of each item in the one video that holds them.

        Raises:
            TgktEdgeError: the disk refused, or holds no more.
        """
        key = self._key(recipe, items, positions, digests, what, progress)
        layout = Layout.of(recipe, len(items))
        header = header_of(recipe, key, len(items))
        path = self.folder / f"{recipe.kind}-{recipe.side}px-{key[:24]}.rows"
        found = self._complete(path, layout, header, what, progress)
        return found if found is not None else self._to_write(path, layout, header, what, progress)

    def _key(
        self,
        recipe: Recipe,
        items: Sequence[Item],
        positions: Sequence[int],
        digests: FileDigests,
        what: str,
        progress: Progress | None,
    ) -> str:
        import cv2

        files = list(dict.fromkeys(file for item in items for file in item))
        held = digests.of(files, lambda done: progress and progress(f"{what}: contents", done, len(files)))
        about = {"recipe": recipe.to_dict(), "tool": __version__, "opencv": cv2.__version__}
        total = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        for number, item in enumerate(items):
            words = [f"{held[file]} {_part_of(file)}" for file in item]
            total.update(("\n".join([*words, str(positions[number]) if positions else ""]) + "\n\n").encode())
        return total.hexdigest()

    def _complete(
        self, path: Path, layout: Layout, header: bytes, what: str, progress: Progress | None
    ) -> RowsFile | None:
        """The file if all of it is there and whole: any number of processes may look at once."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TgktEdgeError(f"cannot read {path}: {error.strerror or error}. {ADVICE}") from error
        file = RowsFile(path, descriptor, layout)
        lock(descriptor, path, False, self._say)
        if not is_of(descriptor, layout, header):
            return None
        _verify(file, what, progress)
        if file.missing:
            return None
        unlock(descriptor)
        return file

    def _to_write(
        self, path: Path, layout: Layout, header: bytes, what: str, progress: Progress | None
    ) -> RowsFile:
        """The file, locked for writing; a new one where there is none, or where it is not what it should be."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        while True:
            with room_refused(path, layout.size):
                descriptor = os.open(path, flags, 0o666)
            file = RowsFile(path, descriptor, layout)
            if not lock(descriptor, path, True, self._say):
                return self._private(path, layout, header)
            if not is_at(descriptor, path):
                continue
            if os.fstat(descriptor).st_size == 0:
                try:
                    with room_refused(path, layout.size):
                        create(descriptor, layout, header)
                except TgktEdgeError:
                    path.unlink(missing_ok=True)
                    raise
                return file
            if not is_of(descriptor, layout, header):
                note(f"{path} is damaged, or was not finished: written again")
                path.unlink(missing_ok=True)  # whoever has it open keeps what there is
                continue
            _verify(file, what, progress)
            there = layout.rows - len(file.missing)
            if there and file.missing:
                note(
                    f"{path}: {len(file.missing)} of {layout.rows} rows are missing or damaged: decoded again"
                )
            return file

    def _private(self, path: Path, layout: Layout, header: bytes) -> RowsFile:
        """A file that nobody else knows of, for a file system without locks; :meth:`publish` gives it its name."""
        with room_refused(path, layout.size):
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        file = RowsFile(Path(name), descriptor, layout)
        try:
            with room_refused(path, layout.size):
                create(descriptor, layout, header)
        except TgktEdgeError:
            file.path.unlink(missing_ok=True)
            raise
        return file

    def publish(self, file: RowsFile) -> None:
        """End writing: put the rows on the disk and let others have them.

        Raises:
            TgktEdgeError: the disk refused.
        """
        with room_refused(file.path, file.layout.size):
            os.fsync(file.descriptor)
            if file.path.suffix == ".tmp":  # of a file system without locks
                try:
                    os.replace(
                        file.path, file.path.with_name(file.path.name[1:].rpartition(".rows.")[0] + ".rows")
                    )
                except FileNotFoundError:
                    note(f"{file.path} was deleted while it was written: only this process has what it held")
        unlock(file.descriptor)


def _part_of(file: Path) -> str:
    """The options of a file: ``?page=3``; empty for most."""
    _, mark, query = file.name.rpartition("?")
    return mark + query if mark and "=" in query else ""


def _verify(file: RowsFile, what: str, progress: Progress | None) -> None:
    done = 0

    def watch(rows: int) -> None:
        nonlocal done
        done += rows
        if progress is not None:
            progress(f"{what}: verifying the cache", done, file.layout.rows)

    try:
        file.verify(watch)
    except TgktEdgeError:
        raise
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        raise TgktEdgeError(f"cannot read {file.path}: it was deleted on the server. Begin again.") from error
