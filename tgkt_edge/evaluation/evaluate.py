"""``tgkt-edge evaluate``: accuracy on labelled frames, of a run's three models or of a bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import MANIFEST, Bundle
from tgkt_edge.bundle.signature import refuse_untrusted
from tgkt_edge.data.loading import Frames, load_labelled_frames
from tgkt_edge.errors import IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.evaluation import temperature as calibration
from tgkt_edge.io.atomic import write_text
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import center_crop, resize_side, to_unit
from tgkt_edge.sensor import SensorSpec, load_sensor

MODELS = ("source-only", "shipped", "tgmb", "translate", "target")

Floats = NDArray[np.float32]


def evaluate(
    path: Path | str,
    data: Path | str,
    *,
    models: Sequence[str] | None = None,
    sensor: str | None = None,
    precision: str = "fp32",
    device: str = "auto",
    skip_bad: bool = False,
    predictions: Path | str | None = None,
    trust: Sequence[Path | str] = (),
) -> dict[str, Any]:
    """Classify labelled frames and compare.

    Args:
        path: a run folder (PyTorch, full precision) or a bundle (ONNX Runtime, frame by frame as ``run`` does).
        data: a folder of class folders, or a CSV with columns ``frame`` and ``label``.
        models: of MODELS; default: all of a run, and "target", the only one, of a bundle.
        sensor: how these frames are written, if not as the adapted ones.
        precision: of a bundle's model. device: where a run is evaluated: "auto", "cpu" or "cuda".
        skip_bad: go on without frames that cannot be used.
        predictions: write one JSON object a frame and model to this file.
        trust: public keys (.pub); given some, a bundle is refused unless it is signed with one of them.

    Returns:
        ``{"frames", "classes", "models": {name: {**measure(...), "calibration": calibrated(...)}}}``.

    Raises:
        UsageError, DataError: bad arguments or data. IncompatibleError: ``path`` is neither run nor bundle.
        TgktEdgeError: a model's outputs are non-finite.
    """
    path, data = Path(path), Path(data)
    refuse_untrusted(path, trust)
    if (path / MANIFEST).is_file():
        classes, frames, answers = _bundle_answers(path, data, models, sensor, precision, skip_bad)
    elif (path / "config.yaml").is_file():
        classes, frames, answers = _run_answers(path, data, models, sensor, device, skip_bad)
    else:
        raise IncompatibleError(f"{path}: neither a run folder (config.yaml) nor a bundle ({MANIFEST})")
    assert frames.labels is not None
    for name, p in answers.items():
        lost = int((~np.isfinite(p).all(1)).sum())
        if lost:
            raise TgktEdgeError(
                f"{path}, {name}: its answers to {lost} of {len(p)} frames are infinite or not a number: nothing can "
                f"be measured. Adapt or export it again."
            )
    if predictions is not None:
        lines = [
            json.dumps({"model": name, "frame": frames.names[i], **answer(classes, probabilities[i])})
            for name, probabilities in answers.items()
            for i in range(len(frames))
        ]
        write_text(Path(predictions), "\n".join(lines) + "\n")
    return {
        "frames": len(frames),
        "classes": list(classes),
        "models": {
            name: {
                **measure(frames.labels, p.argmax(1), classes),
                "calibration": calibrated(p, frames.labels),
            }
            for name, p in answers.items()
        },
    }


def answer(classes: Sequence[str], probabilities: Floats) -> dict[str, Any]:
    """Label, its probability, and all probabilities (K,) by class name."""
    best = int(probabilities.argmax())
    return {
        "label": classes[best],
        "probability": float(probabilities[best]),
        "probabilities": dict(zip(classes, map(float, probabilities), strict=True)),
    }


def measure(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Accuracy, balanced accuracy (mean recall of the classes that occur), recall by class, confusion matrix.

    Args:
        truth, predicted: (N,) class indices.

    Returns:
        Shares 0 to 1; ``confusion_matrix`` is K rows (truth) by K columns (predicted); the recall of a class that
        does not occur is None.
    """
    metrics = require("sklearn.metrics", "train", "Evaluation")
    matrix = metrics.confusion_matrix(truth, predicted, labels=range(len(classes)))
    support = matrix.sum(1)
    recall = [float(matrix[k, k] / support[k]) if support[k] else None for k in range(len(classes))]
    present = [value for value in recall if value is not None]
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        # sklearn's balanced_accuracy_score warns where a class is predicted that does not occur; this is its value.
        "balanced_accuracy": float(np.mean(present)),
        "recall": dict(zip(classes, recall, strict=True)),
        "support": dict(zip(classes, support.tolist(), strict=True)),
        "confusion_matrix": matrix.tolist(),
    }


def calibrated(probabilities: Floats, labels: NDArray[np.int64]) -> dict[str, Any]:
    """How far (N, K) probabilities can be trusted.

    Returns:
        ``nll``, the mean negative log likelihood in nats; ``ece``, the expected calibration error, 0 to 1; ``fitted``:
        what a temperature fitted on these frames would make of both
        (:func:`tgkt_edge.evaluation.temperature.measure`), on top
        of one that is already applied; None for too few frames.
    """
    logits = np.log(np.maximum(probabilities, 1e-30))  # up to a constant, which changes no softmax
    return {
        "nll": calibration.nll(logits, labels),
        "ece": calibration.ece(probabilities, labels),
        "fitted": calibration.measure(logits, labels) if len(labels) >= calibration.MIN_LABELLED else None,
    }


def describe(result: dict[str, Any]) -> list[str]:
    """Tables for a person: one line a model, then recall by class, then each confusion matrix."""
    models, classes = result["models"], result["classes"]
    width = max(map(len, (*classes, *models)))
    lines = [f"{result['frames']} frames", f"{'':<{width}}  accuracy  balanced"]
    lines += [
        f"{name:<{width}}  {m['accuracy']:>8.1%}  {m['balanced_accuracy']:>8.1%}"
        for name, m in models.items()
    ]
    for name, m in models.items():
        found = m["calibration"]
        lines.append(
            f"{name}: calibration error {found['ece']:.3f}, negative log likelihood {found['nll']:.3f}"
        )
        if found["fitted"] and calibration.helps(found["fitted"]):
            lines.append(f"  export with `labels` would apply a {calibration.describe(found['fitted'])}")
    lines += ["", f"{'recall':<{width}}  {'  '.join(f'{name:>11}' for name in models)}  frames"]
    support = next(iter(models.values()))["support"]
    for name in classes:
        shares = ("-" if m["recall"][name] is None else f"{m['recall'][name]:.1%}" for m in models.values())
        lines.append(f"{name:<{width}}  {'  '.join(f'{share:>11}' for share in shares)}  {support[name]:>6}")
    for name, m in models.items():
        lines += ["", f"{name}: rows are the truth, columns the prediction, both in the order above"]
        lines += [
            f"{row:<{width}}  " + " ".join(f"{n:>5}" for n in counts)
            for row, counts in zip(classes, m["confusion_matrix"], strict=True)
        ]
    return lines


def _spec(adapted: SensorSpec, sensor: str | None) -> SensorSpec:
    return adapted if sensor is None else load_sensor(sensor).with_range_of(adapted)


def _requested(models: Sequence[str] | None, have: Sequence[str], path: Path) -> tuple[str, ...]:
    requested = tuple(models) if models else tuple(have)
    for name in requested:
        if name not in have:
            raise UsageError(f"`models={name}`: {path} has {', '.join(have)}")
    return requested


def _bundle_answers(
    path: Path, data: Path, models: Sequence[str] | None, sensor: str | None, precision: str, skip_bad: bool
) -> tuple[tuple[str, ...], Frames, dict[str, Floats]]:
    from tgkt_edge.runtime.engines.select import open_engine

    bundle = Bundle.open(path)
    _requested(models, ("target",), path)
    frames = load_labelled_frames(
        data, _spec(bundle.sensor, sensor), resize_side(bundle.size), bundle.classes, skip_bad=skip_bad
    )
    engine = open_engine(bundle, precision)
    try:
        rows = [
            engine.infer(to_unit(center_crop(codes, bundle.size))[None, None])[1][0] for codes in frames.codes
        ]
    finally:
        engine.close()
    return bundle.classes, frames, {"target": np.stack(rows)}


def _run_answers(
    path: Path, data: Path, models: Sequence[str] | None, sensor: str | None, device: str, skip_bad: bool
) -> tuple[tuple[str, ...], Frames, dict[str, Floats]]:
    require("torch", "train", "Evaluating a run")
    from tgkt_edge.train.audit.frames import trained_on, unseen
    from tgkt_edge.train.report.model_outputs import run_answers

    classes, size, adapted, by_name = run_answers(path, device)
    names = _requested(models, tuple(by_name), path)
    frames = load_labelled_frames(data, _spec(adapted, sensor), resize_side(size), classes, skip_bad=skip_bad)
    frames = unseen(frames, trained_on(path), f"`data={data}`")
    chosen: dict[str, Callable[[Frames], Floats]] = {name: by_name[name] for name in names}
    return classes, frames, {name: ask(frames) for name, ask in chosen.items()}
