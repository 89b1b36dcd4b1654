"""``tgkt-edge verify``: the accuracy gate again, on the machine that will run the bundle; without torch and onnx."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import MODEL_FILES, RAW_FILES, Bundle
from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.data.loading import load_frames, load_labelled_frames
from tgkt_edge.data.raw_frames import load_raw_frames
from tgkt_edge.errors import GateError, UsageError
from tgkt_edge.evaluation import MAX_DROP
from tgkt_edge.evaluation.accuracy_gate import GATE_FRAMES, ask, compare, network_inputs
from tgkt_edge.evaluation.engine_timing import time_engines
from tgkt_edge.evaluation.maps_check import add_up, complaint, maps_difference
from tgkt_edge.evaluation.raw_check import RAW_FRAMES, check_raw, raw_name
from tgkt_edge.evaluation.tables import table
from tgkt_edge.preprocess import resize_side
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.runtime.engines.select import open_engine


def verify(
    bundle: Path | str,
    *,
    frames: Path | str | None = None,
    labels: Path | str | None = None,
    precisions: Sequence[str] | None = None,
    engine: str = "auto",
    max_drop: float = MAX_DROP,
    skip_bad: bool = False,
    trust: Sequence[Path | str] = (),
) -> dict[str, Any]:
    """Check every file of a bundle, then compare each precision with FP32 on this machine.

    Args:
        bundle: folder written by ``export``.
        frames: real frames, unlabelled; at most GATE_FRAMES of them are used.
        labels: labelled frames instead: the gate then measures accuracy.
        precisions: of those the bundle holds; default: all.
        engine: as for ``run``.
        max_drop: accuracy that a precision may lose against FP32; without labels, share of frames whose class may
            change.
        skip_bad: go on without frames that cannot be used.
        trust: public keys; given some, a bundle is refused unless it is signed with one of them.

    Returns:
        ``{"bundle", "frames", "files", "engines": {precision: name}, "why": {precision: [line]},
        "verification": {precision: {...}}, "passed"}``.
        Without ``frames`` and ``labels`` only checksums, loading and one generated frame are checked: ``frames`` is 0
        and ``verification`` is empty.

    Raises:
        BundleError: (exit 4) a damaged bundle, an altered file, or a precision it lacks.
        GateError: (exit 3) an answer that is no probability, without frames; with frames see ``passed``.
        UsageError, DataError: (exit 2) frames that cannot be used.
    """
    if not 0 <= max_drop <= 1:
        raise UsageError(f"`max_drop={max_drop:g}`: expected a share from 0 to 1")
    opened = open_trusted(Path(bundle), trust)
    for name in opened.files:
        opened.file(name)
    inputs, truth = real_inputs(opened, frames, labels, skip_bad)
    names = ["fp32", *(name for name in precisions or opened.precisions if name != "fp32")]
    engines: dict[str, Engine] = {}
    why: dict[str, list[str]] = {}
    try:
        for name in names:
            why[name] = []
            engines[name] = open_engine(opened, name, engine, say=why[name].append)
        result: dict[str, Any] = {
            "bundle": str(bundle),
            "frames": 0 if inputs is None else len(inputs),
            "files": len(opened.files),
            "engines": {name: opened_engine.name for name, opened_engine in engines.items()},
            "why": why,
            "verification": {},
            "passed": True,
        }
        if inputs is None:
            for name, opened_engine in engines.items():
                _answers_sensibly(name, opened_engine, opened.size)
            return result
        reference = ask(engines["fp32"], inputs)
        ms = time_engines(engines, inputs)
        for name in names:
            found = reference if name == "fp32" else ask(engines[name], inputs)
            measured = compare(reference, found, truth)
            of_maps = maps_difference(engines[name], inputs)
            passed = measured.passes(max_drop) and (of_maps is None or add_up(of_maps, name))
            result["passed"] = result["passed"] and passed
            result["verification"][name] = {
                "against": "fp32", **measured.to_dict(), "drop": measured.drop, "max_drop": max_drop, "passed": passed,
                "ms": ms[name], "ms_fp32": ms["fp32"], "speed": ms["fp32"] / ms[name],
                **({} if of_maps is None else {"maps_difference": of_maps}),
            }  # fmt: skip
        if frames is not None:
            raws = [name for name in names if name in opened.raw_precisions]
            result["verification"] |= _raw_graphs(opened, raws, Path(frames), skip_bad, max_drop)
    finally:
        for opened_engine in engines.values():
            opened_engine.close()
    return result


def _raw_graphs(
    bundle: Bundle, precisions: Sequence[str], frames: Path, skip_bad: bool, max_drop: float
) -> dict[str, Any]:
    """What :func:`check_raw` measures of the graphs that take raw counts, on ONNX Runtime and the CPU."""
    if not precisions:
        return {}
    found = {}
    sized = bundle.sensor.with_size(bundle.raw["width"], bundle.raw["height"])  # the graphs take no other
    raw = load_raw_frames(frames, sized, RAW_FRAMES, skip_bad=skip_bad)
    for name in precisions:
        engine = OnnxRuntimeEngine(bundle.model(name), bundle.size, bundle.classes, ["CPUExecutionProvider"])
        try:
            found[raw_name(name)] = check_raw(
                bundle.file(RAW_FILES[name]),
                bundle.sensor,
                bundle.size,
                engine,
                raw,
                max_drop,
                bundle.raw["dtype"],
            )
        finally:
            engine.close()
    return found


def describe(result: dict[str, Any]) -> list[str]:
    """A table for a person, and a line for everything worth knowing."""
    lines = [f"{result['bundle']}: {result['files']} files, all match the manifest"]
    lines += list(dict.fromkeys(line for reasons in result["why"].values() for line in reasons))
    if not result["frames"]:
        return [
            *lines,
            "every precision loads and answers; nothing was compared: give real frames with `frames` or `labels`",
        ]
    lines += table(result["verification"])
    for name, found in result["verification"].items():
        difference = found.get("maps_difference")
        if difference is not None and not add_up(difference, name):
            lines.append(f"{name}: {complaint(difference, name)}")
        elif not found["passed"]:
            lines.append(
                f"{name} loses {found['drop']:.2%} (same class on {found['top1_agreement']:.1%}), "
                f"`max_drop` allows {found['max_drop']:.2%}, and a new class for twice that share of the frames"
            )
        if name != "fp32" and found.get("speed", 2) <= 1:
            lines.append(f"{name} is no faster than fp32 on this machine ({found['speed']:.2f}x)")
    return lines


def check(result: dict[str, Any]) -> None:
    """Raise GateError (exit 3) if a precision did not pass."""
    failed = [name for name, found in result["verification"].items() if not found["passed"]]
    if failed:
        raise GateError(
            f"{result['bundle']}: {', '.join(failed)} did not pass on {result['frames']} real frames. Run another "
            f"precision here (`precision`), or export the bundle again with frames like these (`calibrate`)."
        )


def real_inputs(
    bundle: Bundle, frames: Path | str | None, labels: Path | str | None, skip_bad: bool
) -> tuple[NDArray[np.float32] | None, NDArray[np.int64] | None]:
    """What ``frames`` (at most GATE_FRAMES, spread over all) or ``labels`` (all) feed the network.

    Returns:
        (N, 1, S, S) float32, and the truth (N,) class indices; each None where it was not given.

    Raises:
        UsageError, DataError: (exit 2) both were given, or frames that cannot be used.
    """
    side = resize_side(bundle.size)
    if labels is not None:
        if frames is not None:
            raise UsageError("`frames` and `labels`: give one; with `labels` those frames are compared")
        known = load_labelled_frames(
            Path(labels), bundle.sensor, side, bundle.classes, skip_bad=skip_bad, flag="`labels`"
        )
        return network_inputs(known.codes, bundle.size), known.labels
    if frames is not None:
        loaded, _ = load_frames(
            Path(frames), bundle.sensor, side, skip_bad=skip_bad, flag="`frames`", at_most=GATE_FRAMES
        )
        return network_inputs(loaded.codes, bundle.size), None
    return None, None


def _answers_sensibly(name: str, engine: Engine, size: int) -> None:
    """One frame of a ramp must get probabilities. Raises GateError."""
    ramp = np.linspace(0, 1, size * size, dtype=np.float32).reshape(1, 1, size, size)
    logits, probabilities = engine.infer(ramp)
    if not (np.isfinite(logits).all() and abs(float(probabilities.sum()) - 1) < 1e-2):
        raise GateError(
            f"{MODEL_FILES[name]} answers a generated frame with {probabilities.tolist()}, which are no probabilities. "
            f"Export the bundle again."
        )
