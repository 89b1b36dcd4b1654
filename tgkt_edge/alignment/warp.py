"""A color picture as the depth camera beside it would have taken it, pixel by pixel, by the depth that was measured."""

from __future__ import annotations

from dataclasses import dataclass

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
        pixels = self._sample(color, places.reshape(2, *frame.shape))
        visible = (inside & ~hidden).reshape(frame.shape)
        sources = _beside(visible, metres, self._upright)
        gaps = hidden.reshape(frame.shape) & (sources >= 0)
        pixels[gaps] = pixels.reshape(-1, 3)[sources[gaps]]
        pixels[~inside.reshape(frame.shape)] = 0
        measured = float((visible & seen).mean())
        outside = float(1 - inside.mean())
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
        seen = self._spec.valid(frame)
        metres = self._spec.decode(frame).astype(np.float32)
        seen &= np.isfinite(metres) & (metres > 0)
        if not seen.all():
            metres[~seen] = self._spec.range[1]
            sources = _beside(seen, metres, self._upright)
            gaps = ~seen & (sources >= 0)
            metres[gaps] = metres.ravel()[sources[gaps]]
        return metres, seen

    def _places(self, metres: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(2, H W) pixels of the color picture, and (H W,) metres along the color camera's axis."""
        rays = self._rays.get(metres.shape)
        if rays is None:  # frames are aligned in several threads: two may compute the same
            slopes = self._depth_lens.rays(metres.shape[1], metres.shape[0]).reshape(2, -1)
            straight = np.concatenate([slopes, np.ones((1, slopes.shape[1]))]).astype(np.float32)
            rays = self._rays[metres.shape] = (self._turn @ straight).astype(np.float32)
        points: NDArray[np.float32] = np.multiply(rays, metres.ravel(), dtype=np.float32)
        points = np.add(points, self._move, dtype=np.float32)
        return self._color_lens.project(points), points[2]

    def _hidden(
        self, places: NDArray[np.float32], distance: NDArray[np.float32], inside: NDArray[np.bool_],
        seen: NDArray[np.bool_], shape: tuple[int, int],
    ) -> NDArray[np.bool_]:  # fmt: skip
        """(H W,) bool: what the color camera cannot see, for a measured point (``seen``, (H, W)) lies before it."""
        cell = max(1.0, self._pitch)
        rows, columns = int(shape[0] / cell) + 4, int(shape[1] / cell) + 4
        nearest = np.full(rows * columns, _NOBODY)
        at = np.flatnonzero(inside & seen.ravel())
        # The nearest point of each cell, and which it is, as one number. Metres above 0 are ordered as their bits are.
        keys = distance[at].view(np.uint32).astype(np.uint64) << np.uint64(32) | at.astype(np.uint64)
        corner = ((places[:, at] + 0.5) / cell + 0.5).astype(np.intp)
        first = corner[1] * columns + corner[0]
        for step in (0, 1, columns, columns + 1):
            np.minimum.at(nearest, first + step, keys)
        here = np.flatnonzero(inside)
        middle = ((places[:, here] + 0.5) / cell + 1).astype(np.intp)
        key = nearest[middle[1] * columns + middle[0]]
        owner = (key & np.uint64(0xFFFFFFFF)).astype(np.intp)
        before = (key >> np.uint64(32)).astype(np.uint32).view(np.float32)
        width = seen.shape[1]
        apart = np.maximum(np.abs(owner // width - here // width), np.abs(owner % width - here % width))
        hidden = np.zeros(len(inside), np.bool_)
        with np.errstate(invalid="ignore"):
            hidden[here] = (key != _NOBODY) & (apart > _SAME_SURFACE) & (before < _BEFORE * distance[here])
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
        across, down = np.nan_to_num(places, nan=-9.0)
        sampled = cv2.remap(color, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(sampled, np.uint8)


def _beside(known: NDArray[np.bool_], metres: NDArray[np.float32], upright: bool) -> NDArray[np.intp]:
    """For each pixel the number of a known one beside it: of the nearest to either side the farther away, since what a
    camera misses beside a near thing is what lies behind it. -1: nothing is known at all.

    Args:
        known: (H, W). metres: (H, W), read where it is known. upright: look up and down first, then to the sides.
    """
    sources = np.where(known, np.arange(known.size, dtype=np.intp).reshape(known.shape), -1)
    flat = metres.ravel()
    for axis in (0, 1) if upright else (1, 0):
        gaps = np.nonzero(sources < 0)
        if not len(gaps[0]):
            break
        length = known.shape[axis]
        places = np.arange(length, dtype=np.int32)
        places = places[:, np.newaxis] if axis == 0 else places[np.newaxis]
        filled = sources >= 0
        before = np.maximum.accumulate(np.where(filled, places, -1), axis)[gaps]
        backwards = np.flip(np.where(filled, places, length), axis)
        after = np.flip(np.minimum.accumulate(backwards, axis), axis)[gaps]
        either = []
        for at, there in ((before, before >= 0), (after, after < length)):
            inner = np.where(there, at, 0)
            found = sources[(inner, gaps[1]) if axis == 0 else (gaps[0], inner)]
            either.append((np.where(there, found, -1), np.where(there, flat[found], -1.0)))
        sources[gaps] = np.where(either[1][1] > either[0][1], either[1][0], either[0][0])
    return sources
