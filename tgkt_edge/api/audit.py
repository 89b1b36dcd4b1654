"""``tgkt_edge.audit``: accuracy from a few frames that a person labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require


def audit(
    run: Path | str,
    *,
    frames: int | None = None,
    out: Path | str | None = None,
    answers: Path | str | None = None,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Draw frames for a person to label (``frames``), or measure accuracy with the labels (``answers``).

    Args:
        run: a finished run folder.
        frames: pick so many target frames, at random.
        out: CSV to write, columns ``frame`` and ``label`` (empty), with a page to label from beside it; default
            ``audit.csv`` in the run.
        answers: the filled CSV; an empty label means not labelled yet, ``?`` that the person cannot tell.
        seed: of the draw. device: that runs the models: "auto", "cpu" or "cuda".
        overwrite: replace an earlier CSV and page.

    Returns:
        With ``frames``: ``table`` and ``sheet``, the files written, ``frames`` in them, ``of`` how many,
        ``unreadable`` ones that were left out, and how many the run was ``trained_on`` with labels, which are not
        drawn.
        With ``answers``: what :func:`tgkt_edge.train.audit.audit.score` measured.

    Raises:
        UsageError, DataError: (exit 2) both or neither were given, ``out`` exists, or a table that does not fit.
        IncompatibleError: (exit 4) no finished run. MissingDependency: (exit 6) torch is not installed.
    """
    if (frames is None) == (answers is None):
        raise UsageError(
            "give either `frames=N` (write a CSV to fill) or `answers=CSV` (measure with a filled one)"
        )
    require("torch", "train", "An audit")
    require("jinja2", "train", "An audit")
    from tgkt_edge.train.audit.audit import pick, score

    if answers is not None:
        return score(Path(run), Path(answers), device)
    assert frames is not None
    picked = pick(Path(run), frames, None if out is None else Path(out), seed=seed, overwrite=overwrite)
    return {
        "table": str(picked.table),
        "sheet": str(picked.sheet),
        "frames": picked.frames,
        "of": picked.of,
        "unreadable": list(picked.unreadable),
        "trained_on": picked.trained_on,
    }
