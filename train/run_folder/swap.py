"""Beginning a run in a folder that may hold an earlier one, which is not lost before the new one can stand alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.atomic import remove_leftovers

# Folders inside a run folder that hold the earlier run: until all of it is there, and from then on until the new one
# has its config.yaml.
_MOVING, _ASIDE = ".replaced.part", ".replaced"


@contextmanager
def swap_run_folder(out: Path) -> Iterator[None]:
    """Put what is in ``out`` aside for the body, which begins a run there and writes ``config.yaml`` last.

    Then the old is deleted. If the body fails, the old is put back; if it is killed, :func:`restore` does that. ``out``
    itself stays: it may be a mount point, a link, or where the shell stands.

    Raises:
        TgktEdgeError: the disk refused.
    """
    out = out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
        old = list(out.iterdir())
        (out / _MOVING).mkdir()
        for path in old:
            os.replace(path, out / _MOVING / path.name)
        os.replace(out / _MOVING, out / _ASIDE)
        yield
    except OSError as error:
        restore(out)
        raise TgktEdgeError(
            f"cannot write {out}: {error.strerror or error}. The earlier content is intact."
        ) from error
    except BaseException:  # also Ctrl-C
        restore(out)
        raise
    restore(out)


def restore(out: Path) -> None:
    """End what was interrupted in :func:`swap_run_folder`: the new run stays if it has its
    config.yaml, else the old one.

    Raises:
        TgktEdgeError: the disk refused.
    """
    try:
        out = out.resolve()
        moving, aside = out / _MOVING, out / _ASIDE
        remove_leftovers(out, "config.yaml")
        if aside.is_dir():
            if (out / "config.yaml").is_file():
                shutil.rmtree(aside)
                return
            for path in [path for path in out.iterdir() if path != aside]:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            os.replace(aside, moving)
        if moving.is_dir():
            for path in list(moving.iterdir()):
                os.replace(path, out / path.name)
            moving.rmdir()
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle, before Python 3.13
        raise TgktEdgeError(f"cannot write {out}: {getattr(error, 'strerror', None) or error}") from error
