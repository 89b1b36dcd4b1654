"""``report.html``: one self-contained page, nothing loaded from anywhere, no scripts. The words are in the template."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from tgkt_edge.train.nn.predict import compared
from tgkt_edge.train.report.figures import line_chart, scatter, swatch, whisker
from tgkt_edge.train.report.material import Findings, Material
from tgkt_edge.train.report.pages import render_page
from tgkt_edge.train.report.retention import retention_lines
from tgkt_edge.train.report.strips import held_strip, target_strip
from tgkt_edge.train.report.words import compared_with, headline, look_of_frames, measure, spread

MODEL_NAMES = {
    "source-only": "source-only",
    "shipped": "shipped network",
    "tgmb": "through T (TGMB)",
    "translate": "translation alone",
    "target": "target network",
}
VERDICTS = {"helped": "helped", "hurt": "hurt", "no evidence": "unsure"}
"""Style of each verdict's box."""

TSNE_FRAMES = 300
"""Frames on the map at most; its time grows with their square."""


def render(material: Material, findings: Findings, report: Mapping[str, Any]) -> str:
    """The page. ``report``: what report.json holds."""
    return render_page(
        "report.html",
        title=f"{material.run.path.name}: {report['verdict']['verdict']}",
        run=material.run.path.resolve().name,
        facts=_facts(material, report),
        verdict=_verdict(report["verdict"], report["method"]),
        compared_with=compared_with(report["method"]),
        baseline=MODEL_NAMES[material.baseline],
        kept=retention_lines(report),
        predicted=_predicted(report),
        translation=_translation(report),
        held=held_strip(material, findings),
        target=target_strip(material, findings),
        epochs=_epoch_charts(report),
        losses=_losses(findings.metrics),
        features=_features(material, findings),
        costs=[_cost(stage, cost) for stage, cost in report["stages"].items()],
        configuration=yaml.safe_dump(dataclasses.asdict(material.config), sort_keys=False),
    )


def _facts(material: Material, report: Mapping[str, Any]) -> list[str]:
    return [
        f"method {report['method']}",
        f"{report['target_frames']} target frames",
        f"{report['pairs']} pairs, {report['held_out_pairs']} of them held out",
        f"{material.config.image_size} pixels",
        f"seed {material.config.seed}",
        f"tgkt-edge {report['tool']['version']}",
    ]


def _verdict(verdict: Mapping[str, Any], method: str) -> dict[str, Any]:
    word, meaning = headline(verdict["verdict"], method)
    rows = []
    for item in verdict["evidence"]:
        title, about = measure(item)
        rows.append(
            {
                "title": title,
                "about": about,
                "drawing": whisker(item["value"], item["low"], item["high"], item["scale"]),
                **{key: f"{item[key]:+.3f}" for key in ("value", "low", "high")},
            }
        )
    return {
        "css": VERDICTS[verdict["verdict"]],
        "headline": word,
        "meaning": meaning,
        "warnings": verdict["warnings"],
        "sentence": verdict["sentence"],
        "look": look_of_frames(verdict["modality_gap"]),
        "evidence": rows,
    }


def _predicted(report: Mapping[str, Any]) -> dict[str, Any]:
    """How many target frames each model puts into each class, as rows of a table."""
    predicted = report["predicted"]
    most = max(max(counts.values()) for counts in predicted.values()) or 1
    tones = {"source-only": 0, "shipped": 0, "tgmb": 1, "translate": 1, "target": 2}
    return {
        "models": [MODEL_NAMES.get(model, model) for model in predicted],
        "rows": [
            {
                "name": name,
                "cells": [
                    {"count": counts[name], "tone": tones.get(model, 3), "width": 60 * counts[name] / most}
                    for model, counts in predicted.items()
                ],
            }
            for name in report["classes"]
        ],
        "spread": [
            (title, [spread(report["entropy"][model][key]) for model in predicted])
            for title, key in (
                ("classes in use, as if used alike", "marginal"),
                ("classes it wavers between on one frame", "conditional"),
            )
        ],
        "agreement": [
            f"{key.removeprefix('target_with_').replace('_', '-')} on {share:.0%} of the frames"
            for key, share in report["agreement"].items()
        ],
    }


def _translation(report: Mapping[str, Any]) -> dict[str, Any] | None:
    found = report["translation"]
    if found is None:
        return None
    return {
        "pairs": found["pairs"],
        "unadapted": report["correlation"].get("source-only"),
        "shares": [
            f"{name} {share:.0%}" for name, share in zip(report["classes"], found["prior"], strict=True)
        ],
        "rows": [
            {
                "encodings": one["encodings"],
                "chosen": same_choice(one, found["chosen"]),
                "start": "identity" if one["identity"] else "zero",
                "strength": f"{one['strength']:g}",
                "correlation": one["correlation"],
            }
            for one in found["tried"]
        ],
    }


def same_choice(one: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Whether a tried translation is the chosen one."""
    return all(one[key] == value for key, value in chosen.items())


def _chart(title: str, drawing: str, lines: Sequence[str] = ()) -> dict[str, Any]:
    """What the template frames: ``lines`` are named beside their colours."""
    return {"title": title, "drawing": drawing, "lines": list(lines)}


def _epoch_charts(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    epochs, notes = report["epochs"], report["pseudo_labels"]
    baseline = MODEL_NAMES[next(iter(report["predicted"]))]
    changed = {
        "answers changed since the epoch before": [
            (epoch["epochs"], epoch["changed"]) for epoch in epochs if epoch["changed"] is not None
        ],
        "pseudo-labels changed": [
            (line["epoch"] - 1, line["pseudo_labels_changed"])
            for line in notes
            if line.get("pseudo_labels_changed") is not None
        ],
    }
    agreeing = {
        f"answers agree with {baseline}": [(e["epochs"], e["with_source_only"]) for e in epochs],
        "teacher agrees with pseudo-labels": [
            (line["epoch"] - 1, line["teacher_agrees"]) for line in notes if "teacher_agrees" in line
        ],
    }
    charts = []
    for title, series in (("Churn", changed), ("Agreement", agreeing)):
        shown = {name: points for name, points in series.items() if points}
        drawing = line_chart(shown, "epochs done", share=True)
        if drawing:
            charts.append(_chart(title, drawing, list(shown)))
    return charts


def _losses(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    terms: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in metrics:
        if "step" in line:
            for name, value in line.items():
                if name not in ("stage", "epoch", "step", "event"):
                    stage = terms.setdefault(line["stage"], {})
                    stage.setdefault(name, []).append((line["step"], float(value)))
    return [
        _chart(f"{stage}: {name}", line_chart({name: points}, "step"))
        for stage, by_name in terms.items()
        for name, points in by_name.items()
    ]


def _features(material: Material, findings: Findings) -> dict[str, Any] | None:
    before, after = findings.answers[material.baseline], findings.answers["target"]
    n = len(before.features)
    if n < 8 or not all(np.isfinite(a.features).all() for a in (before, after)):
        return None
    shown = np.unique(np.linspace(0, n - 1, min(n, TSNE_FRAMES)).round().astype(int))
    frames = compared(len(before.probabilities))[shown]
    charts = []
    for title, answers in (
        (f"before: {MODEL_NAMES[material.baseline]}", before),
        ("after: target network", after),
    ):
        points = embed(answers.features[shown], material.config.seed)
        coloured = answers.named[frames].tolist()
        charts.append(_chart(title, scatter(points.tolist(), coloured, material.classes)))
    return {
        "frames": len(shown),
        "legend": [(swatch(k, name), name) for k, name in enumerate(material.classes)],
        "charts": charts,
    }


def embed(features: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """(n, D) to (n, 2): t-SNE after PCA to at most 50 dimensions."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    # Features that are all alike (a collapsed network) have no spread to divide by: a trace of noise gives one.
    noise = np.random.default_rng(seed).normal(
        scale=1e-6 + 1e-6 * np.abs(features).max(), size=features.shape
    )
    wide = features.astype(np.float64) + noise
    flat = PCA(min(50, *wide.shape), random_state=seed).fit_transform(wide)
    tsne = TSNE(
        2, perplexity=min(30.0, (len(flat) - 1) / 3), init="pca", random_state=seed, max_iter=500, n_jobs=1
    )
    points: NDArray[np.float64] = tsne.fit_transform(flat).astype(np.float64)
    return points


def _cost(stage: str, cost: Mapping[str, Any]) -> dict[str, str]:
    peak = "–" if cost["peak_bytes"] is None else f"{cost['peak_bytes'] / 2**30:.2f} GiB"
    return {"stage": stage, "seconds": f"{cost['seconds']:.0f}", "peak": peak}
