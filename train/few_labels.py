"""``labels`` of ``adapt``: a few target frames whose classes a person gave, as ``tgkt-edge audit`` writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.train.audit.labels import class_labels, frame_name, read_labels
from tgkt_edge.train.methods.translation.labelled import Labelled


def load_labels(file: Path, names: Sequence[str], classes: Sequence[str]) -> Labelled:
    """The rows of a CSV ``frame,label`` that have a class, in the order of the frames.

    Args:
        names: of the target frames that were read.

    Raises:
        DataError: as :func:`read_labels`; or no row has a label.
    """
    number = {frame_name(name): i for i, name in enumerate(names)}
    told = class_labels(read_labels(file, "labels", classes, number))
    if not told:
        raise DataError(f"`labels={file}`: no row has a label yet. Classes: {', '.join(classes)}")
    rows = sorted((number[frame], classes.index(label)) for frame, label in told.items())
    return Labelled(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))


def write_labels(file: Path, labelled: Labelled, names: Sequence[str], classes: Sequence[str]) -> None:
    """Write what was learnt from, so that audit and evaluate can leave these frames out."""
    text = io.StringIO()
    rows = [
        (str(frame_name(names[row])), classes[k])
        for row, k in zip(labelled.rows, labelled.classes, strict=True)
    ]
    csv.writer(text, lineterminator="\n").writerows([("frame", "label"), *rows])
    write_text(file, text.getvalue())


def label_remarks(labelled: Labelled | None, classes: Sequence[str]) -> list[str]:
    """What a person should know about the labels before hours are spent."""
    if labelled is None:
        return []
    counts = np.bincount(labelled.classes, minlength=len(classes))
    found = ", ".join(f"{name} {n}" for name, n in zip(classes, counts, strict=True))
    lines = [
        (
            f"`labels`: {len(labelled)} frames ({found}); audit and evaluate leave them out, since they prove nothing "
            f"about a network that learnt them"
        )
    ]
    none = [name for name, n in zip(classes, counts, strict=True) if not n]
    if none:
        lines.append(
            f"`labels`: no frame of {', '.join(none)}: nothing corrects the answers to such frames; label one or two"
        )
    return lines
