"""``tgkt-edge compare``: where two bundles answer differently, on frames without labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.errors import DataError, GateError, UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.runtime.infer.preprocess_stage import FormatCheck
from tgkt_edge.runtime.model import load
from tgkt_edge.runtime.predict.answers import Answers
from tgkt_edge.runtime.predict.frames import RecordedFrames
from tgkt_edge.runtime.predict.predict import batch_size
from tgkt_edge.runtime.predict.rows import Row

SHOWN = 8
"""Frames named in words. JSON has all, the page the first 60."""

_BOTH = ("old", "new")


def compare(
    old: Path | str,
    new: Path | str,
    frames: str,
    *,
    precision: str = "fp32",
    engine: str = "auto",
    sensor: str | None = None,
    min_agreement: float | None = None,
    page: Path | str | None = None,
    trust: Sequence[Path | str] = (),
) -> dict[str, Any]:
    """Let two bundles answer the same frames.

    Args:
        old, new: folders written by ``export``. Inputs may differ in size, classes in their order; of classes that only
            one of them has, the frames that it gives them count as answered differently.
        frames: what :func:`tgkt_edge.predict` takes.
        precision, engine, sensor: as for :func:`tgkt_edge.run`, for both.
        min_agreement: share 0 to 1 of frames that must get the same label to pass; None: nothing is required.
        page: HTML file to write, with pictures of the frames that differ; another such page there is replaced.
        trust: public keys; given some, both bundles must be signed with one of them.

    Returns:
        ``{"old", "new": {"bundle", "digest", "engine", "classes", "labels": {name: frames}, "confidence": mean
        probability of the label}, "frames": answered by both, "unusable": by at least one not, "agreement",
        "interval": 95 % (Wilson), "classes": {name: {"old", "new", "both"}}, "changes": [{"from", "to", "frames"}],
        "added", "removed": classes, "differ": [{"frame", "path", "old": {"label", "probability"}, "new": ...}],
        "min_agreement", "passed"}``. ``differ`` begins with the frames on which both are most confident.

    Raises:
        UsageError, DataError: (exit 2) bad arguments, sensors of different kinds, not one frame that both can answer,
            or ``page`` is a file of another kind.
        IncompatibleError: (exit 4) a bundle cannot be used.
        SourceLostError: (exit 5) there are no frames, or they contradict the SensorSpec.
        MissingDependency: (exit 6) a library is not installed, Jinja2 for ``page``.
    """
    if min_agreement is not None and not 0 <= min_agreement <= 1:
        raise UsageError(f"`min_agreement={min_agreement:g}`: expected a share from 0 to 1")
    if page is not None:
        from tgkt_edge.evaluation.compare_page import refuse_other_file

        require("jinja2", "train", "`page`")
        refuse_other_file(Path(page))
    bundles = [open_trusted(Path(path), trust) for path in (old, new)]
    kinds = [bundle.sensor.kind for bundle in bundles]
    if kinds[0] != kinds[1]:
        raise UsageError(f"{old} is for {kinds[0]} frames, {new} for {kinds[1]} frames: no frame fits both")
    answers = [_answer(bundle, str(frames), precision, engine, sensor) for bundle in bundles]
    result = _compared([rows for _, rows in answers], bundles)
    for side, path, bundle, (name, _) in zip(_BOTH, (old, new), bundles, answers, strict=True):
        result[side] = {"bundle": str(path), "digest": bundle.digest, "engine": name, **result[side]}
    result["min_agreement"] = min_agreement
    result["passed"] = min_agreement is None or result["agreement"] >= min_agreement - 1e-9
    if page is not None:
        from tgkt_edge.evaluation.compare_page import write_page

        spec = bundles[1].sensor
        write_page(Path(page), result, str(frames), spec, sensor)
    return result


def check(result: dict[str, Any]) -> None:
    """Raise GateError (exit 3) if fewer frames agree than ``min_agreement`` asked for."""
    if not result["passed"]:
        raise GateError(
            f"{result['old']['bundle']} and {result['new']['bundle']} agree on {result['agreement']:.1%} of "
            f"{result['frames']} frames, `min_agreement` asks for {result['min_agreement']:.1%}"
        )


def describe(result: dict[str, Any]) -> list[str]:
    """The result in words."""
    old, new, frames = result["old"], result["new"], result["frames"]
    low, high = result["interval"]
    differ = result["differ"]
    agreement = f"{result['agreement']:.1%} (95 %: {low:.1%} to {high:.1%})"
    agreeing = f"agree on {frames - len(differ)} of {frames} frames"
    lines = [f"{new['bundle']} (new) and {old['bundle']} (old) {agreeing}: {agreement}"]
    if old["digest"] == new["digest"]:
        lines.append("they are the same bundle")
    if result["unusable"]:
        lines.append(f"{result['unusable']} more frames could not be used")
    for name, word in (("removed", "only the old one has"), ("added", "only the new one has")):
        if result[name]:
            lines.append(f"classes that {word}: {', '.join(result[name])}")
    lines.append(f"mean probability of the label: {old['confidence']:.2f} old, {new['confidence']:.2f} new")
    width = max(map(len, result["classes"]))
    lines.append(f"{'':<{width}}    old    new  change  kept")
    for name, count in result["classes"].items():
        kept = f"{count['both'] / count['old']:.0%}" if count["old"] else "-"
        change = count["new"] - count["old"]
        lines.append(f"{name:<{width}}  {count['old']:>5}  {count['new']:>5}  {change:>+6}  {kept:>4}")
    lines += [
        f"{one['frames']} frame{'s' if one['frames'] > 1 else ''} that {'were' if one['frames'] > 1 else 'was'} "
        f"{one['from']} {'are' if one['frames'] > 1 else 'is'} {one['to']} now"
        for one in result["changes"][:SHOWN]
    ]
    lines += [
        f"  {one['path']}: {one['old']['label']} {one['old']['probability']:.2f} -> {one['new']['label']} "
        f"{one['new']['probability']:.2f}"
        for one in differ[:SHOWN]
    ]
    if len(differ) > SHOWN:
        lines.append(f"  ... and {len(differ) - SHOWN} more")
    return lines


def _answer(
    bundle: Bundle, source: str, precision: str, engine: str, sensor: str | None
) -> tuple[str, list[Row]]:
    """The engine's name, and every frame's row."""
    with (
        load(bundle, engine=engine, precision=precision, sensor=sensor, lanes=lanes_for_files()) as model,
        RecordedFrames(source, model.sensor) as frames,
    ):
        batch, check = batch_size(model.engine, None), FormatCheck(model.sensor)
        with Answers(model.engine, model.sensor, model.size, batch, check) as answers:
            return model.engine.name, [row for rows in answers.rows(frames.jobs(0)) for row in rows]


def _compared(answers: Sequence[Sequence[Row]], bundles: Sequence[Bundle]) -> dict[str, Any]:
    """What both say of the frames that both can answer."""
    if len(answers[0]) != len(answers[1]):
        raise DataError(
            f"`frames`: {len(answers[0])} frames for the old bundle, {len(answers[1])} for the new one: did the files "
            f"change in between?"
        )
    pairs: list[list[dict[str, Any]]] = []
    places: list[tuple[int, str]] = []
    for first, second in zip(*answers, strict=True):
        if first.probabilities is None or second.probabilities is None:
            continue
        pairs.append([_named(row, bundle) for row, bundle in zip((first, second), bundles, strict=True)])
        places.append((first.frame, first.path))
    if not pairs:
        why = next(row.error for rows in answers for row in rows if row.error) if answers[0] else "no frame"
        raise DataError(f"`frames`: no frame that both bundles can answer. The first one: {why}")
    labels = [(one["label"], other["label"]) for one, other in pairs]
    names = list(dict.fromkeys([*bundles[0].classes, *bundles[1].classes]))
    counts = [Counter(pair[side] for pair in labels) for side in (0, 1)]
    both = Counter(one for one, other in labels if one == other)
    differ: list[dict[str, Any]] = [
        {"frame": place[0], "path": place[1], "old": pair[0], "new": pair[1]}
        for place, pair in zip(places, pairs, strict=True)
        if pair[0]["label"] != pair[1]["label"]
    ]
    differ.sort(key=lambda one: (-min(one["old"]["probability"], one["new"]["probability"]), one["frame"]))
    changes = Counter((one, other) for one, other in labels if one != other)
    agreeing = len(pairs) - len(differ)
    sides = {
        side: {
            "classes": list(bundles[at].classes),
            "labels": {name: counts[at][name] for name in bundles[at].classes},
            "confidence": sum(pair[at]["probability"] for pair in pairs) / len(pairs),
        }
        for at, side in enumerate(_BOTH)
    }
    return {
        **sides,
        "frames": len(pairs),
        "unusable": len(answers[0]) - len(pairs),
        "agreement": agreeing / len(pairs),
        "interval": list(wilson(agreeing, len(pairs))),
        "classes": {
            name: {"old": counts[0][name], "new": counts[1][name], "both": both[name]} for name in names
        },
        "changes": [{"from": one, "to": other, "frames": n} for (one, other), n in changes.most_common()],
        "added": [name for name in bundles[1].classes if name not in bundles[0].classes],
        "removed": [name for name in bundles[0].classes if name not in bundles[1].classes],
        "differ": differ,
    }


def _named(row: Row, bundle: Bundle) -> dict[str, Any]:
    assert row.probabilities is not None
    best = int(row.probabilities.argmax())
    return {"label": bundle.classes[best], "probability": float(row.probabilities[best])}


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927): ``hits`` of ``count`` independent draws."""
    z, share = 1.959964, hits / count
    middle = share + z * z / (2 * count)
    half = z * (share * (1 - share) / count + z * z / (4 * count * count)) ** 0.5
    return max(0.0, (middle - half) / (1 + z * z / count)), min(1.0, (middle + half) / (1 + z * z / count))
