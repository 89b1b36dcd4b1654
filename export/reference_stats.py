"""The statistics of the adaptation frames on their way into a bundle."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tgkt_edge.bundle.bundle import STATISTICS
from tgkt_edge.data.levels import Levels
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import DataError
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.export.mixed_precision import answers
from tgkt_edge.export.task import Say, Task
from tgkt_edge.monitoring.reference_stats import MIN_FRAMES, Statistics
from tgkt_edge.monitoring.value_scale import ValueScale
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec

MOST = 512
"""Target frames that are asked for where a run or bundle from before there were statistics is exported."""


def add_statistics(task: Task, run: Path, target: Path | None, say: Say, *, given: bool = False) -> None:
    """Have ``statistics.json`` beside ``model.onnx``: what is there, the run's, or measured now on ``target``.

    A bundle without it is whole: its drift flags are missing, and ``say`` is told why. Where it is from before there
    were quantiles of the frames' values, these are added; else frames that were ``given`` are compared with it.

    Args:
        run: run folder or bundle that is exported. target: its frames, or others of the same sensor; None: not known.
        given: whether the user named ``target``, and it may be of another sensor.

    Raises:
        BundleError: (exit 4) the run's file is damaged.
    """
    out, from_run = task.folder / STATISTICS, run / STATISTICS
    known = next((file for file in (out, from_run) if file.is_file()), None)
    statistics = Statistics.read(known, len(task.classes)) if known is not None else None
    if known is not None and known != out:
        shutil.copyfile(known, out)
    if statistics is not None and (target is None or (statistics.scale is not None and not given)):
        return
    lost = "input_drift, upside_down, class_drift and " if statistics is None else ""
    without = f"the bundle will have no {lost}wrong_scale flag{'s' if lost else ''}"
    if target is None:
        say(f"no statistics of target frames in {run}, and none given with `calibrate=T`: {without}")
        return
    try:
        flag = "`calibrate`" if given else "`target`"
        frames, spec = load_frames(
            target, task.sensor, resize_side(task.size), skip_bad=True, at_most=MOST, flag=flag
        )
    except DataError as error:
        say(f"no statistics of target frames: {error} Without them {without}.")
        return
    assert frames.invalid is not None
    assert frames.levels is not None
    scale = ValueScale.of(frames.levels, spec) if len(frames) >= MIN_FRAMES else None
    if statistics is not None:
        _compare(statistics, frames.levels, scale, spec, out, target, say)
        return
    _, probabilities = answers(
        task.file("fp32"), task.size, task.classes, network_inputs(frames.codes, task.size)
    )
    found = Statistics.of_codes(frames.codes, task.size, frames.invalid, probabilities, scale)
    if found is None:
        say(f"only {len(frames)} target frames, fewer than {MIN_FRAMES}: {without}")
        return
    found.write(out)


def _compare(
    statistics: Statistics,
    levels: Levels,
    scale: ValueScale | None,
    spec: SensorSpec,
    out: Path,
    target: Path,
    say: Say,
) -> None:
    """Frames against those at adaptation; where nothing is known of their values, these are taken for them."""
    if statistics.scale is None:
        replace(statistics, scale=scale).write(out)
    elif (other := statistics.scale.rescaling(levels, spec)) is not None:
        say(f"{target}: unlike the adaptation frames: {other.text}")
