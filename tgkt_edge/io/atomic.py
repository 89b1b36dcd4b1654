"""Writing files so that a full disk, a kill or a power cut leaves the old file or the new one, never half of one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tgkt_edge.errors import TgktEdgeError, UsageError


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on the disk, so that they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on any failure it is removed.

    A link stays: what it leads to is replaced. A device, a FIFO and what is open already (/dev/stdout) stay, too: on
    success all that was written goes there.

    Raises:
        UsageError: ``path`` is a folder.
        TgktEdgeError: the disk refused (full, read-only): names the file; what stood at ``path`` is intact.
    """
    try:
        end, replaceable = _end(path)
        if replaceable:
            end.parent.mkdir(parents=True, exist_ok=True)
        folder = end.parent if replaceable else None
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{end.name}.", suffix=".tmp")
        os.close(handle)
    except OSError as error:
        raise TgktEdgeError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        if replaceable:
            _sync(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, end)
            _sync(end.parent)
        else:
            with temporary.open("rb") as written, _opened(end) as out:
                shutil.copyfileobj(written, out)
    except OSError as error:
        intact = " The earlier content is intact." if replaceable else ""
        raise TgktEdgeError(f"cannot write {path}: {error.strerror or error}.{intact}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _opened(path: Path) -> IO[bytes]:
    """What is no file, to write to. What this process has open already goes on where it stands: opened again, it would
    have a place of its own, and what is printed later would be written over what is written now."""
    own = Path("/proc/self/fd").resolve()
    for step in _along(path):
        if step.parent.resolve() == own and step.name.isdecimal():
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            return os.fdopen(os.dup(int(step.name)), "wb")
    return path.open("ab")


def _end(path: Path) -> tuple[Path, bool]:
    """Where ``path`` leads, and whether that is a file, or nothing yet, which a new file may replace."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path.resolve(), True
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder: expected a file to write")
    *links, end = _along(path)
    if any(Path("/proc") in link.parent.resolve().parents for link in links):
        return path, False  # /dev/stdout: may be a file that others write to, too
    return end, stat.S_ISREG(mode)


def _along(path: Path) -> Iterator[Path]:
    """``path`` and, while it is a link, what it leads to."""
    yield path
    while path.is_symlink():
        path = path.parent / os.readlink(path)
        yield path


def remove_leftovers(folder: Path, name: str = "*") -> None:
    """Delete the temporary files that :func:`atomic_file` leaves when the process is killed while it writes.

    Args:
        name: of the file that was to be written in ``folder``; default: any.
    """
    for path in folder.glob(f".{name}.*.tmp"):
        if path.is_file():
            path.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8), atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON, atomically. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it is renamed to ``path``, on any failure removed.

    A link stays: the folder that it leads to is replaced.

    Raises:
        UsageError: ``path`` exists, is not empty, and ``overwrite`` is false; or it is a folder that cannot be
            replaced: a mount point, or one that this process is in.
        TgktEdgeError: the disk refused.
        OSError: reading or writing elsewhere, which the body did, failed.
    """
    refuse_existing(path, overwrite=overwrite)
    try:
        end = path.resolve()
        end.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=end.parent, prefix=f".{end.name}.", suffix=".tmp"))
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle, before Python 3.13
        raise TgktEdgeError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error
    old = temporary.with_suffix(".old")
    try:
        _refuse_immovable(path, end)
        yield temporary
        for written in [*temporary.rglob("*"), temporary]:
            if not written.is_symlink():
                _sync(written)
        os.chmod(temporary, 0o777 & ~_umask())
        if end.exists():
            os.replace(end, old)
        try:
            os.replace(temporary, end)
        except OSError:
            if old.exists():
                os.replace(old, end)
            raise
        _sync(end.parent)
    except OSError as error:
        names = [Path(str(name)) for name in (error.filename, error.filename2) if name is not None]
        if names and not any(temporary in (name, *name.parents) or name == end for name in names):
            raise  # of a file that the body read, say: it names that one
        raise TgktEdgeError(
            f"cannot write {path}: {error.strerror or error}. The earlier content is intact."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if end.exists():
            _remove(old)


def _refuse_immovable(path: Path, end: Path) -> None:
    """Raise UsageError if ``end``, to which ``path`` leads, is a folder that :func:`atomic_folder` cannot replace."""
    if not end.is_dir():
        return
    here = Path.cwd()
    why = "you are in it" if end in (here, *here.parents) else "it is a mount point" if _is_mount(end) else ""
    if why:
        inside = f"Name a new folder inside it, e.g. {path / 'out'}."
        raise UsageError(f"{path} cannot be replaced: {why}. {inside}")


def _is_mount(folder: Path) -> bool:
    """Whether something is mounted there; the kernel's list also knows folders of the same disk (docker -v)."""
    if os.path.ismount(folder):
        return True
    try:
        lines = os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).splitlines()
    except OSError:
        return False
    plain = (
        str(folder).replace("\\", r"\134").replace(" ", r"\040").replace("\t", r"\011").replace("\n", r"\012")
    )
    return any(line.split(" ")[4] == plain for line in lines)


def _remove(path: Path) -> None:
    """Delete a folder with all it holds, a file or a link; nothing there is fine, too."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def refuse_existing(path: Path, *, overwrite: bool, hint: str = "`overwrite=True`") -> None:
    """Raise UsageError if ``path`` is a file, or a folder that holds anything, unless ``overwrite``."""
    if overwrite or not path.exists():
        return
    if path.is_file() or any(path.iterdir()):
        raise UsageError(
            f"{path} already exists and is not empty. Choose another output folder, or give {hint} to replace it."
        )


def refuse_foreign(path: Path, marker: str, what: str) -> None:
    """Before ``--overwrite`` deletes ``path``: raise UsageError unless it is what this program writes.

    Args:
        marker: a file that every such folder holds; an empty or missing folder is fine too.
        what: what such a folder is called.
    """
    if not path.exists() or (path.is_dir() and (not any(path.iterdir()) or (path / marker).is_file())):
        return
    kind = f"a folder without {marker}" if path.is_dir() else "a file"
    raise UsageError(
        f"`overwrite=True` replaces {what} only, but {path} is {kind}. Remove it yourself, or choose another place."
    )
