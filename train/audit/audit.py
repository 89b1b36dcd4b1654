"""``tgkt-edge audit``: a person labels a few frames, and their accuracy says what no label-free evidence can."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tgkt_edge.data.loading import Frames
from tgkt_edge.data.names import abbreviate
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.preprocess import encode, resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.audit.frames import note_difficult, reader, target_frames, trained_on
from tgkt_edge.train.audit.labels import CANNOT_TELL, class_labels, read_labels
from tgkt_edge.train.report.images import raw_frame_uri
from tgkt_edge.train.report.model_outputs import run_answers
from tgkt_edge.train.report.pages import render_page

PICTURE = 320
"""Longer side of a picture on the sheet, pixels."""


@dataclass(frozen=True)
class Picked:
    """What :func:`pick` wrote, how many of how many frames, and those that could not be read.

    ``trained_on``: frames that were not drawn because the run learnt from their labels.
    """

    table: Path
    sheet: Path
    frames: int
    of: int
    unreadable: tuple[str, ...]
    trained_on: int = 0


def pick(
    path: Path, frames: int, out: Path | None = None, *, seed: int = 0, overwrite: bool = False
) -> Picked:
    """Draw target frames of a run for a person to label.

    A simple random sample, without replacement, in random order: every frame has the same chance, so the share
    classified correctly estimates accuracy without weights, and the first n rows are a sample as well. What the models
    answer is shown nowhere, so as not to sway the person.

    Args:
        path: a finished run.
        out: CSV to write, columns ``frame`` (absolute path) and ``label`` (empty); default ``audit.csv`` in the run.
            A page to label from is written beside it, same name, ``.html``.

    Raises:
        UsageError: ``frames`` is more than there are, or ``out`` exists (it may hold labels).
        IncompatibleError: no finished run.
    """
    classes, _, sensor, _ = run_answers(path, "cpu")
    table = out if out is not None else path / "audit.csv"
    sheet = table.with_suffix(".html")
    if table.suffix == ".html":
        raise UsageError(f"`out={table}`: expected the name of a CSV file; the page is written beside it")
    for file in (table, sheet):
        if file.exists() and not overwrite:
            raise UsageError(
                f"{file} exists and may hold labels. Give another `out`, or `overwrite=True` to replace it."
            )
    every, taught = target_frames(path), trained_on(path)
    there = [frame for frame in every if frame.name not in taught]
    if not there:
        raise UsageError(
            f"{path}: the run was trained with the labels of all its {len(every)} target frames, so none is left to "
            f"draw. Label other frames of the sensor, and measure on them: tgkt-edge evaluate {path} --data LABELLED"
        )
    if not 0 < frames <= len(there):
        but = f" beside the {len(taught)} that it was trained on with `labels`" if taught else ""
        raise UsageError(f"`frames={frames}`: expected 1 to {len(there)}, the target frames of the run{but}")
    pictures: dict[Path, str] = {}
    unreadable: list[str] = []
    order = [there[i] for i in np.random.default_rng([seed, *b"audit"]).permutation(len(there))]
    while order and len(pictures) < frames:
        missing = frames - len(pictures)
        drawn, order = order[:missing], order[missing:]
        read = reader(drawn)
        for frame in drawn:
            try:
                pictures[frame.name] = _picture(read(frame), sensor, frame.name)
            except DataError:
                unreadable.append(str(frame.name))  # adapt --skip-bad left it out too
    note_difficult([frame for frame in there if frame.name in pictures])
    write_text(table, _as_csv([(str(file), "") for file in pictures]))
    write_text(sheet, _sheet(pictures, classes, table.name))
    return Picked(table, sheet, len(pictures), len(there), tuple(unreadable), len(every) - len(there))


def score(path: Path, answers: Path, device: str = "auto") -> dict[str, Any]:
    """Compare the models of a run with a person's labels.

    Args:
        answers: CSV with columns ``frame`` and ``label``; an empty label: not labelled yet; ``?``: nobody can tell.

    Returns:
        ``labelled``, ``unlabelled`` and ``cannot_tell`` (frames), ``trained_on`` (rows left out: the run learnt from
        their labels), ``models``: {name: ``right``, ``accuracy``, ``low``,
        ``high``}, a 95 % Wilson interval; ``comparison`` of ``model`` (target, or tgmb where a run has no target
        network) ``with`` source-only, or in a continued run with the shipped network: frames that ``only_target`` (that
        model) or ``only_source`` (the other) got right, ``difference`` of accuracies, and ``p``, the exact two-sided
        McNemar test.

    Raises:
        DataError: a label that is no class, a frame that is not the run's, a frame twice, or nothing labelled.
    """
    classes, size, sensor, ask = run_answers(path, device)
    known = {frame.name: frame for frame in target_frames(path)}
    taught = trained_on(path)
    listed = read_labels(answers, "answers", classes, known)
    rows = [(name, label) for name, label in listed if name not in taught]
    judged = [(known[name], label) for name, label in class_labels(rows).items()]
    if not judged:
        but = " but those that the run was trained with" if len(rows) < len(listed) else " yet"
        raise DataError(f"`answers={answers}`: no row has a label{but}. Classes: {', '.join(classes)}")
    note_difficult([frame for frame, _ in judged])
    side = resize_side(size)
    read = reader([frame for frame, _ in judged])
    codes = np.stack([encode(read(frame), sensor, side, str(frame.name)) for frame, _ in judged])
    truth = np.array([classes.index(label) for _, label in judged])
    frames = Frames(codes, tuple(str(frame.name) for frame, _ in judged), truth, classes)
    right = {name: answer(frames).argmax(1) == truth for name, answer in ask.items()}
    adapted, first = "target" if "target" in right else "tgmb", next(iter(right))
    return {
        "frames": len(rows),
        "labelled": len(judged),
        "unlabelled": [str(file) for file, label in rows if label == ""],
        "trained_on": len(listed) - len(rows),
        "cannot_tell": [str(file) for file, label in rows if label == CANNOT_TELL],
        "models": {name: share(int(hits.sum()), len(hits)) for name, hits in right.items()},
        "comparison": {"model": adapted, "with": first, **paired(right[adapted], right[first])},
    }


def share(right: int, of: int) -> dict[str, Any]:
    """Accuracy with its 95 % Wilson score interval (Wilson, 1927)."""
    found = binomtest(right, of).proportion_ci(0.95, method="wilson")
    return {"right": right, "accuracy": right / of, "low": float(found.low), "high": float(found.high)}


def paired(target: NDArray[np.bool_], source: NDArray[np.bool_]) -> dict[str, Any]:
    """McNemar's test (1947), exact: are frames that one model alone gets right spread evenly over the two?

    Args:
        target, source: (n,) whether each frame was classified correctly.
    """
    only_target, only_source = int((target & ~source).sum()), int((source & ~target).sum())
    differing = only_target + only_source
    p = float(binomtest(only_target, differing).pvalue) if differing else 1.0
    difference = (only_target - only_source) / len(target)
    return {"only_target": only_target, "only_source": only_source, "difference": difference, "p": p}


def describe(result: dict[str, Any]) -> list[str]:
    """The result of :func:`score` as lines for a person."""
    lines = [f"{result['labelled']} of {result['frames']} frames labelled"]
    if result["unlabelled"]:
        lines.append(f"not labelled yet: {abbreviate(result['unlabelled'])}")
    if result["trained_on"]:
        lines.append(f"left out, the run was trained with their labels: {result['trained_on']} frames")
    if result["cannot_tell"]:
        lines.append(f"left out, nobody could tell ({CANNOT_TELL}): {abbreviate(result['cannot_tell'])}")
    width = max(map(len, result["models"]))
    lines += [
        f"{name:<{width}}  {m['accuracy']:>6.1%}  (95 % interval {m['low']:.1%} to {m['high']:.1%}; "
        f"{m['right']} of {result['labelled']} correct)"
        for name, m in result["models"].items()
    ]
    c = result["comparison"]
    significant = c["p"] < 0.05
    word = "better" if c["difference"] > 0 else "worse"
    lines.append(
        f"{c['model']} against {c['with']}: {100 * c['difference']:+.1f} points; only one is correct: on "
        f"{c['only_target']} and {c['only_source']} frames, p = {c['p']:.2g} (exact McNemar): "
        + (f"{c['model']} is {word}" if significant else "too few frames to show a difference")
    )
    return lines


def _picture(frame: NDArray[Any], sensor: SensorSpec, name: Path) -> str:
    sensor.check(frame, str(name))
    return raw_frame_uri(frame, sensor, PICTURE)


def _as_csv(rows: Sequence[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("frame", "label"), *rows])
    return text.getvalue()


def _sheet(pictures: dict[Path, str], classes: Sequence[str], table: str) -> str:
    """The page to label from: a click a frame, then a button that hands out the filled CSV. Works without a network."""
    return render_page(
        "audit.html",
        title="Label these frames",
        table=table,
        chips=[*((name, name) for name in classes), (CANNOT_TELL, "cannot tell")],
        pictures=[{"frame": str(file), "name": file.name, "uri": uri} for file, uri in pictures.items()],
    )
