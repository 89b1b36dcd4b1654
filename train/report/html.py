"""``report.html``: one self-contained page, nothing loaded from anywhere, no scripts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from tgkt_edge.train.report.figures import line_chart, scatter, swatch, whisker
from tgkt_edge.train.report.material import Findings, Material
from tgkt_edge.train.report.strips import held_strip, target_strip
from tgkt_edge.train.report.style import card, legend, page, section
from tgkt_edge.train.report.words import headline, measure, spread

MODEL_NAMES = {
    "source-only": "source-only",
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
    parts = [
        _head(material, report),
        _verdict(report),
        _answers(report),
        _translation(report),
        held_strip(material, findings),
        target_strip(material, findings),
        _epochs(report),
        _losses(findings.metrics),
        _features(material, findings),
        _costs(report),
        _configuration(material),
    ]
    return page(f"{material.run.path.name}: {report['verdict']['verdict']}", "\n".join(filter(None, parts)))


def _head(material: Material, report: Mapping[str, Any]) -> str:
    config = material.config
    facts = [
        f"method {report['method']}",
        f"{report['target_frames']} target frames",
        f"{report['pairs']} pairs, {report['held_out_pairs']} of them held out",
        f"{config.image_size} pixels",
        f"seed {config.seed}",
        f"tgkt-edge {report['tool']['version']}",
    ]
    return (
        f'<h1>{escape(material.run.path.resolve().name)}</h1><p class="soft">{escape(" · ".join(facts))}</p>'
    )


def _verdict(report: Mapping[str, Any]) -> str:
    verdict = report["verdict"]
    css, (word, meaning) = VERDICTS[verdict["verdict"]], headline(verdict["verdict"])
    rows = []
    for item in verdict["evidence"]:
        drawn = whisker(item["value"], item["low"], item["high"], item["scale"])
        number = f"{item['value']:+.3f}"
        span = f"{item['low']:+.3f} to {item['high']:+.3f}"
        title, about = measure(item)
        rows.append(
            f'<div><b>{escape(title)}</b><br><span class="soft">{escape(about)}</span></div>'
            f'<div>{drawn}<div class="figures">{number} <span class="soft">{span}</span></div></div>'
        )
    warnings = "".join(f"<li>{escape(text)}</li>" for text in verdict["warnings"])
    return (
        f'<div class="verdict {css}"><b>{word}</b>{escape(meaning)}</div>\n'
        + (f"<ul>{warnings}</ul>" if warnings else "")
        + f'<p class="soft">{escape(verdict["sentence"])}</p>'
        '<p class="soft">All of this compares with the source model used as it is ("source-only"), without a single '
        "label. Labels beat it: <code>tgkt-edge audit RUN --frames 60</code> turns an hour of labelling into an "
        "accuracy with an interval.</p>"
        + section(
            "Why",
            "Each row compares the adapted network with source-only: right of the dashed line speaks for the adapted "
            "one. A bar is the range that chance leaves open (90 %); where it crosses the line it is grey, and decides "
            "nothing.",
            card(f'<div class="why">{"".join(rows)}</div>') if rows else "",
        )
    )


def _answers(report: Mapping[str, Any]) -> str:
    predicted = report["predicted"]
    models = list(predicted)
    most = max(max(counts.values()) for counts in predicted.values()) or 1
    header = "".join(f"<th>{escape(MODEL_NAMES.get(m, m))}</th>" for m in models)
    rows = []
    for name in report["classes"]:
        cells = []
        for model in models:
            count = predicted[model][name]
            text = f"<span>{count}</span>" if count else '<span class="none">none</span>'
            tone = {"source-only": 0, "tgmb": 1, "translate": 1, "target": 2}.get(model, 3)
            bar = f'<i class="s{tone}" style="width:{60 * count / most:.1f}%"></i>'
            cells.append(f'<td><div class="meter">{bar}{text}</div></td>')
        rows.append(f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>")
    facts = (
        ("classes in use, as if used alike", "marginal"),
        ("classes it wavers between on one frame", "conditional"),
    )
    for title, key in facts:
        cells = [f"<td>{spread(report['entropy'][m][key]):.1f}</td>" for m in models]
        rows.append(f'<tr class="soft"><td>{title}</td>{"".join(cells)}</tr>')
    agreement = "; ".join(
        f"{key.removeprefix('target_with_').replace('_', '-')} on {share:.0%} of the frames"
        for key, share in report["agreement"].items()
    )
    table = f'<div class="scroll"><table><tr><th>class</th>{header}</tr>{"".join(rows)}</table></div>'
    return section(
        "Classes given to the target frames",
        f"How many frames each network puts into each class; a class without frames is marked. Few classes in use, or "
        f"many that it wavers between, are bad signs; good numbers alone prove nothing: training aims at them. The "
        f"adapted network gives the same class as {agreement}.",
        card(table),
    )


def _translation(report: Mapping[str, Any]) -> str:
    told = report["translation"]
    if told is None:
        return ""
    rows = "".join(
        f"<tr><td>{escape(' and '.join(one['encodings']))}{' ◀' if same_choice(one, told['chosen']) else ''}</td>"
        f"<td>{'identity' if one['identity'] else 'zero'}</td>"
        f'<td class="n">{one["strength"]:g}</td><td class="n">{one["correlation"]:.3f}</td></tr>'
        for one in told["tried"]
    )
    header = "<tr><th>frames</th><th>from</th><th>strength</th><th>correlation</th></tr>"
    shares = ", ".join(
        f"{escape(name)} {share:.0%}" for name, share in zip(report["classes"], told["prior"], strict=True)
    )
    unadapted = report["correlation"].get("source-only")
    beside = f" Source-only, one view: {unadapted:.3f}." if unadapted is not None else ""
    return section(
        "Translation",
        f"Tried on {told['pairs']} pairs, each left out once: the correlation of the source model's answers on the "
        f"translated frame with those on its RGB, mean over classes; the largest was used.{beside} "
        f"Expected shares: {shares}.",
        card(f'<div class="scroll"><table>{header}{rows}</table></div>'),
    )


def same_choice(one: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Whether a tried translation is the chosen one."""
    return all(one[key] == value for key, value in chosen.items())


def _epochs(report: Mapping[str, Any]) -> str:
    cards = []
    epochs, notes = report["epochs"], report["pseudo_labels"]
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
        "answers agree with source-only": [(e["epochs"], e["with_source_only"]) for e in epochs],
        "teacher agrees with pseudo-labels": [
            (line["epoch"] - 1, line["teacher_agrees"]) for line in notes if "teacher_agrees" in line
        ],
    }
    for title, series in (("Churn", changed), ("Agreement", agreeing)):
        shown = {name: points for name, points in series.items() if points}
        chart = line_chart(shown, "epochs done", share=True)
        if chart:
            cards.append(card(legend(list(shown)) + chart, title))
    return section(
        "Epoch by epoch",
        "Answers on all target frames before each epoch, and those of the network that ships.",
        f'<div class="grid">{"".join(cards)}</div>' if cards else "",
    )


def _losses(metrics: Sequence[Mapping[str, Any]]) -> str:
    terms: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in metrics:
        if "step" in line:
            for name, value in line.items():
                if name not in ("stage", "epoch", "step", "event"):
                    stage = terms.setdefault(line["stage"], {})
                    stage.setdefault(name, []).append((line["step"], float(value)))
    cards = [
        card(line_chart({name: points}, "step"), f"{stage}: {name}")
        for stage, by_name in terms.items()
        for name, points in by_name.items()
    ]
    return section(
        "Losses",
        "<code>loss</code> is the weighted sum; every other term is shown before its weight. "
        "Averaged over the steps between two lines of metrics.jsonl.",
        f'<div class="grid">{"".join(cards)}</div>' if cards else "",
    )


def _features(material: Material, findings: Findings) -> str:
    before, after = findings.answers["source-only"], findings.answers["target"]
    n = len(before.features)
    if n < 8 or not all(np.isfinite(a.features).all() for a in (before, after)):
        return ""
    shown = np.unique(np.linspace(0, n - 1, min(n, TSNE_FRAMES)).round().astype(int))
    cards = []
    for title, answers in (("before: source-only", before), ("after: target network", after)):
        points = embed(answers.features[shown], material.config.seed)
        coloured = answers.named[shown].tolist()
        cards.append(card(scatter(points.tolist(), coloured, material.classes), title))
    names = "".join(f"<span>{swatch(k, c)}{escape(c)}</span>" for k, c in enumerate(material.classes))
    return section(
        "Features",
        f"A map (t-SNE) of {len(shown)} target frames by what the network sees in them, coloured by the "
        "class that it gives. Tidy clusters are not right ones: self-training makes them whatever the labels are.",
        f'<div class="legend">{names}</div><div class="grid">{"".join(cards)}</div>',
    )


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


def _costs(report: Mapping[str, Any]) -> str:
    rows = ""
    for stage, cost in report["stages"].items():
        peak = "–" if cost["peak_bytes"] is None else f"{cost['peak_bytes'] / 2**30:.2f} GiB"
        rows += f'<tr><td>{escape(stage)}</td><td class="n">{cost["seconds"]:.0f} s</td><td class="n">{peak}</td></tr>'
    if not rows:
        return ""
    header = '<tr><th>stage</th><th class="n">time</th><th class="n">peak memory</th></tr>'
    return section("Costs", "What each trained stage took.", card(f"<table>{header}{rows}</table>"))


def _configuration(material: Material) -> str:
    text = yaml.safe_dump(dataclasses.asdict(material.config), sort_keys=False)
    inside = f"<details><summary>All options of this run</summary><pre>{escape(text)}</pre></details>"
    return section("Configuration", "As in config.yaml.", card(inside))
