"""``tgkt-edge data check``: a look at pairs and target frames before training on them, and ``adapt``'s quick one."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tgkt_edge.data.check import findings as on
from tgkt_edge.data.check.alignment import MIN_PAIRS, Alignment, measure_alignment
from tgkt_edge.data.check.copies import nearly_equal, thumbnails
from tgkt_edge.data.check.edges import SIDE, Floats, compressed, luminance
from tgkt_edge.data.check.findings import Finding
from tgkt_edge.data.check.gather import PairFiles, read_target
from tgkt_edge.data.check.gray import explained_by_rgb, share_of_gray
from tgkt_edge.data.check.page import chosen, write_page
from tgkt_edge.data.check.survey import survey_pairs
from tgkt_edge.data.loading import Frames, Pairs, spread
from tgkt_edge.errors import DataError
from tgkt_edge.io.recording_format import INDEX, is_recording
from tgkt_edge.notes import note
from tgkt_edge.sensor import SensorSpec, load_sensor

QUICKLY = 16
"""Pairs by which ``adapt`` measures the alignment: evenly spread over all."""

MOST_COMPARED = 1000
"""Frames of pairs, and of the target, that ``adapt`` compares with each other."""


@dataclass(frozen=True)
class DataReport:
    """What was found.

    Attributes:
        findings: one a question, in the order in which a person would ask. alignment: the figures of the pairs.
    """

    findings: tuple[Finding, ...]
    alignment: Alignment | None = None

    @property
    def state(self) -> on.State:
        """The worst of all findings."""
        states = {finding.state for finding in self.findings}
        return "fix" if "fix" in states else "note" if "note" in states else "ok"

    def text(self) -> str:
        """For people."""
        width = max(len(finding.question) for finding in self.findings)
        return "\n".join(
            f"{finding.state:<4}  {finding.question:<{width}}  {finding.text}" for finding in self.findings
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"state": self.state, "findings": [finding.to_dict() for finding in self.findings]}


def check_data(
    paired: Path, sensor: str | SensorSpec, target: Path | None = None, *, page: Path | None = None
) -> DataReport:
    """Measure what can be measured of pairs, and of the target frames beside them, without labels.

    Args:
        paired: a folder with ``rgb/`` and ``frame/``, or a CSV ``rgb,frame``: as of ``adapt --paired``.
        sensor: preset, YAML file or SensorSpec. target: as of ``adapt --target``; None: pairs only.
        page: an HTML file to write, with pictures; None: none.

    Raises:
        DataError: there are no pairs or no target frames, or none that can be read.
        ConfigError: ``sensor`` is not a sensor.
    """
    spec = load_sensor(sensor) if isinstance(sensor, str) else sensor
    files = PairFiles(paired, spec)
    seen = survey_pairs(files)
    pairs, bad, alignment = seen.pairs, seen.bad, seen.alignment
    if not pairs or alignment is None:
        raise DataError(
            f"`paired={paired}`: none of {len(bad)} pairs can be used, the first: {bad[0].reason}"
        )
    halves, names = [pair.half for pair in pairs], [pair.name for pair in pairs]
    found = [on.on_files(len(pairs), bad), on.on_sizes(pairs)]
    found.append(on.on_alignment(alignment, pairs[0].half.size))
    if seen.belonging is not None:
        found.append(on.on_belonging(seen.belonging, pairs))
    if skews := _skews(paired):
        found.append(on.on_times(skews))
    found += [
        on.on_gray(pairs),
        on.on_copies(halves, names, "pairs"),
        on.on_holes(halves, names, "pairs"),
        on.on_range(halves, names, spec, "pairs"),
        on.on_exposure(pairs),
    ]
    if target is not None:
        frames, bad_frames = read_target(target, spec)
        if not frames:
            raise DataError(
                f"`target={target}`: none of {len(bad_frames)} frames can be used: {bad_frames[0].reason}"
            )
        target_names, target_halves = [name for name, _ in frames], [half for _, half in frames]
        found += [
            on.on_files(len(frames), bad_frames, "files (target)"),
            on.on_copies(target_halves, target_names, "target"),
            on.on_holes(target_halves, target_names, "target"),
            on.on_range(target_halves, target_names, spec, "target"),
            on.on_overlap(halves, target_halves, names),
        ]
    if page is not None:
        shown = files.good(seen.positions[i] for i in chosen(found, [pair.name for pair in pairs]))
        write_page(page, f"{paired}, {len(pairs)} pairs", found, shown, alignment)
    return DataReport(tuple(found), alignment)


def note_quickly(pairs: Pairs, target: Frames, paired: str) -> None:
    """Note what is plainly wrong with pairs that are in memory anyway: displaced RGB images, frames that are these in
    gray, scenes of the task.

    Args:
        paired: what an error calls the pairs.
    """
    if len(pairs) >= MIN_PAIRS:
        looked_at = spread(len(pairs), QUICKLY)
        rgb_images = [_sized(luminance(pairs.rgb[i])) for i in looked_at]
        frames = [_sized(compressed(pairs.codes[i])) for i in looked_at]
        found = measure_alignment(rgb_images, frames, thorough=False)
        if found.off:
            note(
                f"`paired={paired}`: RGB images fit their frames when enlarged by {found.across - 1:+.0%}, then moved "
                f"by {found.right:+.0%} of the width and {found.below:+.0%} of the height: pairs should show the same "
                f"pixels. It is measured by: tgkt-edge data check {shlex.quote(str(paired))} --sensor SENSOR"
            )
    if len(pairs):
        gray = share_of_gray(
            explained_by_rgb(pairs.rgb[i], pairs.codes[i]) for i in spread(len(pairs), QUICKLY)
        )
        if gray > 0.5:
            note(
                f"`paired={paired}`: frames are their RGB images in gray: no sensor took them. What is learnt from "
                f"such pairs tells nothing of the sensor, and pairs left out praise it all the same: believe neither "
                f"the verdict nor the network. Bring pairs of which the sensor saw one half."
            )
    if len(pairs) and len(target):
        some = [spread(len(one), MOST_COMPARED) for one in (pairs, target)]
        close = nearly_equal(thumbnails(pairs.codes[some[0]]), thumbnails(target.codes[some[1]]))
        same = int(close.sum())
        if same > 0.05 * len(close):
            note(
                f"`paired={paired}`: {same} of {len(close)} frames are also target frames, or nearly: the verdict "
                f"then rests on scenes of the task. Bring pairs of other scenes."
            )


def _sized(image: Floats) -> Floats:
    import cv2

    how = cv2.INTER_AREA if len(image) > SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=how), np.float32)


def _skews(paired: Path) -> list[float]:
    """Milliseconds between the halves, where ``tgkt-edge record`` wrote them down."""
    folder = paired.parent if paired.is_file() else paired
    if not is_recording(folder):
        return []
    found = []
    for line in (folder / INDEX).read_text(encoding="utf-8").splitlines():
        try:
            value = json.loads(line).get("skew_ms")
        except (ValueError, AttributeError):  # a line that a power cut cut off
            continue
        if isinstance(value, int | float) and np.isfinite(value):
            found.append(float(value))
    return found
