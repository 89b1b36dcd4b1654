"""Reading what a continued run learns from: the shipped network, new frames, and the old ones where they are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.loading import Frames, load_frames
from tgkt_edge.data.sets import take_rows
from tgkt_edge.errors import DataError
from tgkt_edge.monitoring.value_scale import note_other_scale
from tgkt_edge.notes import note
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.continuing.shipped import earlier_frames, old_frames_of, refuse_other, shipped_network
from tgkt_edge.train.few_labels import load_labels
from tgkt_edge.train.holdout import held_out, no_pairs
from tgkt_edge.train.load_frames import load_target
from tgkt_edge.train.methods.translation.class_prior import read_prior, refuse_labels_of_no_share
from tgkt_edge.train.pipeline import Loaded
from tgkt_edge.train.run_folder.contents import DataDigests
from tgkt_edge.train.run_folder.folder import RunInputs

HELD = 0.2
"""Share of the old frames that nothing learns from: on these it is measured what the network still knows."""

FEWEST_OLD = 5
"""Old frames below which none are left out, and all are learnt from."""


def load_continued(
    inputs: RunInputs,
    sensor: SensorSpec,
    config: AdaptConfig,
    skip_bad: bool,
    kept: Path | None,
    digests: DataDigests,
    cache: Cache | None,
    progress: Progress,
) -> Loaded:
    """Read everything, once; arguments as of :func:`tgkt_edge.train.load_inputs.load_inputs`.

    Raises:
        UsageError, ConfigError, DataError: (exit 2) another sensor, image size or network; frames that do not fit.
        BundleError, CheckpointError, IncompatibleError: (exit 4) a network that cannot be continued from.
    """
    assert inputs.continue_from is not None
    place = Path(inputs.continue_from)
    network, header = shipped_network(place, kept)
    refuse_other(place, header, sensor, config.image_size)
    side = resize_side(config.image_size)
    prior = read_prior(config.translation.prior, header.classes)
    target, pinned = load_target(inputs.target, sensor, side, skip_bad, progress, digests, cache)
    labelled = None
    if inputs.labels is not None:
        labelled = load_labels(Path(inputs.labels), target.names, header.classes)
        refuse_labels_of_no_share(labelled, prior, header.classes, config.translation.prior)
    old, held = _old_frames(inputs, pinned, target, config, skip_bad, progress, digests, cache)
    features = None if cache is None else cache.features
    pairs = no_pairs(side)
    return Loaded(
        None, target, pairs, pairs, [], pinned, (network, header), prior, labelled, features, old, held
    )  # fmt: skip


def _old_frames(
    inputs: RunInputs,
    sensor: SensorSpec,
    target: Frames,
    config: AdaptConfig,
    skip_bad: bool,
    progress: Progress,
    digests: DataDigests,
    cache: Cache | None,
) -> tuple[Frames | None, Frames | None]:
    """Old frames to learn from, and those that are left out; None where there are none."""
    assert inputs.continue_from is not None
    place, flag = old_frames_of(inputs), "`old_frames`"
    if place is None:
        note(
            f"`continue_={inputs.continue_from}`: the frames that it was adapted to are not available: the network "
            f"may forget them, and how much is not measured. Give `old_frames` if you have them."
        )
        return None, None
    if inputs.old_frames is None:
        flag = f"`continue_={inputs.continue_from}`, its target frames"
        before = earlier_frames(Path(inputs.continue_from))
        if before is not None:
            note(
                f"`continue_={inputs.continue_from}`: was itself continued from {before}: its own target frames are "
                f"the old ones here, not those from before it. Give `old_frames` with all of them, such as a CSV frame."
            )
    every, _ = load_frames(
        place, dataclasses.replace(sensor, size="any"), resize_side(config.image_size),
        skip_bad=skip_bad, progress=progress, flag=flag, digests=digests.old, cache=cache,
    )  # fmt: skip
    new = {str(Path(name).resolve()) for name in target.names}
    rows = np.flatnonzero([str(Path(name).resolve()) not in new for name in every.names])
    if not len(rows):
        raise DataError(
            f"{flag} {place}: all {len(every)} frames are among those of `target`; expected new frames there"
        )
    if len(rows) < len(every):
        note(f"{flag} {place}: {len(every) - len(rows)} frames are among those of `target` and count as new")
    old = take_frames(every, rows)
    note_other_scale(old.levels, target.levels, sensor, str(place), inputs.target)
    if len(old) < FEWEST_OLD:
        return old, None
    left_out = np.concatenate(held_out(len(old), HELD, config.seed))
    return take_frames(old, np.setdiff1d(np.arange(len(old)), left_out)), take_frames(old, left_out)


def take_frames(frames: Frames, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Frames:
    """Those of these numbers, in their order."""
    return Frames(
        take_rows(frames.codes, rows),
        tuple(frames.names[i] for i in rows),
        levels=None if frames.levels is None else frames.levels[rows],
    )
