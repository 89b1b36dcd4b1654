"""Color in the depth camera's view, said step by step: what :mod:`tgkt_edge.alignment.warp` does in fewer passes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.lens import Lens
from tgkt_edge.alignment.rig import Rig
from tgkt_edge.sensor import SensorSpec

_FREE = np.uint64(0xFFFFFFFFFFFFFFFF)


def plain_align(
    rig: Rig, spec: SensorSpec, color: Any, frame: Any
) -> tuple[NDArray[np.uint8], float, float, float]:
    """Pixels, and the shares of those that are measured, filled, and outside."""
    assert rig.depth is not None
    assert rig.color is not None
    assert rig.pose is not None
    upright = abs(rig.pose.translation[1]) > abs(rig.pose.translation[0])
    metres = spec.decode(frame).astype(np.float32)
    seen = spec.valid(frame) & np.isfinite(metres) & (metres > 0)
    metres[~seen] = spec.range[1]
    metres = metres.ravel()[fill(seen, metres, upright)]

    rays = Lens(rig.depth).rays(frame.shape[1], frame.shape[0]).reshape(2, -1)
    turned = rig.pose.matrix.astype(np.float32) @ np.vstack([rays, np.ones((1, rays.shape[1]))]).astype(
        np.float32
    )
    points = turned.astype(np.float32) * metres.ravel()
    points = points + np.array(rig.pose.translation, np.float32)[:, np.newaxis]
    places = Lens(rig.color).project(points)
    height, width = color.shape[:2]
    with np.errstate(invalid="ignore"):
        inside: Any = (
            (places > -0.5) & (places < np.array([[width - 0.5], [height - 0.5]], np.float32))
        ).all(0)
    pitch = rig.color.fx / rig.depth.fx
    hidden = _hidden(places, points[2], inside, seen, (height, width), max(1.0, pitch))

    factor = int(pitch + 0.5)
    if factor > 1:
        cut = np.ascontiguousarray(color[: height // factor * factor, : width // factor * factor])
        color = cv2.resize(cut, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        places = ((places + 0.5) / factor - 0.5).astype(np.float32)
    across, down = np.nan_to_num(places, nan=-9.0).reshape(2, *frame.shape)
    pixels: Any = cv2.remap(color, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    visible = (inside & ~hidden).reshape(frame.shape)
    if visible.any():
        beside = pixels.reshape(-1, 3)[fill(visible, metres, upright)]
        pixels = np.where(hidden.reshape(*frame.shape, 1), beside, pixels)
    pixels[~inside.reshape(frame.shape)] = 0
    measured, outside = float((visible & seen).mean()), float(1 - inside.mean())
    return pixels, measured, max(0.0, 1 - measured - outside), outside


def _hidden(
    places: NDArray[np.float32], distance: NDArray[np.float32], inside: NDArray[np.bool_],
    seen: NDArray[np.bool_], shape: tuple[int, int], cell: float,
) -> NDArray[np.bool_]:  # fmt: skip
    """Each measured point is drawn over four cells of a grid; who is much nearer than another there hides it."""
    columns = int(shape[1] / cell) + 4
    nearest = np.full((int(shape[0] / cell) + 4) * columns, _FREE)
    at = np.flatnonzero(inside & seen.ravel())
    keys = distance[at].view(np.uint32).astype(np.uint64) << np.uint64(32) | at.astype(np.uint64)
    corner = ((places[:, at] + 0.5) / cell + 0.5).astype(np.intp)
    for down in (0, 1):
        for right in (0, 1):
            np.minimum.at(nearest, (corner[1] + down) * columns + corner[0] + right, keys)
    hidden = np.zeros(len(inside), np.bool_)
    width = seen.shape[1]
    for number in np.flatnonzero(inside):
        column, row = ((places[:, number] + 0.5) / cell + 1).astype(np.intp)
        key = nearest[row * columns + column]
        if key != _FREE:
            owner = int(key & np.uint64(0xFFFFFFFF))
            before = np.uint32(key >> np.uint64(32)).view(np.float32)
            apart = max(abs(owner // width - number // width), abs(owner % width - number % width))
            hidden[number] = apart > 1 and before < np.float32(0.98) * distance[number]
    return hidden


def fill(known: NDArray[np.bool_], metres: Any, upright: bool) -> NDArray[np.intp]:
    """For each pixel its own number or, where it is not known, that of the farther of its known neighbors along the
    row (``upright``: the column); where there is none, of those that were found for the pixels of its column."""
    sources = np.where(known, np.arange(known.size).reshape(known.shape), -1)
    for lines in (sources.T, sources) if upright else (sources, sources.T):
        for line in lines:
            full = np.flatnonzero(line >= 0)
            found = line.copy()
            for at in np.flatnonzero(line < 0) if len(full) else ():
                beside = [*full[full < at][-1:], *full[full > at][:1]]
                found[at] = line[max(beside, key=lambda one: metres.ravel()[line[one]])]
            line[:] = found
    return np.where(sources < 0, np.arange(known.size).reshape(known.shape), sources)
