"""The temperature of a bundle, from labelled frames."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tgkt_edge.data.loading import load_labelled_frames
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.evaluation.temperature import MIN_LABELLED, describe, helps, measure
from tgkt_edge.export.mixed_precision import answers
from tgkt_edge.export.task import Say, Task
from tgkt_edge.preprocess import resize_side


def calibrate_probabilities(
    task: Task, labels: Path, skip_bad: bool, say: Say, taught: Collection[Path] = ()
) -> dict[str, Any]:
    """Fit a temperature to the answers of ``model.onnx`` to labelled frames.

    Args:
        taught: frames that the network learnt the labels of, and answers too surely: they are left out.

    Returns:
        What :func:`tgkt_edge.evaluation.temperature.measure` found, for the manifest; empty, and ``say`` is told why,
        where there are too few frames or it does not help on frames that it was not fitted on.

    Raises:
        DataError: (exit 2) frames that cannot be used, named, unless ``skip_bad``; or labels of other classes.
    """
    known = load_labelled_frames(
        labels, task.sensor, resize_side(task.size), task.classes, skip_bad=skip_bad, flag="`labels`"
    )
    if taught:
        from tgkt_edge.train.audit.frames import unseen

        known = unseen(known, taught, f"`labels={labels}`")
    assert known.labels is not None
    if len(known) < MIN_LABELLED:
        say(
            f"{len(known)} labelled frames: probabilities are not calibrated; expected at least {MIN_LABELLED}"
        )
        return {}
    logits, _ = answers(task.file("fp32"), task.size, task.classes, network_inputs(known.codes, task.size))
    found = measure(logits, known.labels)
    if not helps(found):
        say(f"probabilities are left as they are, since calibration does not improve them: {describe(found)}")
        return {}
    return found
