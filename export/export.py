"""``tgkt-edge export``: a run folder, or an earlier bundle, to a verified bundle."""

from __future__ import annotations

import datetime
import importlib
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge import __version__
from tgkt_edge.bundle.bundle import MANIFEST, MODEL_FILES, Bundle
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.evaluation import temperature as calibration
from tgkt_edge.evaluation.accuracy_gate import MAX_DROP
from tgkt_edge.evaluation.tables import table
from tgkt_edge.export.int8_calibration import FRAMES, check_method
from tgkt_edge.export.precisions import RealFrames, Say, Task, add_precisions, load_real_frames
from tgkt_edge.export.reference_stats import add_statistics
from tgkt_edge.export.temperature import calibrate_probabilities
from tgkt_edge.io.atomic import atomic_folder, refuse_foreign, sha256_of
from tgkt_edge.preprocess import resize_side

VERIFIED_FRAMES = 64
"""Frames on which the FP32 file is compared with torch, spread evenly over the target frames."""


def export(
    run: Path,
    out: Path,
    *,
    precisions: Sequence[str] = ("fp32",),
    calibrate: Path | None = None,
    calibration_frames: int = FRAMES,
    calibration_method: str = "percentile",
    labels: Path | None = None,
    max_drop: float = MAX_DROP,
    verify: bool = True,
    skip_bad: bool = False,
    overwrite: bool = False,
    say: Say = lambda line: None,
) -> Bundle:
    """Export the target network of a run, or further precisions of an earlier bundle (then without torch).

    The statistics of the adaptation frames (:mod:`tgkt_edge.monitoring.reference_stats`) come along.

    Args:
        run: folder written by ``adapt``, or a bundle; with a bundle all it holds is taken over.
        out: the bundle folder to write; appears complete or not at all. May be the bundle itself with ``overwrite``.
        precisions: of "fp32", "fp16", "int8" (engines) and "int8-cpu"; fp32, their reference, is always there.
        calibrate: real target frames to calibrate and verify with; default: the run's own target frames.
        calibration_frames: how many of them INT8 is calibrated with.
        calibration_method: "percentile", "entropy" or "minmax".
        labels: labelled frames (class folders or CSV ``frame,label``): the gate then measures accuracy on them, and
            the probabilities are calibrated on them. A bundle made from another keeps its temperature without.
        max_drop: accuracy that a precision may lose against FP32, 0 to 1; without labels, share of frames whose
            class may change.
        verify: compare ONNX Runtime with torch, and each precision with FP32, on real frames.
        skip_bad: go on without frames that cannot be used. The run's own target frames are always read so.
        say: takes progress and warnings, lines for a person.

    Raises:
        UsageError: ``out`` exists, or there are no frames to verify with. GateError: verification failed (exit 3).
        CheckpointError, BundleError, IncompatibleError: a damaged run or bundle (exit 4).
    """
    for name in precisions:
        if name not in MODEL_FILES:
            raise UsageError(f"--precision {name}: unknown; expected some of {', '.join(MODEL_FILES)}")
    check_method(calibration_method)
    if not 0 <= max_drop <= 1:
        raise UsageError(f"--max-drop {max_drop:g}: expected a share from 0 to 1")
    if overwrite:
        refuse_foreign(out, MANIFEST, "an earlier bundle")
    with atomic_folder(out, overwrite=overwrite) as folder:
        earlier = Bundle.open(run) if (run / MANIFEST).is_file() else None
        target: Path | None
        if earlier is None:
            task, target, verification, provenance = _from_run(run, folder, calibrate, verify, skip_bad)
        else:
            task, target, verification, provenance = _from_bundle(earlier, folder, precisions, calibrate)
        add_statistics(task, run, target, say, given=calibrate is not None)
        frames: RealFrames | None = None
        others = [name for name in precisions if name != "fp32"]
        if others and (verify or any(name.startswith("int8") for name in others)):
            try:
                frames = load_real_frames(
                    task, _given(target), labels, calibration_frames,
                    flag="--target" if calibrate is None else "--calibrate",
                    skip_bad=skip_bad or calibrate is None,
                )  # fmt: skip
            except DataError as error:
                raise UsageError(
                    f"{error} Give real frames of this sensor with --calibrate T."
                    if calibrate is None
                    else str(error)
                ) from error
        measured, calibrated = add_precisions(
            task, others, frames, method=calibration_method, max_drop=max_drop, verify=verify, say=say
        )
        if earlier is not None:
            provenance.pop("calibration", None)
            kept = earlier.int8_calibration.items()
            calibrated = {name: about for name, about in kept if task.file(name).is_file()} | calibrated
        softened = dict(earlier.calibration) if earlier is not None else {}
        if labels is not None:
            softened = calibrate_probabilities(task, labels, skip_bad, say, _taught(run))
        bundle = Bundle(
            path=folder,
            classes=task.classes,
            sensor=task.sensor,
            size=task.size,
            provenance={**provenance, **_tools(), **({"calibration": calibrated} if calibrated else {})},
            verification={**verification, **measured},
            calibration=softened,
        )
        bundle.write()
    return Bundle.open(out)


def describe(bundle: Bundle) -> list[str]:
    """What was written and how it compares, as lines for a person."""
    lines = [
        f"{bundle.path}: {', '.join(bundle.precisions)}; {len(bundle.classes)} classes, {bundle.size} pixels"
    ]
    if bundle.calibration:
        lines.append(calibration.describe(dict(bundle.calibration)))
    if not bundle.verification:
        return [*lines, "not verified (--no-verify)"]
    lines += table(bundle.verification)
    for name, found in bundle.verification.items():
        if found.get("replaced_by"):
            lines.append(
                f"{name} could not keep within the allowed drop; {found['replaced_by']} takes its place"
            )
        elif found.get("steps") and found["steps"][-1]["float_layers"]:
            kept = found["steps"][-1]["float_layers"]
            lines.append(f"{name}: {len(kept)} of its layers are back in float: {', '.join(kept)}")
    lines += [
        f"{name}: not verified (--no-verify)" for name in bundle.precisions if name not in bundle.verification
    ]
    return lines


def _from_run(
    run: Path, folder: Path, calibrate: Path | None, verify: bool, skip_bad: bool
) -> tuple[Task, Path, dict[str, Any], dict[str, Any]]:
    """Write ``model.onnx`` of a run's target network, compared with torch."""
    from tgkt_edge.export.graph import OPSET, Deployed, export_onnx
    from tgkt_edge.export.verify_fp32 import verify_fp32
    from tgkt_edge.train.nn.checkpoint import load_classifier
    from tgkt_edge.train.run_folder.folder import Run

    inputs, _, _ = Run(run).read_config()
    model, header = load_classifier(Run(run).target_checkpoint(), "target")
    assert header.sensor is not None
    target = calibrate or Path(inputs.target)
    task = Task(folder, header.classes, header.sensor, header.image_size)
    deployed, path = Deployed(model), task.file("fp32")
    export_onnx(deployed, path, task.size, task.classes, task.sensor)
    verification: dict[str, Any] = {}
    if verify:
        try:
            loaded, _ = load_frames(
                target, task.sensor, resize_side(task.size), skip_bad=skip_bad or calibrate is None,
                flag="--target" if calibrate is None else "--calibrate", at_most=VERIFIED_FRAMES,
            )  # fmt: skip
        except DataError as error:
            raise UsageError(
                f"cannot verify: {error}. Give real target frames with --calibrate T, or --no-verify."
            ) from error
        result = verify_fp32(deployed, path, task.classes, loaded.codes, task.size)
        verification["fp32"] = {"against": "torch", **result.to_dict()}
    provenance = {
        "run": run.resolve().name,
        "target_sha256": sha256_of(Run(run).target),
        "opset": OPSET,
        **_labels(run),
        **({"source": header.extra["source"]} if "source" in header.extra else {}),
        **_versions("torch", "onnxscript"),
    }
    return task, target, verification, provenance


def _taught(run: Path) -> dict[Path, str]:
    """Target frames that a run learnt the labels of; none of a bundle, which holds no such list."""
    if (run / MANIFEST).is_file():
        return {}
    from tgkt_edge.train.audit.frames import trained_on

    return trained_on(run)


def _labels(path: Path) -> dict[str, Any]:
    """Of a run that learnt from labelled target frames: how many, and the digest of the list."""
    from tgkt_edge.train.run_folder.folder import Run

    taught = _taught(path)
    return {"labels": {"frames": len(taught), "sha256": sha256_of(Run(path).labels)}} if taught else {}


def _from_bundle(
    earlier: Bundle, folder: Path, precisions: Sequence[str], calibrate: Path | None
) -> tuple[Task, Path | None, dict[str, Any], dict[str, Any]]:
    """Take over every file of a bundle, checked, but those that are made again."""
    again = {MODEL_FILES[name] for name in precisions if name != "fp32"}
    earlier.model("fp32")
    for name in earlier.files:
        if name not in again:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(earlier.file(name), folder / name)
    kept = {name: found for name, found in earlier.verification.items() if MODEL_FILES.get(name) not in again}
    task = Task(folder, earlier.classes, earlier.sensor, earlier.size)
    return task, calibrate, kept, dict(earlier.provenance)


def _given(target: Path | None) -> Path:
    if target is None:
        raise UsageError(
            "a bundle does not say where its target frames lie: give real frames of this sensor with --calibrate T"
        )
    return target


def _tools() -> dict[str, str]:
    return {
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "tgkt-edge": __version__,
        **_versions("onnx", "onnxruntime"),
    }


def _versions(*names: str) -> dict[str, str]:
    # Of the modules: the one called onnxruntime also comes as the package onnxruntime-gpu.
    return {name: str(importlib.import_module(name).__version__) for name in names}
