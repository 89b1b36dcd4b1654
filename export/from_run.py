"""``tgkt-edge export RUN``: the FP32 model of a run's target network, compared with torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.evaluation.maps_check import CHECKED_FRAMES, check_maps
from tgkt_edge.export.graph import OPSET, Deployed, export_onnx
from tgkt_edge.export.task import Begun, Task, versions
from tgkt_edge.export.verify_fp32 import verify_fp32
from tgkt_edge.export_options import ExportOptions
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.preprocess import resize_side
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.train.audit.frames import trained_on
from tgkt_edge.train.continuing.shipped import CONTINUED
from tgkt_edge.train.nn.checkpoint import architecture, load_classifier
from tgkt_edge.train.run_folder.folder import Run

VERIFIED_FRAMES = 64
"""Frames on which the FP32 file is compared with torch, spread evenly over the target frames."""


def begin_from_run(path: Path, folder: Path, options: ExportOptions) -> Begun:
    """Write ``model.onnx`` of the run at ``path`` into ``folder``.

    Raises:
        UsageError: (exit 2) there are no frames to verify with. GateError: (exit 3) ONNX Runtime and torch differ.
        CheckpointError: (exit 4) a damaged run.
    """
    run = Run(path)
    inputs, _, _ = run.read_config()
    model, header = load_classifier(run.target_checkpoint(), "target")
    assert header.sensor is not None
    target = options.calibrate or Path(inputs.target)
    task = Task(folder, header.classes, header.sensor, header.image_size)
    deployed = Deployed(model)
    export_onnx(deployed, task.file("fp32"), task.size, task.classes, task.sensor, maps=options.maps)
    verification: dict[str, Any] = {}
    if options.verify:
        verification["fp32"] = _compared_with_torch(deployed, task, target, options)
    taught = trained_on(path)
    provenance = {
        "run": path.resolve().name,
        "network": architecture(model),
        **_verdict(path),
        "target_sha256": sha256_of(run.target),
        "opset": OPSET,
        **({"labels": {"frames": len(taught), "sha256": sha256_of(run.labels)}} if taught else {}),
        **{key: header.extra[key] for key in ("source", CONTINUED) if key in header.extra},
        **versions("torch", "onnxscript"),
    }
    return Begun(task, target, verification, provenance, taught=taught)


def _verdict(run: Path) -> dict[str, str]:
    """What the run's report says of whether adapting helped; nothing of a run without one."""
    try:
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        return {"verdict": str(report["verdict"]["verdict"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _compared_with_torch(
    deployed: Deployed, task: Task, target: Path, options: ExportOptions
) -> dict[str, Any]:
    try:
        loaded, _ = load_frames(
            target, task.sensor, resize_side(task.size), skip_bad=options.skip_bad or options.calibrate is None,
            flag=options.frames_argument, at_most=VERIFIED_FRAMES,
        )  # fmt: skip
    except DataError as error:
        raise UsageError(
            f"cannot verify: {error}. Give real target frames with `calibrate=T`, or `verify=False`."
        ) from error
    model, classes, size = task.file("fp32"), task.classes, task.size
    result = verify_fp32(deployed, model, classes, loaded.codes, size)
    engine = OnnxRuntimeEngine(model, size, classes, providers=["CPUExecutionProvider"])
    try:
        of_maps = check_maps(engine, network_inputs(loaded.codes[:CHECKED_FRAMES], size), "fp32", model.name)
    finally:
        engine.close()
    return {"against": "torch", **result.to_dict(), **of_maps}
