"""The page of ``compare``: one file, with pictures of the frames that two bundles answer differently."""

from __future__ import annotations

import base64
import os
from itertools import islice
from pathlib import Path
from typing import Any

from tgkt_edge.errors import UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.predict.frames import RecordedFrames
from tgkt_edge.runtime.sinks.colormaps import colourise, default_for
from tgkt_edge.sensor import SensorSpec, load_sensor

PICTURES = 60
"""Frames on a page: those on which both bundles are most confident."""

_WIDTH = 240


_OURS = b"<h1>Old and new agree on"
"""Is in every such page, and tells that a file is one."""


def refuse_other_file(path: Path) -> None:
    """Raise UsageError (exit 2) if something lies at ``path`` that is no page of this kind: it would be lost."""
    try:
        ours = not os.path.lexists(path) or _OURS in path.read_bytes()
    except OSError as error:
        raise UsageError(f"`page={path}`: cannot be written: {error.strerror or error}") from error
    if not ours:
        raise UsageError(
            f"`page={path}`: already exists and is no page that this command wrote; it is not replaced. Choose another "
            f"name, or remove it."
        )


def write_page(
    path: Path, result: dict[str, Any], source: str, spec: SensorSpec, sensor: str | None = None
) -> None:
    """Write the page.

    Args:
        result: of :func:`tgkt_edge.evaluation.compare.compare`. source: where its frames are.
        spec: whose range is shown. sensor: how the frames are written, if not so.

    Raises:
        TgktEdgeError: (exit 1) it cannot be written.
    """
    from tgkt_edge.train.report.pages import render_page

    shown = result["differ"][:PICTURES]
    written = spec if sensor is None else load_sensor(sensor).with_range_of(spec)
    pictures = _pictures({one["frame"] for one in shown}, source, written)
    rows = [
        {"name": name, **count, "change": count["new"] - count["old"]}
        for name, count in result["classes"].items()
    ]
    page = render_page(
        "compare.html",
        title=f"{result['agreement']:.1%} agreement",
        result=result,
        rows=rows,
        frames=[{**one, "picture": pictures.get(one["frame"])} for one in shown],
        more=len(result["differ"]) - len(shown),
        source=source,
    )
    write_text(path, page)


def _pictures(numbers: set[int], source: str, spec: SensorSpec) -> dict[int, str]:
    """Frames by number, as data URIs of JPEGs in the sensor's colours."""
    cv2 = require("cv2", "cpu", "`page`")
    found: dict[int, str] = {}
    with RecordedFrames(source, spec) as frames:
        if frames.count is None:
            jobs = (job for job in islice(frames.jobs(0), max(numbers, default=-1) + 1))
        else:
            jobs = (next(frames.jobs(number)) for number in sorted(numbers))
        for job in jobs:
            captured = job()
            if captured.number in numbers and captured.frame is not None:
                picture = colourise(captured.frame, spec, default_for(spec))[..., ::-1]
                height = max(1, round(_WIDTH * picture.shape[0] / picture.shape[1]))
                small = cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA)
                _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
                found[captured.number] = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
    return found
