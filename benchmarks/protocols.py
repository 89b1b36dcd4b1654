"""The protocols of the accuracy tables: which images take part, drawn by seed; and the rows in closed form.

a  transductive, as in the paper: adapted on the frames that are scored
b  other scenes: source, pairs and frames of one official split, scored on the task's frames of the other
c  the class shares of the frames are not the source's: resampled to uniform, or to the source's in reverse
d  20, 60 or 200 pairs
e  1, 3, 5 or 10 labelled frames a class, scored on the others; `labels` is the same head on these few alone

A seed draws nine tenths of the source's images and of the pairs (protocol d: as many pairs as it says), the frames of
protocol c, the labelled frames of protocol e, and the random crops of a network that is trained.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from datasets import DataSet
from feature_bench import Bench, Draw
from numpy.typing import NDArray

from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.train.methods.student import train_student
from tgkt_edge.train.methods.translation.features import FRAME_LAYERS, Encoding, Kind
from tgkt_edge.train.methods.translation.head import fit_head, with_head
from tgkt_edge.train.methods.translation.softmax_regression import balancing_weights, one_hot
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]

SHARE = 0.9
"""Of source images and of pairs that a seed draws."""

FEW = (20, 60, 200)
"""Pairs of protocol d."""

LABELS = (1, 3, 5, 10)
"""Labelled frames a class of protocol e."""

FOLDS = 5
"""Of the frames, for what labels would give."""


@dataclass(frozen=True)
class Variant:
    """One line of a table: a protocol's name such as ``b train`` and, with a seed, what it draws."""

    name: str
    title: str
    draw: Callable[[int], Draw]


def official_split(data: DataSet) -> dict[str, str]:
    """Name of an image to ``train`` or ``test``, by the set's own labels.csv; empty where it has no such column."""
    file = Path(read_csv_columns(data.target, "--data", ("frame",))["frame"][0]).parent.parent / "labels.csv"
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or "split" not in rows[0]:
        return {}
    return {Path(row["image"]).stem: row["split"] for row in rows}


def stems(file: Path, column: str) -> list[str]:
    """Names without suffix of the files in a CSV's column."""
    return [Path(str(path)).stem for path in read_csv_columns(file, "--data", (column,))[column]]


def resampled(labels: Ints, shares: Reals, rng: np.random.Generator) -> Ints:
    """Numbers of as many frames as there are for classes in these ``shares``, ascending."""
    counts = np.bincount(labels, minlength=len(shares))
    total = (counts / shares).min()
    drawn = [
        rng.choice(np.flatnonzero(labels == k), max(1, int(total * share)), replace=False)
        for k, share in enumerate(shares)
    ]
    return np.sort(np.concatenate(drawn))


def reverse(shares: Reals) -> Reals:
    """The same shares with the most frequent class the rarest, and so on."""
    found = np.empty_like(shares)
    found[np.argsort(shares, kind="stable")] = np.sort(shares)[::-1]
    return found


def variants(data: DataSet, bench: Bench, protocols: str) -> list[Variant]:
    """The lines of the protocols named by the letters of ``protocols``."""
    labels, classes = bench.labels, len(bench.classes)
    shares = np.bincount(labels, minlength=classes) / len(labels)
    every_source, every_pair, every_frame = (
        np.arange(n) for n in (len(bench.source_labels), bench.pairs, len(labels))
    )

    def some(rng: np.random.Generator, among: Ints, count: int | None = None) -> Ints:
        return np.sort(
            rng.choice(among, round(SHARE * len(among)) if count is None else count, replace=False)
        )

    def plain(seed: int, count: int | None = None) -> Draw:
        rng = np.random.default_rng([seed, *b"tables"])
        source, pairs = some(rng, every_source), some(rng, every_pair, count)
        return Draw(source, pairs, pairs, every_frame, every_frame)

    def shifted(seed: int, expected: Reals) -> Draw:
        rng = np.random.default_rng([seed, *b"shares"])
        frames = resampled(labels, expected, rng)
        return replace(plain(seed), frames=frames, scored=frames)

    found = []
    if "a" in protocols:
        found.append(Variant("a", "transductive", plain))
    split = official_split(data) if "b" in protocols else {}
    if split:
        of = {
            name: np.array([split[stem] for stem in stems(file, column)])
            for name, file, column in (
                ("source", data.source, "image"), ("pairs", data.paired, "rgb"), ("frames", data.target, "frame"),
            )
        }  # fmt: skip

        def other(seed: int, own: str) -> Draw:
            rng = np.random.default_rng([seed, *b"scenes"])
            source, pairs = (some(rng, np.flatnonzero(of[name] == own)) for name in ("source", "pairs"))
            frames = np.flatnonzero(of["frames"] == own)
            return Draw(source, pairs, pairs, frames, np.flatnonzero(of["frames"] != own))

        for own, unseen in (("train", "test"), ("test", "train")):
            title = f"source, pairs and frames of the {own} scenes, scored on {unseen} scenes"
            found.append(Variant(f"b {own}", title, partial(other, own=own)))
    if "c" in protocols:
        for name, expected in (("uniform", np.full(classes, 1 / classes)), ("reversed", reverse(shares))):
            found.append(
                Variant(
                    f"c {name}", f"class shares of the frames {name}",
                    partial(shifted, expected=expected),
                )
            )  # fmt: skip
    if "d" in protocols:
        for count in FEW:
            if count < bench.pairs:
                found.append(Variant(f"d {count}", f"{count} pairs", partial(plain, count=count)))
    if "e" in protocols:

        def labelled(seed: int, count: int) -> Draw:
            rng = np.random.default_rng([seed, *b"labels"])
            known = [rng.choice(np.flatnonzero(labels == k), count, replace=False) for k in range(classes)]
            given = np.sort(np.concatenate(known))
            return replace(plain(seed), scored=np.setdiff1d(every_frame, given), labelled=given)

        for count in LABELS:
            if count < np.bincount(labels, minlength=classes).min():
                title = f"{count} labelled frames a class, scored on the others"
                found.append(Variant(f"e {count}", title, partial(labelled, count=count)))
    return found


ROWS = ("source-only", "BN statistics", "translate", "known shares", "default", "labels")
"""``known shares``: translate with the class shares of the frames given as ``--prior``; what estimating them loses."""


def closed_rows(bench: Bench, draw: Draw, seed: int, names: tuple[str, ...]) -> Iterator[tuple[str, Reals]]:
    """(row, (n, K) probabilities of the scored frames) of those of ROWS that are asked for."""
    if "labels" in names:
        yield (
            "labels",
            bench.once(
                ("labels", draw.frames, draw.scored, draw.labelled, seed),
                lambda: _by_labels(bench, draw, seed),
            ),
        )
    source, beside = bench.source(draw.source)
    if "source-only" in names:
        yield "source-only", bench.answers(source, draw.scored)
    if "BN statistics" in names:
        yield "BN statistics", bench.bn_answers(source, draw.frames, draw.scored)
    if "known shares" in names:
        counts = np.bincount(bench.labels[draw.frames], minlength=len(bench.classes))
        known = bench.translate(source, beside, draw, prior=counts / counts.sum())
        yield "known shares", bench.answers(known.network, draw.scored)
    if not {"translate", "default"} & {*names}:
        return
    found = bench.translate(source, beside, draw)
    if "translate" in names:
        yield "translate", bench.answers(found.network, draw.scored)
    if "default" in names:
        config = replace(bench.config, seed=seed)
        store, scored = bench.frames_store(draw.frames), bench.frames_store(draw.scored)
        network = bench.compute.place(found.network)
        student = train_student(
            network, store, found.labels, found.first, found.prior, config, bench.compute, bench.log,
            StageState(None, 0),
        )  # fmt: skip
        logits = predict_target(student, scored, config.image_size, config.batch, bench.compute)[1]
        yield "default", logits.softmax(1).double().cpu().numpy()


def _by_labels(bench: Bench, draw: Draw, seed: int) -> Reals:
    """What the same features and head reach with the frames' labels: the ceiling; of protocol e with its few alone.

    Of unseen frames fitted to all that are adapted on; else cross-validated by frame.
    """
    classes, config = len(bench.classes), bench.config.translation

    def head(rows: Ints) -> Classifier:
        encoding: Encoding = "normals" if bench.depth else "plain"
        features = bench.rows("target", Kind(FRAME_LAYERS, True, encoding, config.views), rows)
        labels = bench.labels[rows]
        weighted = one_hot(labels, classes) * balancing_weights(labels, classes)[:, None]
        fitted = fit_head(features, weighted, config.head_c / (len(rows) * config.views))
        return with_head(bench.backbone, FRAME_LAYERS, *fitted, normals=bench.depth)

    if len(draw.labelled):
        return bench.answers(head(draw.labelled), draw.scored)
    if not np.array_equal(draw.frames, draw.scored):
        return bench.answers(head(draw.frames), draw.scored)
    fold = np.random.default_rng([seed, *b"folds"]).permutation(len(draw.frames)) % FOLDS
    found = np.empty((len(draw.frames), classes))
    for number in range(FOLDS):
        found[fold == number] = bench.answers(head(draw.frames[fold != number]), draw.frames[fold == number])
    return found


def as_data_set(data: DataSet, draw: Draw, folder: Path) -> DataSet:
    """The drawn rows as a prepared data set, for the rows that are trained from images."""
    folder.mkdir(parents=True, exist_ok=True)

    def some(source: Path, rows: Ints, target: Path) -> None:
        with source.open(newline="", encoding="utf-8") as stream:
            header, *lines = csv.reader(stream)
        with target.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *(lines[i] for i in rows)])

    drawn = DataSet(data.name, folder)
    if not np.array_equal(draw.pairs, draw.paired_frames):
        raise TgktEdgeError("pairs that do not belong together have no rows that are trained from images")
    some(data.source, draw.source, drawn.source)
    some(data.paired, draw.pairs, drawn.paired)
    some(data.target, draw.frames, drawn.target)
    some(data.labelled, draw.scored, drawn.labelled)
    (folder / "sensor.yaml").write_bytes(Path(data.sensor).read_bytes())
    (folder / "prepare.json").write_text("{}", encoding="utf-8")
    return drawn
