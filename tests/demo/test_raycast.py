"""The ray-caster and the depth sensor, against geometry worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.demo.geometry import Box, Camera, Cylinder, Room, Solid, Sphere
from tgkt_edge.demo.raycast import Hits, cast
from tgkt_edge.demo.sensors import depth_image

FRONT = Camera((0.0, 0.0, 0.0))


def look(solids: list[Solid], room: Room | None = None, camera: Camera = FRONT) -> Hits:
    """An odd number of pixels each way, so that the middle one looks exactly along the axis."""
    return cast(camera, room, solids, 41, 31)


def centre(hits: Hits) -> float:
    return float(hits.z.reshape(31, 41)[15, 20])


# --- the ray-caster, by hand


def test_wall_square_to_the_axis_has_one_depth_over_the_whole_frame() -> None:
    """Depth is along the axis: rays into the corners travel further, but the depth image must not say so."""
    hits = look([Box((0, 3.5, 0), (50, 0.5, 50), 0)])
    np.testing.assert_allclose(hits.z, 3.0, rtol=1e-5)
    np.testing.assert_allclose(hits.point[1], 3.0, rtol=1e-5)
    np.testing.assert_allclose(hits.normal, np.broadcast_to([[0], [-1], [0]], hits.normal.shape), atol=1e-6)


def test_ray_at_an_angle_gives_z_not_range() -> None:
    """The left wall at x = -1, seen 30 degrees off the axis, is at z = 1 / tan 30."""
    camera = Camera((0.0, 0.0, 0.0), hfov=math.radians(60))
    room = Room((-1.0, -1.0, -9.0), (9.0, 99.0, 9.0), (0, 0, 0, 0, 0, 0))
    z = look([], room, camera).z.reshape(31, 41)[15, 0]
    half_pixel = 0.5 / camera.focal_px(41)
    assert z == pytest.approx(1 / (math.tan(math.radians(30)) - half_pixel), rel=1e-4)


def test_floor_depth_follows_from_the_camera_height() -> None:
    """Row r sees the floor 1.5 m below at z = 1.5 f / (rows below the middle)."""
    camera = Camera((0.0, 0.0, 1.5))
    room = Room((-99.0, -99.0, 0.0), (99.0, 99.0, 99.0), (0, 1, 2, 3, 4, 5))
    hits = look([], room, camera)
    assert hits.z.reshape(31, 41)[25, 20] == pytest.approx(1.5 * camera.focal_px(41) / 10, rel=1e-4)
    assert hits.material.reshape(31, 41)[25, 20] == 4


def test_nearest_surface_wins_and_empty_space_is_infinite() -> None:
    near, far = Box((0, 2, 0), (0.1, 0.1, 0.1), 7), Box((0, 5, 0), (0.5, 0.1, 0.5), 8)
    for order in ([near, far], [far, near]):
        hits = look(list(order))
        assert centre(hits) == pytest.approx(1.9, rel=1e-5)
        assert set(hits.material.tolist()) == {-1, 7, 8}
        assert math.isinf(hits.z[0])
        assert hits.material[0] == -1


def test_box_turned_by_45_degrees_shows_its_edge() -> None:
    """Its vertical edge is half a diagonal in front of its centre."""
    hits = look([Box((0, 4, 0), (1, 1, 1), 0, yaw=math.pi / 4)])
    assert centre(hits) == pytest.approx(4 - math.sqrt(2), rel=1e-4)


def test_round_solids() -> None:
    assert centre(look([Sphere((0, 3, 0), 0.5, 0)])) == pytest.approx(2.5, rel=1e-5)
    assert centre(look([Cylinder((0, 3, -1), 0.25, 2, 0)])) == pytest.approx(2.75, rel=1e-5)
    from_above = Camera((0.0, 0.0, 2.0), pitch=-math.pi / 4)
    hits = look([Cylinder((0, 1.5, 0), 0.4, 0.5, 0)], camera=from_above)
    assert centre(hits) == pytest.approx(1.5 * math.sqrt(2), rel=1e-4)  # the middle of its lid
    np.testing.assert_allclose(hits.normal.reshape(3, 31, 41)[:, 15, 20], [0, 0, 1], atol=1e-5)


@pytest.mark.parametrize(("yaw", "target"), [(0.0, (0, 2)), (math.pi / 2, (-2, 0)), (math.pi, (0, -2))])
def test_positive_yaw_turns_left(yaw: float, target: tuple[float, float]) -> None:
    hits = look([Sphere((*target, 0.0), 0.5, 0)], camera=Camera((0.0, 0.0, 0.0), yaw=yaw))
    assert centre(hits) == pytest.approx(1.5, rel=1e-4)


def test_solid_around_or_behind_the_camera_plane_is_seen_in_part_or_not_at_all() -> None:
    assert np.isinf(look([Box((0, -3, 0), (1, 1, 1), 0)]).z).all()
    floor = look([Box((0, 0, -2), (50, 50, 1), 0)]).z.reshape(31, 41)
    assert np.isfinite(floor[-1]).all()
    assert np.isinf(floor[0]).all()


# --- the depth sensor


def sense(
    z: NDArray[np.float32], cosine: float = 0.9, nir: float = 0.6, gloss: float = 0.0
) -> NDArray[np.uint16]:
    def full(value: float) -> NDArray[np.float32]:
        return np.full(z.shape, value, np.float32)

    return depth_image(z, full(cosine), full(nir), full(gloss), 114.0, np.random.default_rng(0))


def flat(metres: float) -> NDArray[np.float32]:
    return np.full((60, 80), metres, np.float32)


def test_noise_grows_with_the_square_of_the_distance() -> None:
    near, far = (sense(flat(z)).astype(np.float64) for z in (2.0, 4.0))
    spread = [float(frame[frame > 0].std()) for frame in (near, far)]
    assert np.median(near[near > 0]) == pytest.approx(2000, rel=0.01)
    assert np.median(far[far > 0]) == pytest.approx(4000, rel=0.01)
    assert spread[1] / spread[0] == pytest.approx(4, rel=0.15)


def test_depth_comes_in_steps_that_widen_with_distance() -> None:
    steps = []
    for z in (1.0, 4.0):
        frame = sense(flat(z))
        steps.append(int(np.diff(np.unique(frame[frame > 0]).astype(int)).min()))
    assert steps[0] < 5
    assert steps[1] > 40


@pytest.mark.parametrize("metres", [0.3, 9.0, math.inf])
def test_no_reading_outside_the_range(metres: float) -> None:
    assert not sense(flat(metres)).any()


def test_holes_at_grazing_angles_on_dark_and_on_shiny_surfaces() -> None:
    def share(**surface: float) -> float:
        return float((sense(flat(3.0), **surface) == 0).mean())

    assert share() < 0.02
    assert share(cosine=0.03) > 0.95
    assert share(nir=0.01) > 0.5
    assert share(gloss=0.8) > 0.4


def test_shadow_on_one_side_of_a_near_object_as_wide_as_the_disparity_says() -> None:
    """The projector stands to the right: the background is dark to the left of the object, b f (1/z - 1/Z) wide."""
    z = flat(4.0)
    z[:, 35:50] = 1.0
    holes = (sense(z) == 0).mean(axis=0) > 0.5
    width = 114 * 0.075 * (1 / 1.0 - 1 / 4.0)
    assert abs(int(holes[:35].sum()) - width) <= 1
    assert holes[34]
    assert not holes[50:].any()
