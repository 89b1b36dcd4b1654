"""One target network on one draw of a data set: trained, exported, and scored in every precision that was exported.

A cell is a folder ``students/DATA/STUDENT-sSEED`` of the work folder: ``run/`` (what ``export`` reads), ``bundle/`` and
``cell.json``, which is written last. Training resumes from its last epoch. Beside the cells lies the translation of
each seed, ``translation-sSEED.safetensors``, from which every network learns.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DataSet
from feature_bench import Bench, Draw
from numpy.typing import NDArray

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.export.export import export
from tgkt_edge.export_options import DEFAULTS
from tgkt_edge.io.atomic import write_json
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.methods.distill import Frames, distill
from tgkt_edge.train.methods.translation.features import Kind
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, save_checkpoint
from tgkt_edge.train.nn.model import Classifier, SceneClassifier, frozen
from tgkt_edge.train.resume_state import StageState
from tgkt_edge.train.run_folder.folder import Run, RunInputs, write_config

Reals = NDArray[np.float64]

LABELS = "labels"

REFERENCE = "resnet50"
"""The translation's own network, which the others are compared with."""

EIGHT_BITS = "int8-cpu"

PRECISIONS = ("fp32", EIGHT_BITS)

MAX_DROP = DEFAULTS.max_drop
"""What the gate allows where nothing else is asked for."""


@dataclass(frozen=True)
class Student:
    """A row of the table.

    Attributes:
        name: as ``--student`` takes it. weights: as ``--student-weights`` takes it. sets: ``--set`` texts.
    """

    name: str
    weights: str = "none"
    sets: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Its part of a folder's name."""
        return self.name.replace(":", "-")

    @property
    def made_from(self) -> dict[str, Any]:
        """What a cell of it says of itself."""
        return {"student": self.name, "sets": list(self.sets), "weights": Path(self.weights).name}

    @property
    def start(self) -> str:
        """What it starts from, in words."""
        if self.name == REFERENCE:
            return "the translation"
        return {"none": "random weights", "imagenet": "ImageNet weights"}.get(
            self.weights, f"`{Path(self.weights).name}`"
        )

    def config(self, base: AdaptConfig, seed: int) -> AdaptConfig:
        """The options of a run of it."""
        flags = {
            "image_size": base.image_size, "batch": base.batch, "weights": base.weights, "seed": seed,
            "device": base.device, "precision": base.precision,
        }  # fmt: skip
        if self.name == REFERENCE:
            return build_config(None, self.sets, {**flags, "method": "translate"})
        student = (f"student.arch={self.name}", f"student.weights={self.weights}")
        return build_config(None, (*student, *self.sets), {**flags, "method": "tgkt"})


def cell_folder(work: Path, data: DataSet, student: Student, seed: int) -> Path:
    """Where a cell lies."""
    return work / "students" / data.name / f"{student.slug}-s{seed}"


def finished(
    work: Path, data: DataSet, student: Student, seed: int, precisions: Sequence[str] = (),
    max_drop: float = MAX_DROP,
) -> dict[str, Any] | None:  # fmt: skip
    """What a cell holds that tried these precisions, INT8 with this ``max_drop``; None where it has not.

    Raises:
        TgktEdgeError: it is of the same network with other weights or options.
    """
    file = cell_folder(work, data, student, seed) / "cell.json"
    cell = refuse_other(file, student) if file.is_file() else None
    if cell is None or not {*precisions} <= {*tried(cell)}:
        return None
    return cell if EIGHT_BITS not in precisions or cell.get("max_drop", MAX_DROP) == max_drop else None


def refuse_other(file: Path, student: Student) -> dict[str, Any]:
    """What the cell in ``file`` holds; TgktEdgeError where it is of the same network with other weights or options."""
    cell: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if (found := {key: cell[key] for key in student.made_from}) != student.made_from:
        raise TgktEdgeError(
            f"{file}: was made from {found}, and now {student.made_from} is asked for. Give the same, or another -o."
        )
    return cell


def tried(cell: dict[str, Any]) -> Sequence[str]:
    """The precisions that a cell was exported in; its ``scores`` lack those that the gate did not let through."""
    found: Sequence[str] = cell.get("tried", PRECISIONS)
    return found


def compute_cell(
    work: Path,
    data: DataSet,
    bench: Bench,
    draw: Draw,
    student: Student,
    seed: int,
    calibration: int,
    precisions: Sequence[str] = PRECISIONS,
    max_drop: float = MAX_DROP,
) -> dict[str, Any]:
    """Train, export and score one cell, going on with what is there.

    Args:
        calibration: frames that INT8 is calibrated on. precisions: to export. max_drop: that the gate allows INT8.

    Returns:
        ``parameters``, ``seconds`` of training since it was last resumed, ``scores``: precision to ``accuracy`` and
        ``balanced_accuracy``, ``float_layers`` that the gate put back to float, ``tried`` precisions, ``max_drop``,
        and what it was made from.
    """
    folder = cell_folder(work, data, student, seed)
    precisions = list(dict.fromkeys(("fp32", *precisions)))  # a bundle is verified in FP32 first
    run, config = Run(folder / "run"), student.config(bench.config, seed)
    if not run.target.is_file():
        run.target.parent.mkdir(parents=True, exist_ok=True)
        teacher, labels = translation_of(work, data, bench, draw, seed)
        network, seconds = learn(bench, draw, teacher, labels, student, config, run.path)
        header = Header("target", tuple(bench.classes), config.image_size, load_sensor(data.sensor))
        save_checkpoint(run.target, network, header)
        write_json(run.path / "trained.json", {"seconds": round(seconds, 1)})
        inputs = RunInputs(str(data.target.resolve()), str(data.paired.resolve()), str(data.source.resolve()))
        write_config(run.path, inputs, load_sensor(data.sensor), config)
    bundle = export(
        run.path, folder / "bundle", precisions=precisions, calibration_frames=calibration, max_drop=max_drop,
        overwrite=True, say=bench.log.say,
    )  # fmt: skip
    scores = {}
    for precision in bundle.precisions:
        of = evaluate(bundle.path, data.labelled, precision=precision)["models"]["target"]
        scores[precision] = {key: of[key] for key in ("accuracy", "balanced_accuracy")}
    steps = bundle.verification.get(EIGHT_BITS, {}).get("steps", [])
    cell = {
        "data": data.name,
        "seed": seed,
        **student.made_from,
        "start": student.start,
        "parameters": _parameters(bundle.path / "model.onnx"),
        **json.loads((run.path / "trained.json").read_text(encoding="utf-8")),
        "scores": scores,
        "tried": precisions,
        "max_drop": max_drop,
        "float_layers": len(steps[-1]["float_layers"]) if steps else 0,
        "draw": hashlib.sha256(draw.source.tobytes() + draw.pairs.tobytes()).hexdigest()[:12],
    }
    write_json(folder / "cell.json", cell)
    return cell


def translation_of(
    work: Path, data: DataSet, bench: Bench, draw: Draw, seed: int
) -> tuple[SceneClassifier, Reals]:
    """The translation's network, and its (N, K) labels of the task's frames: computed once for all students."""
    file = work / "students" / data.name / f"translation-s{seed}.safetensors"
    if not file.is_file():
        found = bench.translate(*bench.source(draw.source), draw)
        labels = {LABELS: torch.from_numpy(found.labels)}
        header = Header("target", tuple(bench.classes), bench.config.image_size, beside=labels)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(file, found.network, header)
    network, header = load_classifier(file, "target")
    assert isinstance(network, SceneClassifier)
    return network, header.beside[LABELS].numpy()


def learn(
    bench: Bench, draw: Draw, network: SceneClassifier, labels: Reals, student: Student, config: AdaptConfig,
    folder: Path,
) -> tuple[Classifier, float]:  # fmt: skip
    """The network that learnt from ``draw.frames`` and their (N, K) labels, and the seconds that it took.

    Args:
        network: the translation's. folder: where training leaves what it goes on from after a stop.
    """
    teacher = frozen(bench.compute.place(network))
    if student.name == REFERENCE:
        return teacher, 0.0
    kind = Kind(teacher.pooled, True, "normals" if teacher.normals else "plain", config.translation.views)
    own = Frames(bench.frames_store(draw.frames), bench.rows("target", kind, draw.frames))
    other = Frames(
        bench.pairs_store(draw.paired_frames), bench.rows("paired frames", kind, draw.paired_frames)
    )
    state = StageState(folder / "state.safetensors", config.save_every_s)
    began = time.monotonic()
    learnt = distill(teacher, own, other, labels, config, bench.compute, bench.log, state)
    seconds = time.monotonic() - began
    state.clear()
    return learnt, seconds


def _parameters(model: Path) -> int:
    """Numbers in an exported graph's weights, batch norms folded."""
    import onnx

    graph = onnx.load(str(model)).graph
    return sum(_size(tensor.dims) for tensor in graph.initializer)


def _size(dims: Sequence[int]) -> int:
    total = 1
    for dim in dims:
        total *= dim
    return total
