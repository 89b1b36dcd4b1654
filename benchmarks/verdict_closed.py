"""Runs in closed form to judge the verdict by: proper ones, poor ones, and some that are broken on purpose.

Each is a translation of features as ``adapt --method translate`` makes it, from features that are computed once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from datasets import open_data
from feature_bench import Bench, Draw, scores
from numpy.typing import NDArray
from protocols import Variant, variants
from verdict_store import load_evidence, save_evidence

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.io.atomic import write_json
from tgkt_edge.train.holdout import neighbour_runs
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.evidence import belong_together
from tgkt_edge.train.nn.normals import DISTANCE_FLOOR, GAIN, RELATIVE_GAIN
from tgkt_edge.train.report.comparison import Evidence

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """A run to judge.

    Attributes:
        sets: ``--set`` texts. prior: (K,) of a file; None: as the options say.
    """

    name: str
    draw: Draw
    sets: tuple[str, ...] = ()
    prior: Reals | None = None


def made(bench: Bench, lines: list[Variant], seed: int) -> Iterator[Made]:
    """Runs of one data set and one seed."""
    by_name = {line.name: line.draw(seed) for line in lines}
    rng = np.random.default_rng([seed, *b"verdict"])
    for name, draw in by_name.items():
        yield Made(name, replace(draw, scored=draw.frames))
    few = by_name.get("d 60") or by_name["d 20"]
    whole = by_name.get("d 200") or by_name["a"]
    for name, draw in (("shuffled pairs", whole), ("few shuffled pairs", few)):
        rolled = np.roll(draw.pairs, len(draw.pairs) // 2)
        yield Made(name, replace(draw, paired_frames=rolled))
    shares = np.bincount(bench.labels, minlength=len(bench.classes)) / len(bench.labels)
    skewed = rng.permutation(np.geomspace(1, 50, len(shares)))
    yield Made("wrong prior", whole, prior=skewed / skewed.sum())
    yield Made("uniform prior", few, ("translation.prior=uniform",))
    yield Made("no self-training, one translation", few, ("translation.rounds=0", "translation.reverse=0"))
    yield Made("prior half uniform, weak ridge", few, ("translation.prior=half", "translation.strength=30"))
    yield Made(
        "prior of the source, strong ridge", whole, ("translation.prior=shares", "translation.strength=3e6")
    )
    if not bench.depth:
        yield Made("from zero", whole, ("translation.start=zero",))


def evidence_of(bench: Bench, one: Made) -> tuple[Evidence, dict[str, dict[str, float]]]:
    """What the verdict of such a run is made from, and the accuracies that labels give."""
    config = replace(bench.config, translation=build_config(None, one.sets).translation)
    source, beside = bench.source(one.draw.source)
    found = bench.translate(source, beside, one.draw, config, one.prior)
    rows = one.draw.frames
    answers = {"source-only": bench.answers(source, rows), "target": bench.answers(found.network, rows)}
    unadapted = found.unadapted
    if unadapted is None:
        unadapted = bench.answers(source, one.draw.paired_frames[found.rows], "paired frames")
    truth = bench.labels[rows]
    models = {}
    for name, probabilities in answers.items():
        accuracy, balanced = scores(probabilities, truth)
        models[name] = {"accuracy": accuracy, "balanced_accuracy": balanced}
    evidence = Evidence(
        classes=bench.classes,
        features=bench.seen(source, rows),
        source=answers["source-only"].astype(np.float32),
        target=answers["target"].astype(np.float32),
        rgb=found.rgb.astype(np.float32),
        held_source=unadapted.astype(np.float32),
        held_target=found.translated.astype(np.float32),
        held_runs=neighbour_runs(len(found.rows)),
        belong=belong_together(found) is None,
        standardized=True,
    )
    return evidence, models


def kept_in(out: Path, config: AdaptConfig) -> Path:
    """Where runs with these options are kept: others in the same OUT are not taken for them."""
    options = f"{config!r} {GAIN} {RELATIVE_GAIN} {DISTANCE_FLOOR}"
    return out / "closed" / hashlib.sha256(options.encode()).hexdigest()[:12]


def closed_runs(
    args: argparse.Namespace,
) -> Iterator[tuple[str, Evidence, dict[str, dict[str, float]]]]:
    """Name, evidence and accuracies of every run of ``--closed`` and ``--seeds``.

    Those that OUT holds with the same options are taken from there.
    """
    flags = {"image_size": args.size, "weights": args.weights, "batch": args.batch}
    config = build_config(None, args.set, flags)
    for text in args.closed:
        for data in open_data(text, args.out / "csv"):
            bench = Bench(data, config, args.out / "features", RunLog(None))
            lines = variants(data, bench, "abcd")
            for seed in args.seeds:
                for one in made(bench, lines, seed):
                    name = one.name.replace(" ", "-").replace(",", "")
                    file = kept_in(args.out, config) / f"{data.name}-{name}-{seed}.npz"
                    truth = file.with_suffix(".json")
                    if not truth.is_file():
                        file.parent.mkdir(parents=True, exist_ok=True)
                        evidence, models = evidence_of(bench, one)
                        save_evidence(file, evidence)
                        write_json(truth, models)
                    known = json.loads(truth.read_text(encoding="utf-8"))
                    yield f"{data.name}, {one.name}, seed {seed}", load_evidence(file), known
