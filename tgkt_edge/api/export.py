"""``tgkt_edge.export``: a run or a bundle to a bundle, and a bundle's TensorRT plans. One function, three jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tgkt_edge.bundle.bundle import MANIFEST, Bundle
from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.bundle.engines import PRECISIONS
from tgkt_edge.bundle.signature import refuse_untrusted
from tgkt_edge.errors import UsageError
from tgkt_edge.export_options import DEFAULTS, RawInputType
from tgkt_edge.notes import log_progress
from tgkt_edge.optional_deps import require
from tgkt_edge.trt.monitor import ProgressShown, nothing_shown
from tgkt_edge.trt.options import BuildOptions, check_library
from tgkt_edge.trt.write import build_plans

PLANS = BuildOptions()
"""Defaults of a TensorRT build."""


def export(
    run: Path | str,
    out: Path | str | None = None,
    *,
    precisions: Sequence[str] | None = None,
    calibrate: Path | str | None = None,
    calibration_frames: int = DEFAULTS.calibration_frames,
    calibration_method: str = DEFAULTS.calibration_method,
    labels: Path | str | None = None,
    max_drop: float = DEFAULTS.max_drop,
    verify: bool = True,
    skip_bad: bool = False,
    overwrite: bool = False,
    maps: bool = DEFAULTS.maps,
    raw: bool = DEFAULTS.raw,
    raw_input: RawInputType = "sensor",
    trt: bool = False,
    target_sm: Sequence[str] = (),
    min_batch: int = PLANS.profile.min,
    opt_batch: int = PLANS.profile.opt,
    max_batch: int = PLANS.profile.max,
    workspace: int | None = None,
    optimisation: int = PLANS.level,
    timing_cache: Path | str | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    trust: Sequence[Path | str] = (),
    progress: ProgressShown = nothing_shown,
) -> Bundle:
    """Write the target network of a run as a bundle, add precisions to a bundle, or build its TensorRT plans.

    - ``export(run, out)`` writes ``model.onnx`` of a run and compares it with torch. Needs the extra ``export``.
    - ``export(bundle, out, precisions=[...])`` copies all that the bundle holds and adds precisions. No torch.
    - ``trt=True`` builds plans of what the bundle then holds; ``export(bundle, trt=True)`` does nothing else and needs
      TensorRT alone.

    Args:
        run: folder written by ``adapt``, or a bundle.
        out: the bundle folder to write; appears complete or not at all. May be the bundle itself with ``overwrite``.
            None: ``run`` is a bundle, and only plans are built into it.
        precisions: of "fp32", "fp16", "int8" (for TensorRT) and "int8-cpu"; fp32, their reference, is always there.
            Of plans: all that the bundle holds, unless named.
        calibrate: real target frames to calibrate and verify with; default: the run's own target frames.
        calibration_frames: how many of them INT8 is calibrated with.
        calibration_method: "percentile", "entropy" or "minmax".
        labels: labelled frames (class folders or CSV ``frame,label``): the gate then measures accuracy on them, and
            the probabilities are calibrated on them. A bundle made from another keeps its temperature without.
        max_drop: accuracy that a precision may lose against FP32, 0 to 1; without labels, share of frames whose
            class may change.
        verify: compare ONNX Runtime with torch, and each precision with FP32, on real frames.
        skip_bad: go on without frames that cannot be used. The run's own target frames are always read so.
        overwrite: replace what is in ``out``.
        maps: give the graphs the output ``maps``, each class's evidence by place, where the network has such maps.
            A bundle's graphs keep what they have.
        raw: also write ``model.raw.onnx``, and one for each other precision: graphs that take raw counts of the
            sensor's frame size and preprocess them; compared with preprocessing on real frames.
        raw_input: their elements: "sensor", as the sensor gives them, or "int32".
        trt: build TensorRT plans, on the machine that will run them.
        target_sm: with TensorRT-RTX: compute capabilities to build for, e.g. ["89"], instead of the GPU's here.
        min_batch, opt_batch, max_batch: frames a call: fewest, what the plan is made fastest for, most.
        workspace: scratch memory the builder may use, MiB; None: all there is.
        optimisation: 0 (quick to build) to 5 (slow to build).
        timing_cache: file that keeps the builder's timings for the next build; default: in the user's cache folder.
        version_compatible: newer TensorRT of the same major version may load the plan, too.
        hardware_compatible: other GPUs, from Ampere on, may run the plan, too.
        trust: public keys (.pub); given some, ``run`` has to be a bundle that one of them signed. What is written is
            not signed: sign it again.
        progress: entered around the TensorRT build; gives what is called with a phase, steps done and steps in all.

    Returns:
        The bundle that was written, or that the plans were built into.

    Raises:
        UsageError: (exit 2) arguments that do not go together, ``out`` exists, or there are no frames to verify with.
        GateError: (exit 3) a precision loses too much. CheckpointError, BundleError, IncompatibleError: (exit 4) a
            damaged run or bundle, or plans that cannot be built here.
        MissingDependency: (exit 6) torch, onnx, onnxruntime or TensorRT is not installed.
    """
    run, out = Path(run), None if out is None else Path(out)
    refuse_untrusted(run, trust)
    plans = BuildOptions(
        profile=Profile(min_batch, opt_batch, max_batch),
        workspace_mib=workspace,
        level=optimisation,
        timing_cache=None if timing_cache is None else Path(timing_cache),
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        target_sm=tuple(target_sm),
    )
    of_bundle = (run / MANIFEST).is_file()
    of_files = {
        "calibrate": calibrate is not None,
        "calibration_frames": calibration_frames != DEFAULTS.calibration_frames,
        "calibration_method": calibration_method != DEFAULTS.calibration_method,
        "labels": labels is not None,
        "max_drop": max_drop != DEFAULTS.max_drop,
        "verify=False": not verify,
        "skip_bad": skip_bad,
        "overwrite": overwrite,
        "maps=False": not maps,
        "raw": raw,
        "raw_input": raw_input != DEFAULTS.raw_input,
    }
    of_plans = {
        "min_batch": min_batch != PLANS.profile.min,
        "opt_batch": opt_batch != PLANS.profile.opt,
        "max_batch": max_batch != PLANS.profile.max,
        "workspace": workspace is not None,
        "optimisation": optimisation != PLANS.level,
        "timing_cache": timing_cache is not None,
        "version_compatible": version_compatible,
        "hardware_compatible": hardware_compatible,
        "target_sm": bool(target_sm),
    }
    if raw_input != DEFAULTS.raw_input and not raw:
        raise UsageError(f"`raw_input={raw_input}`: only for graphs of raw counts. Give `raw=True`, too.")
    if of_bundle and not maps:
        raise UsageError(
            f"`maps=False`: the graphs of {run}, a bundle, keep the outputs that they have. Export its run again."
        )
    _refuse_combinations(run, out, of_bundle, trt, _named(of_files), _named(of_plans))
    if trt:
        if out is None:
            return _build(run, precisions or (), plans, progress)
        check_library(plans)
    _need_libraries(of_bundle)
    from tgkt_edge.export.export import describe
    from tgkt_edge.export.export import export as write_bundle

    assert out is not None
    bundle = write_bundle(
        run,
        out,
        precisions=precisions or DEFAULTS.precisions,
        calibrate=None if calibrate is None else Path(calibrate),
        calibration_frames=calibration_frames,
        calibration_method=calibration_method,
        labels=None if labels is None else Path(labels),
        max_drop=max_drop,
        verify=verify,
        skip_bad=skip_bad,
        overwrite=overwrite,
        maps=maps,
        raw=raw,
        raw_input=raw_input,
        say=log_progress,
    )
    if not trt:
        return bundle
    for line in describe(bundle):  # before the plans, whose build may fail: the bundle is there
        log_progress(line)
    asked = [name for name in precisions or () if name in PRECISIONS and name in bundle.precisions]
    return _build(bundle.path, asked, plans, progress)


def _build(bundle: Path, precisions: Sequence[str], plans: BuildOptions, progress: ProgressShown) -> Bundle:
    with progress() as step:
        return build_plans(bundle, precisions, plans, say=log_progress, progress=step)


def _named(given: dict[str, bool]) -> str:
    return ", ".join(f"`{name}`" for name, is_given in given.items() if is_given)


def _refuse_combinations(
    run: Path, out: Path | None, of_bundle: bool, trt: bool, of_files: str, of_plans: str
) -> None:
    """Raise UsageError for arguments that do not go together.

    Args:
        of_files: the arguments given that only matter where ONNX files are written; of_plans: where plans are built.
    """
    if of_plans and not trt:
        raise UsageError(f"{of_plans}: only for TensorRT plans. Give `trt=True`, too.")
    if out is not None:
        return
    if not (trt and of_bundle):
        raise UsageError(
            f"`out=BUNDLE` is missing: where is the bundle of {run} to be written? Only `trt=True` of a bundle needs "
            f"none."
        )
    if of_files:
        raise UsageError(
            f"{of_files}: without effect where `trt=True` builds plans of the ONNX files that {run} holds. Leave out "
            f"what is named, or give `out=BUNDLE` to make those files again."
        )


def _need_libraries(of_bundle: bool) -> None:
    if not of_bundle:
        require("torch", "export", "Exporting a run")
        require("onnxscript", "export", "Exporting a run")
    require("onnx", "export", "Exporting")
    require("onnxruntime", "export", "Exporting")
