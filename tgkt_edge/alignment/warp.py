"""A color picture as the depth camera beside it would have taken it, pixel by pixel, by the depth that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.lens import Lens
from tgkt_edge.alignment.rig import Rig
from tgkt_edge.errors import DataError, FrameError, UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import RawFrame, SensorSpec

_SAME_SURFACE = (
    1  # pixels that two points may lie apart in the depth frame and hide each other by rounding only
)
_BEFORE = 0.98  # what hides is nearer than this share of the distance
_NOBODY = np.uint64(0xFFFFFFFFFFFFFFFF)


@dataclass(frozen=True)
class Aligned:
    """One color picture in the depth camera's view.

    Attributes:
        pixels: (H, W, 3) uint8 of the depth frame's size.
        measured: share of pixels whose own depth says where in the color picture they are.
        filled: share of pixels without depth, which take the depth of what lies behind beside them, and of pixels that
            the color camera did not see because something stood before them, which take the color beside them.
        outside: share of pixels beyond the edges of the color picture: black.
    """

    pixels: NDArray[np.uint8]
    measured: float
    filled: float
    outside: float

    def to_dict(self) -> dict[str, float]:
        """The shares, for the index of a recording."""
        return {name: round(getattr(self, name), 4) for name in ("measured", "filled", "outside")}


def mean_shares(shares: list[dict[str, float]]) -> dict[str, float] | None:
    """The mean of several pictures' :meth:`Aligned.to_dict`; None of none."""
    if not shares:
        return None
    return {name: round(sum(one[name] for one in shares) / len(shares), 4) for name in shares[0]}


def describe_shares(shares: dict[str, float]) -> str:
    """For people: what became of the pixels."""
    return (
        f"RGB aligned: {shares['measured']:.1%} of the pixels by their own depth, {shares['filled']:.1%} filled from "
        f"beside them, {shares['outside']:.1%} outside the RGB image (black)"
    )


class ColorAligner:
    """Warps color pictures into a depth camera's view.

    Each depth pixel becomes a point, is seen through the color camera's lens, and takes the color there, interpolated
    from four pixels. A z-buffer of the color camera's view finds what something nearer hides.

    Args:
        rig: both cameras and where they are.
        spec: what depth frames mean.
        where: what to call the pair of cameras in messages.

    Raises:
        DataError: something about the cameras is not known. UsageError: ``spec`` is not of depth.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, rig: Rig, spec: SensorSpec, where: str) -> None:
        if spec.kind != "depth":
            raise UsageError(
                f"`align`: {spec.kind} frames hold no distances, and without them nobody knows where in the RGB image "
                f"a pixel lies. Align by depth, or leave `align` out."
            )
        rig.check(where)
        assert rig.depth is not None
        assert rig.color is not None
        assert rig.pose is not None
        self._cv2 = require("cv2", "cpu", "Aligning pictures")
        self._rig, self._spec, self._where = rig, spec, where
        self._turn = rig.pose.matrix.astype(np.float32)
        self._move = np.array(rig.pose.translation, np.float32)[:, np.newaxis]
        try:
            self._depth_lens, self._color_lens = Lens(rig.depth), Lens(rig.color)
        except DataError as error:
            raise DataError(f"{where}: `align`: {error}") from error
        self._pitch = rig.color.fx / rig.depth.fx  # color pixels that a depth pixel covers
        self._upright = abs(rig.pose.translation[1]) > abs(rig.pose.translation[0])
        self._rays: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def align(self, color: NDArray[np.uint8], frame: RawFrame, name: str = "frame") -> Aligned:
        """Warp one picture.

        Args:
            color: (H', W', 3) uint8. frame: (H, W) raw counts, taken at the same time. name: of them, for messages.

        Raises:
            FrameError: another size than the cameras are known for.
        """
        self._check_sizes(color, frame, name)
        metres, seen = self._metres(frame)
        places, distance = self._places(metres)
        height, width = color.shape[:2]
        inside = (
            (places[0] > -0.5) & (places[0] < width - 0.5) & (places[1] > -0.5) & (places[1] < height - 0.5)
        )
        hidden = self._hidden(places, distance, inside, seen, (height, width))
        pixels = self._sample(color, np.where(inside, places, np.float32(-9)).reshape(2, *frame.shape))
        flat, visible = pixels.reshape(-1, 3), inside.copy()
        if len(hidden):
            visible[hidden] = False
            sources = _beside(visible.reshape(frame.shape), metres, self._upright).ravel()[hidden]
            found = sources >= 0
            flat[hidden[found]] = flat[sources[found]]
        flat[np.flatnonzero(~inside)] = 0
        measured = np.count_nonzero(visible & seen.ravel()) / frame.size
        outside = 1 - np.count_nonzero(inside) / frame.size
        return Aligned(pixels, measured, max(0.0, 1 - measured - outside), outside)

    def places(self, frame: RawFrame) -> NDArray[np.float32]:
        """(2, H, W) float32: column and row in the color picture of what each depth pixel sees; NaN: outside of any
        picture that the lens makes."""
        return self._places(self._metres(frame)[0])[0].reshape(2, *frame.shape)

    def _check_sizes(self, color: NDArray[np.uint8], frame: RawFrame, name: str) -> None:
        for what, picture, known in (
            ("depth frame", frame, self._rig.depth_size),
            ("color picture", color, self._rig.color_size),
        ):
            size = (picture.shape[1], picture.shape[0])
            if known is not None and known != size:
                raise FrameError(
                    f"{name}: a {what} of {size[0]}x{size[1]}, but its camera's intrinsics are for "
                    f"{known[0]}x{known[1]}. Give those of {size[0]}x{size[1]} with `extrinsics=FILE`."
                )

    def _metres(self, frame: RawFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(H, W) metres, filled where nothing was measured, and where it was."""
        if frame.dtype == self._spec.numpy_dtype and not self._spec.is_float:
            counts = frame.astype(np.intp)
            values, known = _table(self._spec)
            metres, seen = values.take(counts, mode="clip"), known.take(counts, mode="clip")
        else:
            metres, seen = _decoded(self._spec, frame)
        if not seen.all():
            sources = _beside(seen, metres, self._upright)[~seen]
            beside = metres.ravel()[np.maximum(sources, 0)]
            metres[~seen] = np.where(sources >= 0, beside, np.float32(self._spec.range[1]))
        return metres, seen

    def _places(self, metres: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(2, H W) pixels of the color picture, and (H W,) metres along the color camera's axis."""
        rays = self._rays.get(metres.shape)
        if rays is None:  # frames are aligned in several threads: two may compute the same
            slopes = self._depth_lens.rays(metres.shape[1], metres.shape[0]).reshape(2, -1)
            straight = np.concatenate([slopes, np.ones((1, slopes.shape[1]))]).astype(np.float32)
            rays = self._rays[metres.shape] = (self._turn @ straight).astype(np.float32)
        points: NDArray[np.float32] = np.multiply(rays, metres.ravel(), dtype=np.float32)
        points += self._move
        return self._color_lens.project(points), points[2]

    def _hidden(
        self, places: NDArray[np.float32], distance: NDArray[np.float32], inside: NDArray[np.bool_],
        seen: NDArray[np.bool_], shape: tuple[int, int],
    ) -> NDArray[np.intp]:  # fmt: skip
        """The numbers of the pixels that the color camera cannot see, for a measured point (``seen``, (H, W)) lies
        before them. ``inside``: (H W,) bool."""
        cell = max(1.0, self._pitch)
        rows, columns = int(shape[0] / cell) + 4, int(shape[1] / cell) + 4
        cells = np.where(inside, (places + 0.5) / cell, np.float32(0))
        # The nearest point of each cell, and which it is, as one number. Metres above 0 are ordered as their bits are.
        keys = distance.view(np.uint32).astype(np.uint64) << np.uint64(32)
        keys |= np.arange(len(inside), dtype=np.uint64)
        keys[~(inside & seen.ravel())] = _NOBODY
        nearest = np.full(rows * columns, _NOBODY)
        corner = (cells + 0.5).astype(np.intp)
        np.minimum.at(nearest, corner[1] * columns + corner[0], keys)
        around = nearest.copy()  # a point hides what is up to a cell farther right and down
        for step in (1, columns, columns + 1):
            np.minimum(around[step:], nearest[:-step], out=around[step:])
        middle = (cells + 1).astype(np.intp)
        key = around[middle[1] * columns + middle[0]]
        before = (key >> np.uint64(32)).astype(np.uint32).view(np.float32)  # NaN: nobody
        with np.errstate(invalid="ignore"):
            here = np.flatnonzero(inside & (before < _BEFORE * distance))
        owner = (key[here] & np.uint64(0xFFFFFFFF)).astype(np.intp)
        width = seen.shape[1]
        apart = np.maximum(np.abs(owner // width - here // width), np.abs(owner % width - here % width))
        hidden: NDArray[np.intp] = here[apart > _SAME_SURFACE]
        return hidden

    def _sample(self, color: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(H, W, 3): the colors at ``places`` (2, H, W); of several color pixels under a depth pixel the mean."""
        cv2, factor = self._cv2, int(self._pitch + 0.5)
        if factor > 1:
            height, width = color.shape[0] // factor, color.shape[1] // factor
            color = cv2.resize(
                np.ascontiguousarray(color[: height * factor, : width * factor]), (width, height),
                interpolation=cv2.INTER_AREA,
            )  # fmt: skip
            places = ((places + 0.5) / factor - 0.5).astype(np.float32)
        sampled = cv2.remap(color, places[0], places[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled, np.uint8)


@lru_cache(maxsize=8)
def _table(spec: SensorSpec) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """:func:`_decoded` of every count of a sensor of integers."""
    return _decoded(spec, np.arange(np.iinfo(spec.numpy_dtype).max + 1, dtype=spec.numpy_dtype))


def _decoded(spec: SensorSpec, frame: RawFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Metres, and whether they were measured."""
    metres = spec.decode(frame).astype(np.float32)
    return metres, spec.valid(frame) & np.isfinite(metres) & (metres > 0)


def _beside(known: NDArray[np.bool_], metres: NDArray[np.float32], upright: bool) -> NDArray[np.int32]:
    """For each pixel the number of a known one beside it: of the nearest to either side the farther away, since what a
    camera misses beside a near thing is what lies behind it. -1: nothing is known at all.

    Args:
        known: (H, W). metres: (H, W), read where it is known. upright: look up and down first, then to the sides.
    """
    if upright:
        turned = _beside(np.ascontiguousarray(known.T), np.ascontiguousarray(metres.T), False)
        column, row = np.divmod(turned, np.int32(len(known)))
        return np.ascontiguousarray(np.where(turned < 0, turned, row * np.int32(known.shape[1]) + column).T)
    rows, columns = known.shape
    sources = np.arange(known.size, dtype=np.int32).reshape(known.shape)
    # A known pixel of -1 m between all rows, and before the first: it is beside what has no other.
    solid = np.ones(1 + rows * (columns + 1), np.bool_)
    solid[1:].reshape(rows, columns + 1)[:, :columns] = known
    edges = np.flatnonzero(solid[1:] != solid[:-1])
    before, distance_before = _numbers(edges[0::2], metres)
    after, distance_after = _numbers(edges[1::2] + 1, metres)
    chosen = np.where(distance_after > distance_before, after, before)
    sources[~known] = np.repeat(chosen, edges[1::2] - edges[0::2])
    filled = known.any(1)
    if not filled.all() and filled.any():
        full, empty, flat = np.flatnonzero(filled), np.flatnonzero(~filled), metres.ravel()
        place = np.searchsorted(full, empty)
        above, below = (
            sources[full[np.maximum(place - 1, 0)]],
            sources[full[np.minimum(place, len(full) - 1)]],
        )
        far_above = np.where(place[:, np.newaxis] > 0, flat[above], np.float32(-1))
        far_below = np.where(place[:, np.newaxis] < len(full), flat[below], np.float32(-1))
        sources[empty] = np.where(far_below > far_above, below, above)
    return sources


def _numbers(
    places: NDArray[np.intp], metres: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The numbers and metres of pixels, -1 of what stands between rows, by places among both; see :func:`_beside`."""
    columns = metres.shape[1]
    row, column = np.divmod(places - 1, columns + 1)
    between = column == columns
    numbers = np.where(between, 0, row * columns + column)
    found = np.where(between, np.float32(-1), metres.ravel()[numbers])
    return np.where(between, -1, numbers).astype(np.int32), found
