"""What a verdict is made from, kept on disk, so that a changed verdict is measured in seconds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tgkt_edge.data.loading import load_frames, load_pairs
from tgkt_edge.io.atomic import atomic_file
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.feature_stages import kept_translation, left_out_pairs
from tgkt_edge.train.holdout import neighbour_runs, no_pairs, split_pairs
from tgkt_edge.train.nn.checkpoint import load_classifier, load_into, load_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Translator
from tgkt_edge.train.report.comparison import Evidence
from tgkt_edge.train.report.material import Material, Model
from tgkt_edge.train.report.summary import evidence, gather
from tgkt_edge.train.run_folder.folder import Run


def save_evidence(file: Path, found: Evidence) -> None:
    """Write all that is not None."""
    values = {item.name: getattr(found, item.name) for item in dataclasses.fields(found)}
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items() if value is not None}
    with atomic_file(file) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def load_evidence(file: Path) -> Evidence:
    """What :func:`save_evidence` wrote."""
    with np.load(file) as kept:
        values = {name: kept[name] for name in kept.files}
    values["classes"] = tuple(map(str, values["classes"]))
    values["held_runs"] = values["held_runs"].astype(int).tolist()
    if "last_churn" in values:
        values["last_churn"] = float(values["last_churn"])
    if "belong" in values:
        values["belong"] = bool(values["belong"])
    for name in ("scratch", "standardized"):
        values[name] = bool(values.get(name, False))
    return Evidence(**values)


def evidence_of(run: Run) -> Evidence:
    """What a finished run's verdict is made from, asked of its models again."""
    inputs, sensor, config = run.read_config()
    side = resize_side(config.image_size)
    compute = Compute(torch.device("cpu"), "fp32")
    source, header = load_classifier(run.source)
    source = compute.place(source)
    models = {"source-only": Model(source)}
    if config.method in ("tgmb", "tgkt") and not config.by_features:
        translator = Translator().eval()
        load_into(translator, load_tensors(run.translator)[0], run.translator)
        models["tgmb"] = Model(source, compute.place(translator))
    if config.method == "tgmb":
        models["target"] = models["tgmb"]
    else:
        models["target"] = Model(compute.place(load_classifier(run.target, "target")[0]))
    target, pinned = load_frames(Path(inputs.target), sensor, side, skip_bad=True)
    held, count = no_pairs(side), 0
    held_runs: list[int] = []
    if inputs.paired is not None:
        pairs = load_pairs(Path(inputs.paired), sensor, side, skip_bad=True)
        _, held, held_runs = split_pairs(pairs, config.holdout, config.seed)
        count = len(pairs)
    left_out = None
    if config.by_features:
        known = kept_translation(*load_classifier(run.stages(config)["translate"], "target"))
        left_out, held = left_out_pairs(known), no_pairs(side)
        held_runs = neighbour_runs(len(known.rows))
    material = Material(
        run, config, pinned, header.classes, target, count, held, held_runs, models, compute.device,
        left_out=left_out,
    )  # fmt: skip
    return evidence(material, gather(material))
