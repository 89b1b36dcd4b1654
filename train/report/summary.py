"""What a finished run shows without labels: ``report.json`` and ``report.html``.

``report.json`` holds:

- ``tool``, ``schema`` (1), ``method``, ``classes``, ``target_frames``, ``pairs`` (all), ``held_out_pairs``;
- ``stages``: {stage: {``seconds``, ``peak_bytes`` (of GPU memory, or of the process on a CPU; perhaps null)}};
- ``predicted``: {model: {class: frames given to it}}; models are ``source-only`` (C(F_s(frame))), ``tgmb``
  (C(F_s(T(frame))), where there is a T) and ``target`` (what ships);
- ``dead_classes``: {model: classes given to no frame};
- ``entropy``: {model: {``marginal``: of the mean prediction, ``conditional``: mean of the predictions', nats;
  ``information``: their difference, which the losses of most methods maximise: **biased**, no evidence}};
- ``agreement``: share of the target frames on which two models name one class;
- ``held_out``: {model: {``agreement``, ``overlap``, ``kl``}} of its answer on held-out TI frames with the source
  model's on their RGB, means over pairs; {} if no pair was held out;
- ``correlation``: {model: of its answers on held-out frames with the source model's on their RGB, mean over classes};
- ``translation``: of translated features (else null): ``chosen`` and all that was ``tried``, each with ``encodings``,
  ``strength``, ``identity`` and ``correlation`` (on pairs left out); ``pairs``, ``match_p_value`` (how often shuffled
  pairs match as well as these do, 0.001 to 1), ``prior`` (shares by class),
  ``prior_doubt`` (see :mod:`tgkt_edge.train.report.prior_doubt`), whether
  the spread of features was the source model's (``own_spread``), and so on;
- ``epochs``: one object an epoch whose answers were kept: ``stage``, ``epochs`` (done), ``changed`` (share of the
  frames that got another class than an epoch before; null for a stage's first), ``with_source_only``;
  ``pseudo_labels``: what metrics.jsonl notes of them, one object an epoch;
- ``old_frames``, of a continued run: see :mod:`tgkt_edge.train.report.retention`; ``with_source_only`` is there of the
  shipped network, which ``shipped`` is the name of among models;
- ``verdict``: see :mod:`tgkt_edge.train.report.verdict`.

All answers are float32, as ``evaluate`` gives and ``export`` ships; those of kept epochs are in the run's precision.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge import __version__
from tgkt_edge.data.discovery import escape_name
from tgkt_edge.io.atomic import write_json, write_text
from tgkt_edge.monitoring.reference_stats import Statistics
from tgkt_edge.monitoring.value_scale import ValueScale
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.predict import checked_answers, compared, predict_target
from tgkt_edge.train.report.comparison import Evidence
from tgkt_edge.train.report.html import render
from tgkt_edge.train.report.material import Answers, Findings, Material, Model
from tgkt_edge.train.report.metrics import divergence, overlap
from tgkt_edge.train.report.prior_doubt import prior_warnings
from tgkt_edge.train.report.progress import ReportProgress
from tgkt_edge.train.report.retention import OWN_SPACE, SHIPPED, retention, retention_warnings
from tgkt_edge.train.report.verdict import judge
from tgkt_edge.train.run_folder.folder import Run

Floats = NDArray[np.float32]
SCHEMA = 1


def write_report(material: Material) -> dict[str, Any]:
    """Ask every model, judge, and write ``report.json`` and ``report.html``. Returns what report.json holds."""
    progress = ReportProgress(_work(material), RunLog(None).say)
    findings = gather(material, progress)
    progress.begin("comparing the networks")
    report = summarise(material, findings)
    progress.advance(EQUIVALENT)
    progress.begin("statistics of the frames, for the bundle")
    _write_statistics(material, findings.answers["target"])
    progress.advance(EQUIVALENT)
    progress.begin("pictures and report.html")
    write_text(material.run.path / "report.html", escape_name(render(material, findings, report)))
    write_json(material.run.path / "report.json", report)  # last: it marks the run as finished
    progress.end()
    return report


EQUIVALENT = 50
"""Frames that a network answers in the time of one of the other steps, about."""


def _work(material: Material) -> float:
    """Frames that networks are asked about, and the equivalent of the other steps."""
    asked = len({id(model) for model in material.models.values()}) * (
        len(material.target) + len(material.held)
    )
    old = 0 if material.old is None else 2 * len(material.old)
    return asked + len(material.held) + old + 3 * EQUIVALENT


def _write_statistics(material: Material, answers: Answers) -> None:
    """Write ``statistics.json``, for the bundle; nothing where the frames are too few, or of unknown raw quality."""
    target = material.target
    if target.invalid is not None:
        found = Statistics.of_codes(
            target.codes,
            material.config.image_size,
            target.invalid,
            answers.probabilities,
            ValueScale.of(target.levels, material.sensor) if target.levels is not None else None,
        )
        if found is not None:
            found.write(material.run.statistics)


def gather(material: Material, progress: ReportProgress | None = None) -> Findings:
    """One pass of every model over the target frames and the held-out pairs, in float32, central crops.

    Answers to the target frames that a network already gave as its stage ended are reused.
    """
    exact = Compute(material.device, "fp32")
    config = material.config
    progress = progress or ReportProgress(_work(material), lambda _: None)

    def ask(name: str, model: Model, images: Store) -> Answers:
        known = checked_answers(model.translator or model.network, images, config.image_size)
        if known is None:
            progress.begin(f"{name} answers", len(images))
            known = predict_target(
                model.network, images, config.image_size, config.batch, exact, model.translator, name,
                progress.advance, compared(len(images)),
            )  # fmt: skip
        else:
            progress.advance(len(images))
        features, logits = known
        return Answers(features.cpu().numpy(), logits.softmax(1).cpu().numpy())

    def ask_all(images: Store) -> dict[str, Answers]:
        known: dict[int, Answers] = {}
        for name, model in material.models.items():
            if id(model) not in known:
                known[id(model)] = ask(name, model, images)
        return {name: known[id(model)] for name, model in material.models.items()}

    held: dict[str, Answers] = {}
    rgb = None
    if len(material.held):
        held = ask_all(Store(material.held.codes, material.device))
        source = Model(material.models[material.baseline].network)
        rgb = ask(material.baseline, source, Store(material.held.rgb, material.device))
    target = material.store
    if target is None:
        target = Store(material.target.codes, material.device)
    return Findings(
        ask_all(target),
        held,
        rgb,
        kept_epochs(material.run, (len(material.target), len(material.classes))),
        read_metrics(material.run),
        {} if material.old is None else ask_all(Store(material.old.codes, material.device)),
    )


def kept_epochs(run: Run, shape: tuple[int, int]) -> list[tuple[str, int, NDArray[np.int64]]]:
    """(stage, epochs done, (N,) classes given) of every file in ``epochs/``, in the order of training.

    Args:
        shape: (N, K) of the probabilities that are expected there.
    """
    found = []
    for file in (run.path / "epochs").glob("*.safetensors"):
        tensors, about = load_tensors(file)
        probabilities = tensors["probabilities"].numpy()
        if (
            probabilities.shape == shape and np.isfinite(probabilities).all()
        ):  # of an epoch that found back, too
            found.append((str(about["stage"]), int(about["epochs"]), probabilities.argmax(1)))
    order = list(run.stage_costs())
    return sorted(
        found, key=lambda item: (order.index(item[0]) if item[0] in order else len(order), *item[:2])
    )


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; none if nothing was trained."""
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def summarise(material: Material, findings: Findings) -> dict[str, Any]:
    """What ``report.json`` holds; see the head of this module."""
    classes, answers = material.classes, findings.answers
    counts = {name: np.bincount(a.named, minlength=len(classes)) for name, a in answers.items()}
    target, kept = answers["target"].named, retention(findings.old)
    return {
        "tool": {"name": "tgkt-edge", "version": __version__},
        "schema": SCHEMA,
        "method": getattr(material.config, "method", "tgkt"),
        "classes": list(classes),
        "target_frames": len(material.target),
        "pairs": material.pairs,
        "held_out_pairs": len(material.held),
        "stages": material.run.stage_costs(),
        "predicted": {name: dict(zip(classes, n.tolist(), strict=True)) for name, n in counts.items()},
        "dead_classes": {
            name: [c for c, k in zip(classes, n, strict=True) if not k] for name, n in counts.items()
        },
        "entropy": {name: entropies(a.probabilities) for name, a in answers.items()},
        "agreement": {
            f"target_with_{name.replace('-', '_')}": float((a.named == target).mean())
            for name, a in answers.items()
            if name != "target"
        },
        "held_out": {
            name: {key: float(values.mean()) for key, values in likeness(a, findings.rgb).items()}
            for name, a in findings.held.items()
            if findings.rgb is not None
        },
        "correlation": {
            name: float(
                correlation(
                    findings.rgb.probabilities.astype(np.float64), a.probabilities.astype(np.float64)
                )[0]
            )
            for name, a in findings.held.items()
            if findings.rgb is not None
        },
        "translation": material.translation,
        "epochs": epoch_story(findings, answers[material.baseline].named),
        "pseudo_labels": [line for line in findings.metrics if line.get("event") == "epoch"],
        **({"old_frames": kept} if kept else {}),
        "verdict": verdict(material, findings),
    }


def verdict(material: Material, findings: Findings) -> dict[str, Any]:
    """``verdict`` of report.json."""
    found = judge(evidence(material, findings)).to_dict()
    more = [
        *prior_warnings(material.translation, material.classes, material.config.translation.prior),
        *retention_warnings(retention(findings.old)),
    ]
    return {**found, "warnings": [*found["warnings"], *more]}


def entropies(p: Floats) -> dict[str, float]:
    """Entropy of the mean of (N, K) predictions, mean of their entropies, and the difference, in nats."""

    def entropy(q: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = -(q * np.log(np.maximum(q, 1e-12))).sum(-1)
        return total

    wide = p.astype(np.float64)
    marginal, conditional = float(entropy(wide.mean(0))), float(entropy(wide).mean())
    return {"marginal": marginal, "conditional": conditional, "information": marginal - conditional}


def likeness(model: Answers, rgb: Answers) -> dict[str, NDArray[np.float64]]:
    """How near a model's answers on frames are to the source model's on their RGB, pair by pair, each (M,).

    ``agreement``: 1 where both name one class; ``overlap``: sum of min(p, q), 0 to 1; ``kl``: KL(rgb || model), nats.
    """
    return {
        "agreement": (model.named == rgb.named).astype(np.float64),
        "overlap": overlap(model.probabilities, rgb.probabilities),
        "kl": divergence(rgb.probabilities, model.probabilities),
    }


def epoch_story(findings: Findings, source_only: NDArray[np.int64]) -> list[dict[str, Any]]:
    """How the answers moved from epoch to epoch, ending with what ships."""
    steps = list(findings.epochs)
    if steps:
        stage, n, _ = steps[-1]
        steps.append((stage, n + 1, findings.answers["target"].named))
    story: list[dict[str, Any]] = []
    for before, (stage, n, named) in zip([None, *steps], steps, strict=False):
        first = before is None or before[0] != stage
        story.append(
            {
                "stage": stage,
                "epochs": n,
                "changed": None if first or before is None else float((named != before[2]).mean()),
                "with_source_only": float((named == source_only).mean()),
            }
        )
    return story


def evidence(material: Material, findings: Findings) -> Evidence:
    """What the verdict rests on."""
    answers, held = findings.answers, findings.held
    baseline = material.baseline
    churn = [step["changed"] for step in epoch_story(findings, answers[baseline].named)]
    rgb, source, target = (
        a.probabilities if a is not None else None
        for a in (findings.rgb, held.get(baseline), held.get("target"))
    )
    # Of a translation of features: honest, where the network's own answers saw the pairs.
    pairs = material.left_out
    if pairs is not None:
        rgb, target = pairs.rgb.astype(np.float32), pairs.translated.astype(np.float32)
        source = source if pairs.source is None else pairs.source.astype(np.float32)
    source_network = material.models[baseline].network
    return Evidence(
        classes=material.classes,
        features=answers[baseline].features,
        source=answers[baseline].probabilities,
        target=answers["target"].probabilities,
        tgmb=answers["tgmb"].probabilities if "tgmb" in answers else None,
        rgb=rgb,
        held_source=source,
        held_target=target,
        held_runs=material.held_runs,
        last_churn=churn[-1] if churn else None,
        belong=None if pairs is None else pairs.belong,
        scratch=material.config.weights == "none" and not isinstance(source_network, ImportedClassifier),
        standardized=baseline != SHIPPED
        and source_network.pooled != ()
        and material.config.weights != "none",
        baseline="the shipped network" if baseline == SHIPPED else baseline,
        **({"handicap": OWN_SPACE} if baseline == SHIPPED else {}),
    )
