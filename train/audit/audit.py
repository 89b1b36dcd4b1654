"""``tgkt-edge audit``: a person labels a few frames, and their accuracy says what no label-free evidence can."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from tgkt_edge.data.discovery import abbreviate
from tgkt_edge.data.loading import Frames
from tgkt_edge.data.names import clean, locate
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.preprocess import encode, resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.audit.frames import reader, target_frames
from tgkt_edge.train.report.images import raw_frame_uri
from tgkt_edge.train.report.model_outputs import run_answers
from tgkt_edge.train.report.style import page

CANNOT_TELL = "?"
"""What a person writes for a frame that shows none of the classes, or nothing at all. It is left out."""

PICTURE = 320
"""Longer side of a picture on the sheet, pixels."""


@dataclass(frozen=True)
class Picked:
    """What :func:`pick` wrote, how many of how many frames, and those that could not be read."""

    table: Path
    sheet: Path
    frames: int
    of: int
    unreadable: tuple[str, ...]


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
        raise UsageError(f"-o {table}: expected the name of a CSV file; the page is written beside it")
    for file in (table, sheet):
        if file.exists() and not overwrite:
            raise UsageError(
                f"{file} exists and may hold labels. Give another -o, or --overwrite to replace it."
            )
    there = target_frames(path)
    if not 0 < frames <= len(there):
        raise UsageError(f"--frames {frames}: the run has {len(there)} target frames; expected 1 to that")
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
    write_text(table, _as_csv([(str(file), "") for file in pictures]))
    write_text(sheet, _sheet(pictures, classes, table.name))
    return Picked(table, sheet, len(pictures), len(there), tuple(unreadable))


def score(path: Path, answers: Path, device: str = "auto") -> dict[str, Any]:
    """Compare the models of a run with a person's labels.

    Args:
        answers: CSV with columns ``frame`` and ``label``; an empty label is not labelled yet, ``?`` cannot be told.

    Returns:
        ``labelled``, ``unlabelled`` and ``cannot_tell`` (frames), ``models``: {name: ``right``, ``accuracy``, ``low``,
        ``high``}, a 95 % Wilson interval; ``comparison`` of ``model`` (target, or tgmb where a run has no target
        network) with source-only: frames that ``only_target`` (that model) or ``only_source`` got right,
        ``difference`` of accuracies, and ``p``, the exact two-sided McNemar test.

    Raises:
        DataError: a label that is no class, a frame that is not the run's, a frame twice, or nothing labelled.
    """
    classes, size, sensor, ask = run_answers(path, device)
    known = {frame.name: frame for frame in target_frames(path)}
    rows = _labelled_rows(answers, classes, known)
    told = [(known[name], label) for name, label in rows if label not in ("", CANNOT_TELL)]
    if not told:
        raise DataError(f"--answers {answers}: no row has a label yet. Classes: {', '.join(classes)}")
    side = resize_side(size)
    read = reader([frame for frame, _ in told])
    codes = np.stack([encode(read(frame), sensor, side, str(frame.name)) for frame, _ in told])
    truth = np.array([classes.index(label) for _, label in told])
    frames = Frames(codes, tuple(str(frame.name) for frame, _ in told), truth, classes)
    right = {name: answer(frames).argmax(1) == truth for name, answer in ask.items()}
    adapted = "target" if "target" in right else "tgmb"
    return {
        "frames": len(rows),
        "labelled": len(told),
        "unlabelled": [str(file) for file, label in rows if label == ""],
        "cannot_tell": [str(file) for file, label in rows if label == CANNOT_TELL],
        "models": {name: share(int(hits.sum()), len(hits)) for name, hits in right.items()},
        "comparison": {"model": adapted, **paired(right[adapted], right["source-only"])},
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
    if result["cannot_tell"]:
        lines.append(f"left out, nobody could tell ({CANNOT_TELL}): {abbreviate(result['cannot_tell'])}")
    width = max(map(len, result["models"]))
    lines += [
        f"{name:<{width}}  {m['accuracy']:>6.1%}  (95 % interval {m['low']:.1%} to {m['high']:.1%}; "
        f"{m['right']} of {result['labelled']} right)"
        for name, m in result["models"].items()
    ]
    c = result["comparison"]
    sure = c["p"] < 0.05
    word = "better" if c["difference"] > 0 else "worse"
    lines.append(
        f"{c['model']} against source-only: {100 * c['difference']:+.1f} points; alone right on {c['only_target']} and "
        f"{c['only_source']} frames, p = {c['p']:.2g} (exact McNemar): "
        + (f"{c['model']} is {word}" if sure else "too few frames to tell them apart")
    )
    return lines


def _labelled_rows(answers: Path, classes: Sequence[str], known: Collection[Path]) -> list[tuple[Path, str]]:
    """(file, class or "" or CANNOT_TELL) of each row; labels may differ in case and blanks."""
    where = f"--answers {answers}"
    if not answers.is_file():
        raise DataError(
            f"{where}: no such file. Write one with: tgkt-edge audit RUN --frames {min(60, len(known))}"
        )
    spelling = {clean(name).casefold(): name for name in classes} | {"": "", CANNOT_TELL: CANNOT_TELL}
    found: dict[Path, str] = {}
    wrong: list[str] = []
    for row in read_table(answers, where, ("frame", "label"), may_be_empty=("frame", "label")):
        written = row.fields["frame"]
        frame, label = _known_frame(answers.parent, written, known), clean(row.fields["label"])
        if frame not in known:
            wrong.append(f"line {row.line}: {written!r} is not one of the run's target frames")
        elif frame in found:
            wrong.append(f"line {row.line}: {written} is listed twice")
        elif label.casefold() not in spelling:
            near = difflib.get_close_matches(label, classes, n=1)
            wrong.append(
                f"line {row.line}: label '{label}'" + (f" (did you mean '{near[0]}'?)" if near else "")
            )
        else:
            found[frame] = spelling[label.casefold()]
    if wrong:
        raise DataError(
            f"{where}: {abbreviate(wrong)}. Labels are {', '.join(classes)}; {CANNOT_TELL} if it cannot be told."
        )
    return list(found.items())


def _known_frame(folder: Path, written: str, known: Collection[Path]) -> Path:
    """The target frame that a field names; frames of a video have names that are no files."""
    frame = (folder / written).resolve()
    return frame if frame in known else locate(folder, written).resolve()


def _picture(frame: NDArray[Any], sensor: SensorSpec, name: Path) -> str:
    sensor.check(frame, str(name))
    return raw_frame_uri(frame, sensor, PICTURE)


def _as_csv(rows: Sequence[tuple[str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("frame", "label"), *rows])
    return text.getvalue()


def _sheet(pictures: dict[Path, str], classes: Sequence[str], table: str) -> str:
    """The page to label from: a click a frame, then a button that hands out the filled CSV. Works without a network."""
    chips = [(name, name) for name in classes] + [(CANNOT_TELL, "cannot tell")]
    figures = []
    for number, (file, uri) in enumerate(pictures.items()):
        choices = "".join(
            f'<label class="chip"><input type="radio" name="f{number}" value="{escape(value)}">{escape(text)}</label>'
            for value, text in chips
        )
        figures.append(
            f'<figure class="card" data-frame="{escape(str(file))}"><img src="{uri}" alt="frame {number + 1}">'
            f"<figcaption>{number + 1}: {escape(file.name)}</figcaption><div>{choices}</div></figure>"
        )
    return page(
        "Label these frames",
        f"<h1>Label these frames</h1><p>Choose what you see in each of the {len(pictures)} frames, in this order if "
        f"you may not finish. Then save, and run <code>tgkt-edge audit RUN --answers {escape(table)}</code>. Or fill "
        f"the column <code>label</code> of {escape(table)} by hand.</p>"
        f'<p class="save"><button id="save">Save {escape(table)}</button> <span id="count"></span></p>'
        f'<div class="label-grid">{"".join(figures)}</div>'
        + _SCRIPT.replace("TABLE", json.dumps(table).replace("<", "\\u003c")),
    )


# Labels are kept in the browser as they are given: a closed page loses nothing.
_SCRIPT = """<script>
const figures = [...document.querySelectorAll("figure")], kept = "tgkt-edge-audit:" + location.pathname;
const quoted = text => '"' + text.replaceAll('"', '""') + '"';
const label = figure => figure.querySelector("input:checked")?.value ?? "";
const row = figure => quoted(figure.dataset.frame) + "," + quoted(label(figure)) + "\\n";
const table = () => "frame,label\\n" + figures.map(row).join("");
const store = (() => { try { return window.localStorage; } catch { return null; } })();
function count() {
  document.getElementById("count").textContent = figures.filter(label).length + " of " + figures.length + " labelled";
  store?.setItem(kept, JSON.stringify(Object.fromEntries(figures.map(f => [f.dataset.frame, label(f)]))));
}
const before = JSON.parse(store?.getItem(kept) ?? "{}");
for (const figure of figures)
  for (const input of figure.querySelectorAll("input")) input.checked = input.value === before[figure.dataset.frame];
document.addEventListener("change", count);
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = TABLE;
  link.click();
});
count();
</script>"""
