"""Color in the depth camera's view, on a scene that is rendered from two places: where every point lies is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.two_cameras import (
    COLOR_CAMERA,
    COLOR_LENS,
    COLOR_SIZE,
    COLORS,
    DEPTH_CAMERA,
    DEPTH_LENS,
    DEPTH_SIZE,
    RIG,
    intrinsics,
    look,
    millimetres,
    off,
    painted,
    true_places,
)
from tgkt_edge.alignment.rig import Rig
from tgkt_edge.alignment.warp import ColorAligner, _beside
from tgkt_edge.demo.geometry import Room
from tgkt_edge.demo.raycast import cast
from tgkt_edge.errors import DataError, FrameError, UsageError
from tgkt_edge.sensor import PRESETS, Extrinsics, Intrinsics


def test_points_are_found_within_a_tenth_of_a_pixel() -> None:
    hits = look(DEPTH_CAMERA, DEPTH_SIZE)
    found = ColorAligner(RIG, PRESETS["depth"], "two cameras").places(millimetres(hits, DEPTH_SIZE))
    wrong = np.hypot(*(found.reshape(2, -1) - true_places(hits, COLOR_CAMERA, COLOR_SIZE)))
    assert wrong.max() < 0.1
    moved = np.hypot(
        *(true_places(hits, COLOR_CAMERA, COLOR_SIZE) - true_places(hits, DEPTH_CAMERA, COLOR_SIZE))
    )
    assert np.median(moved) > 10  # what is mended


def test_colors_lie_on_their_things_and_what_is_hidden_takes_the_color_behind() -> None:
    hits = look(DEPTH_CAMERA, DEPTH_SIZE)
    frame, color = millimetres(hits, DEPTH_SIZE), painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE)
    aligned = ColorAligner(RIG, PRESETS["depth"], "two cameras").align(color, frame)
    truth = painted(hits, DEPTH_SIZE)
    inside = aligned.pixels.any(-1)

    assert off(aligned.pixels, truth, inside) < 0.002
    assert off(cv2.resize(color, DEPTH_SIZE), truth, inside) > 0.05
    assert aligned.measured > 0.9
    assert aligned.measured + aligned.filled + aligned.outside == pytest.approx(1)
    assert aligned.outside == pytest.approx(1 - inside.mean())
    # What the color camera truly sees of the cylinder's shadow is never the cylinder: it is not doubled.
    assert (np.abs(aligned.pixels.astype(int) - COLORS[9]).max(-1) < 5).sum() == pytest.approx(
        (hits.material == 9).sum(), rel=0.06
    )


def test_what_is_hidden_is_what_the_ray_caster_says() -> None:
    hits = look(DEPTH_CAMERA, DEPTH_SIZE)
    aligner = ColorAligner(RIG, PRESETS["depth"], "two cameras")
    frame = millimetres(hits, DEPTH_SIZE)
    places, distance = aligner._places(aligner._metres(frame)[0])
    inside = (np.abs(places - 200) < 199).all(0) & (np.abs(places[1] - 150) < 149)
    hidden = np.zeros(frame.size, bool)
    hidden[aligner._hidden(places, distance, inside, frame > 0, COLOR_SIZE[::-1])] = True
    seen = look(COLOR_CAMERA, COLOR_SIZE).z.reshape(COLOR_SIZE[::-1])
    column, row = (np.rint(places[:, inside])).astype(int)
    truly = seen[row, column] < distance[inside] - 0.1
    agree = (truly == hidden[inside]).mean()
    assert truly.mean() > 0.01
    assert agree > 0.985
    assert hidden[inside][truly].mean() > 0.85


DISTORTIONS = [
    ((0.12, -0.25, 0.002, -0.001, 0.08), "plumb_bob"),
    ((0.5, -2.6, 0.0007, -0.0002, 1.5, 0.38, -2.4, 1.4), "rational_polynomial"),
    ((0.03, -0.02, 0.01, -0.003), "equidistant"),
]


def bent(picture: NDArray[Any], straight: Intrinsics, lens: Intrinsics) -> NDArray[Any]:
    """The picture as a lens with distortion would have taken it, by OpenCV's own inverse."""
    if lens is straight:
        return picture
    height, width = picture.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 1, 2).astype(np.float64)
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    if lens.model == "equidistant":
        rays = cv2.fisheye.undistortPoints(grid, matrix, np.array(lens.distortion))
    else:
        until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)
        undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # OpenCV 5 has one for both
        rays = undistort(grid, matrix, np.array(lens.distortion), None, None, None, until)
    rays = rays.reshape(height, width, 2).astype(np.float32)
    across, down = rays[..., 0] * straight.fx + straight.cx, rays[..., 1] * straight.fy + straight.cy
    return cv2.remap(
        picture, across.astype(np.float32), down.astype(np.float32), cv2.INTER_NEAREST, borderValue=(1, 1, 1)
    )


@pytest.mark.parametrize("side", ["depth", "color"])
@pytest.mark.parametrize(("coefficients", "model"), DISTORTIONS)
def test_distortion_of_either_lens_is_honoured(
    coefficients: tuple[float, ...], model: str, side: str
) -> None:
    camera, size = (DEPTH_CAMERA, DEPTH_SIZE) if side == "depth" else (COLOR_CAMERA, COLOR_SIZE)
    lens = intrinsics(camera, size, distortion=coefficients, model=model)
    rig = dataclasses.replace(RIG, depth=lens) if side == "depth" else dataclasses.replace(RIG, color=lens)
    hits = look(DEPTH_CAMERA, DEPTH_SIZE)
    assert rig.depth is not None
    assert rig.color is not None
    frame = bent(millimetres(hits, DEPTH_SIZE), DEPTH_LENS, rig.depth)
    color = bent(painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE, 0.3), COLOR_LENS, rig.color)
    truth = bent(painted(hits, DEPTH_SIZE, 0.3), DEPTH_LENS, rig.depth)
    aligned = ColorAligner(rig, PRESETS["depth"], "two cameras").align(color, frame)
    known = (frame > 1) & (aligned.pixels > 5).any(-1)
    assert known.mean() > 0.75
    assert off(aligned.pixels, truth, known) < 0.01
    straight = ColorAligner(RIG, PRESETS["depth"], "two cameras").align(color, frame)
    assert off(straight.pixels, truth, known) > 0.03


def test_holes_take_the_color_at_the_depth_behind_and_are_counted() -> None:
    hits = look(DEPTH_CAMERA, DEPTH_SIZE)
    frame, color = millimetres(hits, DEPTH_SIZE), painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE)
    aligner = ColorAligner(RIG, PRESETS["depth"], "two cameras")
    whole = aligner.align(color, frame)
    holed = frame.copy()
    holed[100:120, 60:75] = 0
    holed[np.random.default_rng(0).random(frame.shape) < 0.1] = 0
    found = aligner.align(color, holed)
    assert found.filled - whole.filled > 0.09
    assert (found.pixels == whole.pixels).all(-1).mean() > 0.97
    nothing = aligner.align(color, np.zeros_like(frame))  # no measurement at all: all is taken as far away
    assert nothing.measured == 0
    assert nothing.pixels.any(-1).mean() > 0.9


def test_a_larger_color_picture_is_averaged_not_sampled_here_and_there() -> None:
    flat = Room((-9.0, -1.0, -9.0), (9.0, 2.0, 9.0), (1, 1, 1, 1, 1, 1))
    hits = cast(DEPTH_CAMERA, flat, [], 80, 60)
    size = (640, 480)
    checks = np.indices(size[::-1]).sum(0) % 2 * 200
    color = np.repeat(checks[..., np.newaxis], 3, -1).astype(np.uint8)
    rig = Rig(
        intrinsics(DEPTH_CAMERA, (80, 60)),
        intrinsics(DEPTH_CAMERA, size),
        Extrinsics.of(np.eye(3), (0, 0, 0)),
    )
    aligned = ColorAligner(rig, PRESETS["depth"], "one camera").align(color, millimetres(hits, (80, 60)))
    assert aligned.measured == 1
    assert np.abs(aligned.pixels.astype(int) - 100).max() <= 1


def test_what_is_not_known_is_named_with_how_to_give_it() -> None:
    with pytest.raises(
        DataError,
        match=r"bag: `align` needs the intrinsics of the color camera and where the two cameras are to each other, "
        r"which are not known\. No CameraInfo\. Give them with `extrinsics=FILE`: YAML with rotation, translation, "
        r"depth, color",
    ):
        ColorAligner(Rig(depth=RIG.depth, origin="No CameraInfo"), PRESETS["depth"], "bag")
    with pytest.raises(UsageError, match="`align`: nir frames hold no distances"):
        ColorAligner(RIG, PRESETS["nir"], "bag")
    odd = dataclasses.replace(RIG, color=Intrinsics(300, 300, 1, 1, (0.1, 0.2), "F-Theta"))
    with pytest.raises(
        DataError, match=r"bag: `align`: distortion model 'F-Theta' is not known; expected plumb_bob"
    ):
        ColorAligner(odd, PRESETS["depth"], "bag")
    sized = dataclasses.replace(RIG, depth_size=DEPTH_SIZE, color_size=(1280, 720))
    aligner = ColorAligner(sized, PRESETS["depth"], "bag")
    with pytest.raises(FrameError, match=r"7: a color picture of 400x300, but .* are for 1280x720"):
        aligner.align(np.zeros((300, 400, 3), np.uint8), np.ones(DEPTH_SIZE[::-1], np.uint16), "7")


def test_a_gap_takes_the_farther_of_the_nearest_to_either_side() -> None:
    metres = np.array([[1, 0, 0, 3, 0], [0, 0, 0, 0, 0], [5, 2, 0, 4, 0]], np.float32)
    sources = _beside(metres > 0, metres, upright=False)
    assert sources[0].tolist() == [0, 3, 3, 3, 3]
    assert sources[2].tolist() == [10, 11, 13, 13, 13]
    assert sources[1].tolist() == [10, 3, 13, 13, 13]  # nothing beside it: up and down
    sideways = _beside(np.ascontiguousarray(metres.T) > 0, np.ascontiguousarray(metres.T), upright=True)
    assert [divmod(one, 3)[::-1] for one in sideways.ravel().tolist()] == [
        divmod(one, 5) for one in sources.T.ravel().tolist()
    ]
    assert (_beside(np.zeros((2, 3), bool), np.zeros((2, 3), np.float32), upright=False) == -1).all()
