"""``tgkt-edge export``: a run folder (``from_run``), or an earlier bundle (``from_bundle``), to a verified bundle.

TensorRT plans are built from what is written here by :mod:`tgkt_edge.trt.write`, which needs the bundle alone.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge import __version__
from tgkt_edge.bundle.bundle import MANIFEST, MODEL_FILES, RAW_FILES, Bundle
from tgkt_edge.bundle.onnx_file import maps_grid, read_onnx
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.evaluation import temperature
from tgkt_edge.evaluation.tables import table
from tgkt_edge.export.from_bundle import begin_from_bundle
from tgkt_edge.export.precisions import RealFrames, add_precisions, load_real_frames
from tgkt_edge.export.reference_stats import add_statistics
from tgkt_edge.export.task import Begun, Say, versions
from tgkt_edge.export.temperature import calibrate_probabilities
from tgkt_edge.export_options import DEFAULTS, ExportOptions, RawInputType
from tgkt_edge.io.atomic import atomic_folder, refuse_foreign


def export(
    run: Path,
    out: Path,
    *,
    precisions: Sequence[str] = DEFAULTS.precisions,
    calibrate: Path | None = None,
    calibration_frames: int = DEFAULTS.calibration_frames,
    calibration_method: str = DEFAULTS.calibration_method,
    labels: Path | None = None,
    max_drop: float = DEFAULTS.max_drop,
    verify: bool = True,
    skip_bad: bool = False,
    overwrite: bool = False,
    maps: bool = DEFAULTS.maps,
    raw: bool = DEFAULTS.raw,
    raw_input: RawInputType = DEFAULTS.raw_input,
    say: Say = lambda line: None,
) -> Bundle:
    """Write a bundle of ONNX files; :func:`tgkt_edge.api.export.export` explains the arguments.

    The statistics of the adaptation frames (:mod:`tgkt_edge.monitoring.reference_stats`) come along.

    Args:
        out: appears complete or not at all.
        say: takes progress and warnings, lines for a person.

    Raises:
        UsageError: ``out`` exists, or there are no frames to verify with. GateError: verification failed (exit 3).
        CheckpointError, BundleError, IncompatibleError: a damaged run or bundle (exit 4).
    """
    options = ExportOptions(
        precisions, calibrate, calibration_frames, calibration_method, labels, max_drop, verify, skip_bad,
        maps=maps, raw=raw, raw_input=raw_input,
    )  # fmt: skip
    if overwrite:
        refuse_foreign(out, MANIFEST, "an earlier bundle")
    with atomic_folder(out, overwrite=overwrite) as folder:
        if (run / MANIFEST).is_file():
            begun = begin_from_bundle(run, folder, options)
        else:
            from tgkt_edge.export.from_run import begin_from_run  # needs torch

            begun = begin_from_run(run, folder, options)
        add_statistics(begun.task, run, begun.target, say, given=calibrate is not None)
        _finish(begun, options, say).write()
    return Bundle.open(out)


def _finish(begun: Begun, options: ExportOptions, say: Say) -> Bundle:
    """Add the precisions, each through the gate, and the temperature; return what the manifest is to hold."""
    task = begun.task
    measured, calibrated = add_precisions(
        task, options.made, _real_frames(begun, options), method=options.calibration_method,
        max_drop=options.max_drop, verify=options.verify, say=say,
    )  # fmt: skip
    softened = begun.temperature
    if options.labels is not None:
        softened = calibrate_probabilities(task, options.labels, options.skip_bad, say, begun.taught)
    of_raw: dict[str, Any] = {}
    if options.raw or begun.raw:
        of_raw, checked = _add_raw(begun, options, float(softened.get("temperature", 1.0)), say)
        measured |= checked
    calibrated = begun.int8_calibration | calibrated
    provenance = {
        **begun.provenance,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "tgkt-edge": __version__,
        **versions("onnx", "onnxruntime"),
        **({"calibration": calibrated} if calibrated else {}),
    }
    return Bundle(
        path=task.folder,
        classes=task.classes,
        sensor=task.sensor,
        size=task.size,
        provenance=provenance,
        verification={**begun.verification, **measured},
        calibration=softened,
        maps=maps_grid(read_onnx(task.file("fp32"))),
        raw=of_raw,
    )


def _add_raw(
    begun: Begun, options: ExportOptions, temperature: float, say: Say
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Graphs of raw counts of every precision that is there; what the manifest says of them."""
    from tgkt_edge.export.raw.preprocessing import RawInput
    from tgkt_edge.export.raw.write import add_raw

    task, kind, given = begun.task, options.raw_input, None
    if begun.raw and not options.raw:  # as they were
        kind = "int32" if begun.raw["dtype"] == "int32" else "sensor"
        given = RawInput(begun.raw["height"], begun.raw["width"], kind)
    return add_raw(
        task, [name for name, file in MODEL_FILES.items() if (task.folder / file).is_file()], begun.target,
        given=given, kind=kind, temperature=temperature, verify=options.verify,
        skip_bad=options.skip_bad or options.calibrate is None, flag=options.frames_argument,
        max_drop=options.max_drop, say=say,
    )  # fmt: skip


def _real_frames(begun: Begun, options: ExportOptions) -> RealFrames | None:
    """Frames to calibrate and verify with; None where nothing asks for them."""
    if not options.verify and not any(name.startswith("int8") for name in options.made):
        return None
    if not options.made:
        return None
    if begun.target is None:
        raise UsageError(
            "a bundle does not say where its target frames lie: give real frames of this sensor with `calibrate=T`"
        )
    try:
        return load_real_frames(
            begun.task, begun.target, options.labels, options.calibration_frames, flag=options.frames_argument,
            skip_bad=options.skip_bad or options.calibrate is None,
        )  # fmt: skip
    except DataError as error:
        if options.calibrate is not None:
            raise UsageError(str(error)) from error
        raise UsageError(f"{error} Give real frames of this sensor with `calibrate=T`.") from error


def describe(bundle: Bundle) -> list[str]:
    """What was written and how it compares, as lines for a person."""
    lines = [
        f"{bundle.path}: {', '.join(bundle.precisions)}; {len(bundle.classes)} classes, {bundle.size} pixels"
    ]
    if bundle.maps is not None:
        lines.append(f"maps of each class's evidence: {bundle.maps[0]} x {bundle.maps[1]} places")
    if bundle.raw:
        files = ", ".join(RAW_FILES[name] for name in bundle.raw_precisions)
        raw = bundle.raw
        lines.append(f"raw counts, {raw['dtype']} (1, {raw['height']}, {raw['width']}): {files}")
    if bundle.calibration:
        lines.append(temperature.describe(dict(bundle.calibration)))
    if not bundle.verification:
        return [*lines, "not verified (`verify=False`)"]
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
        f"{name}: not verified (`verify=False`)"
        for name in bundle.precisions
        if name not in bundle.verification
    ]
    return lines
