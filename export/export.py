"""``tgkt-edge export``: a run folder to a verified bundle."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tgkt_edge import __version__
from tgkt_edge.bundle import MANIFEST, MODEL_FILES, Bundle
from tgkt_edge.data import load_frames
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.export.graph import OPSET, Deployed, export_onnx
from tgkt_edge.export.verify import verify_fp32
from tgkt_edge.files import atomic_folder, refuse_foreign, sha256_of
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.checkpoint import load_classifier
from tgkt_edge.train.run import Run

VERIFIED_FRAMES = 64
"""Frames compared, spread evenly over the target frames."""


def export(
    run: Path,
    out: Path,
    *,
    precisions: Sequence[str] = ("fp32",),
    frames: Path | None = None,
    verify: bool = True,
    overwrite: bool = False,
) -> Bundle:
    """Export the target network of a run.

    Args:
        run: folder written by ``adapt``.
        out: the bundle folder to write; appears complete or not at all.
        precisions: so far "fp32".
        frames: real target frames to verify with; default: the run's own target frames.
        verify: compare ONNX Runtime with torch on those frames.

    Raises:
        UsageError: ``out`` exists, or there are no frames to verify with. GateError: verification failed (exit 3).
        CheckpointError, IncompatibleError: a damaged run (exit 4).
    """
    unknown = [name for name in precisions if name != "fp32"]
    if unknown:
        raise UsageError(f"--precision {unknown[0]}: this version exports fp32")
    inputs, _, _ = Run(run).read_config()
    model, header = load_classifier(Run(run).target_checkpoint(), "target")
    assert header.sensor is not None
    if overwrite:
        refuse_foreign(out, MANIFEST, "an earlier bundle")
    deployed = Deployed(model)
    with atomic_folder(out, overwrite=overwrite) as folder:
        path = folder / MODEL_FILES["fp32"]
        export_onnx(deployed, path, header.image_size, header.classes, header.sensor)
        verification = {}
        if verify:
            target = frames or Path(inputs.target)
            try:
                loaded, _ = load_frames(target, header.sensor, resize_side(header.image_size), skip_bad=True)
            except DataError as error:
                raise UsageError(
                    f"cannot verify: {error}. Give real target frames with --calibrate T, or --no-verify."
                ) from error
            chosen = np.unique(np.linspace(0, len(loaded) - 1, VERIFIED_FRAMES).round().astype(int))
            result = verify_fp32(deployed, path, header.classes, loaded.codes[chosen], header.image_size)
            verification["fp32"] = {"against": "torch", **result.to_dict()}
        bundle = Bundle(
            path=folder,
            classes=header.classes,
            sensor=header.sensor,
            size=header.image_size,
            provenance={
                "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "run": run.resolve().name,
                "target_sha256": sha256_of(Run(run).target),
                "opset": OPSET,
                "python": platform.python_version(),
                "tgkt-edge": __version__,
                **{
                    name: importlib.metadata.version(name)
                    for name in ("torch", "onnx", "onnxscript", "onnxruntime")
                },
            },
            verification=verification,
        )
        bundle.write()
    return Bundle.open(out)


def describe(bundle: Bundle) -> list[str]:
    """What was written and how it compares, as lines for a person."""
    lines = [
        f"{bundle.path}: {', '.join(bundle.precisions)}; {len(bundle.classes)} classes, {bundle.size} pixels"
    ]
    for precision, result in bundle.verification.items():
        lines.append(
            f"{precision} against {result['against']} on {result['frames']} real frames: same class on "
            f"{result['top1_agreement']:.1%}, largest logit difference {result['max_logit_difference']:.2g} "
            f"(logits to {result['max_logit']:.3g}), mean {result['mean_logit_difference']:.2g}"
        )
    if not bundle.verification:
        lines.append("not verified (--no-verify)")
    return lines
