"""The statistics of the adaptation frames on their way into a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

from tgkt_edge.bundle.bundle import STATISTICS
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import DataError
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.export.mixed_precision import answers
from tgkt_edge.export.precisions import Say, Task
from tgkt_edge.monitoring.reference_stats import MIN_FRAMES, Statistics
from tgkt_edge.preprocess import resize_side

MOST = 512
"""Target frames that are asked for where a run or bundle from before there were statistics is exported."""


def add_statistics(task: Task, run: Path, target: Path | None, say: Say) -> None:
    """Have ``statistics.json`` beside ``model.onnx``: what is there, the run's, or measured now on ``target``.

    A bundle without it is whole: its drift flags are missing, and ``say`` is told why.

    Args:
        run: run folder or bundle that is exported. target: its frames, or others of the same sensor; None: not known.

    Raises:
        BundleError: (exit 4) the run's file is damaged.
    """
    out, from_run = task.folder / STATISTICS, run / STATISTICS
    if out.is_file():
        return
    if from_run.is_file():
        Statistics.read(from_run, len(task.classes))
        shutil.copyfile(from_run, out)
        return
    without = "the bundle will have no input_drift, upside_down and class_drift flags"
    if target is None:
        say(f"no statistics of target frames in {run}, and none given with --calibrate T: {without}")
        return
    try:
        frames, _ = load_frames(target, task.sensor, resize_side(task.size), skip_bad=True, at_most=MOST)
    except DataError as error:
        say(f"no statistics of target frames: {error} Without them {without}.")
        return
    assert frames.invalid is not None
    _, probabilities = answers(
        task.file("fp32"), task.size, task.classes, network_inputs(frames.codes, task.size)
    )
    found = Statistics.of_codes(frames.codes, task.size, frames.invalid, probabilities)
    if found is None:
        say(f"only {len(frames)} target frames, fewer than {MIN_FRAMES}: {without}")
        return
    found.write(out)
