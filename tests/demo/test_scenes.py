"""The rendered scenes of `tgkt-edge demo`: what they promise as data, checked on a few of each class."""

from __future__ import annotations

import csv
import math
from dataclasses import fields
from functools import cache
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tgkt_edge.demo.geometry import Box, Camera, Cylinder, Room, Solid, Sphere
from tgkt_edge.demo.raycast import Hits, cast
from tgkt_edge.demo.scenes import OTHER_CLASSES, TASK_CLASSES, Frames, render, render_clip
from tgkt_edge.demo.sensors import depth_image
from tgkt_edge.demo.write import write_demo_data

CLASSES = TASK_CLASSES + OTHER_CLASSES
FRONT = Camera((0.0, 0.0, 0.0))
TRAIN, TEST = 20, 12


@cache
def scenes(name: str, count: int) -> list[Frames]:
    """The class's first scenes, 80 x 60: rendered once for all tests that only look at them."""
    return [render(name, index, width=80, height=60) for index in range(count)]


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


# --- scenes


def test_class_names() -> None:
    assert len(TASK_CLASSES) >= 6
    assert len(OTHER_CLASSES) >= 4
    assert len(set(CLASSES)) == len(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_frames_of_every_class(name: str) -> None:
    for frames in scenes(name, 8):
        assert frames.rgb.shape == (60, 80, 3)
        assert frames.depth_mm.shape == frames.nir.shape == (60, 80)
        assert [a.dtype.name for a in (frames.rgb, frames.depth_mm, frames.nir)] == [
            "uint8",
            "uint16",
            "uint16",
        ]
        seen = frames.depth_mm[frames.depth_mm > 0]
        assert 400 <= seen.min() <= seen.max() <= 8000
        assert 64 <= frames.nir.min() <= frames.nir.max() <= 1023
        assert frames.rgb.std() > 8
        assert np.ptp(frames.nir) > 200
    holes = [float((frames.depth_mm == 0).mean()) for frames in scenes(name, 8)]
    assert 0.01 < np.mean(holes) < 0.45
    assert max(holes) < 0.8


def test_holes_are_a_minor_part_of_the_task_data() -> None:
    holes = [float((f.depth_mm == 0).mean()) for name in TASK_CLASSES for f in scenes(name, 8)]
    assert 0.01 < np.mean(holes) < 0.3


def same(a: Frames, b: Frames) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Frames))


@pytest.mark.parametrize("name", CLASSES)
def test_scene_is_a_function_of_seed_class_and_index(name: str) -> None:
    first = render(name, 3, seed=5, width=80, height=60)
    render("corridor", 9)
    assert same(first, render(name, 3, seed=5, width=80, height=60))
    assert not same(first, render(name, 4, seed=5, width=80, height=60))
    assert not same(first, render(name, 3, seed=6, width=80, height=60))


def test_default_size() -> None:
    assert render("office", 0).depth_mm.shape == (120, 160)


def test_unknown_class_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'attic'.*bedroom.*corridor"):
        render("attic", 0)


@pytest.mark.parametrize("bad", [{"index": -1}, {"seed": -1}, {"width": 4}, {"height": 0}])
def test_numbers_out_of_range(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        render("office", **{"index": 0, **bad})


def thumbnail(image: NDArray[np.generic]) -> NDArray[np.float64]:
    h, w = image.shape[:2]
    rows, columns = h // 6 * 6, w // 8 * 8
    cells = image[:rows, :columns].astype(np.float64).reshape(6, rows // 6, 8, columns // 8, -1)
    means: NDArray[np.float64] = cells.mean(axis=(1, 3)).ravel()
    return means


@pytest.mark.parametrize("modality", ["rgb", "depth_mm", "nir"])
def test_classes_can_be_told_apart_by_each_modality_but_not_trivially(modality: str) -> None:
    """Thumbnails and a linear classifier, 20 scenes a class to learn from; chance is one in six."""
    x, y, learn = [], [], []
    for label, name in enumerate(TASK_CLASSES):
        for index, frames in enumerate(scenes(name, TRAIN + TEST)):
            image = getattr(frames, modality)
            bins = 16 if modality == "rgb" else 32
            channels = np.atleast_3d(image)
            top = {"rgb": 256, "depth_mm": 8001, "nir": 1024}[modality]
            shares = [np.histogram(channels[..., c], bins, (0, top))[0] for c in range(channels.shape[2])]
            x.append(np.concatenate([thumbnail(image), *np.sqrt(shares)]))
            y.append(label)
            learn.append(index < TRAIN)
    features, labels, train = np.array(x), np.array(y), np.array(learn)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    score = model.fit(features[train], labels[train]).score(features[~train], labels[~train])
    assert 0.55 < score < 0.99


def test_clip_moves_smoothly_through_each_scene_in_turn() -> None:
    clip = list(render_clip(["office", "corridor", "office"], 5, width=80, height=60))
    assert [(name, len(list(run))) for name, run in groupby(name for name, _ in clip)] == [
        ("office", 5), ("corridor", 5), ("office", 5)
    ]  # fmt: skip

    def change(a: int, b: int) -> float:
        return float(np.abs(clip[a][1].rgb.astype(float) - clip[b][1].rgb.astype(float)).mean())

    assert 0 < change(0, 1) < change(0, 4)
    assert change(0, 1) < change(4, 5)
    assert change(0, 10) > change(0, 1)  # another office
    again = list(render_clip(["office"], 5, width=80, height=60))
    assert all(same(a, b) for (_, a), (_, b) in zip(clip, again, strict=False))


def test_clip_needs_frames() -> None:
    with pytest.raises(ValueError, match="frames_per_scene"):
        list(render_clip(["office"], 0))


# --- files


SMALL = {
    "source_per_class": 2,
    "target_per_class": 3,
    "pairs_per_class": 2,
    "clip_frames": 14,
    "width": 40,
    "height": 30,
}


def read(path: Path) -> NDArray[np.generic]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image)


def labels_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", params=["depth", "nir"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "new" / "data"
    write_demo_data(folder, seed=1, sensor=request.param, **SMALL)  # type: ignore[arg-type]
    return folder, str(request.param)


def test_layout(written: tuple[Path, str]) -> None:
    folder, _ = written
    assert sorted(p.name for p in folder.iterdir()) == [
        "clip", "clip_labels.csv", "paired", "source", "target", "target_labels.csv"
    ]  # fmt: skip
    assert sorted(p.name for p in (folder / "source").iterdir()) == sorted(TASK_CLASSES)
    assert all(len(list((folder / "source" / name).iterdir())) == 2 for name in TASK_CLASSES)
    assert len(list((folder / "target").glob("*.png"))) == 3 * len(TASK_CLASSES)
    stems = [{p.stem for p in (folder / "paired" / side).iterdir()} for side in ("rgb", "frame")]
    assert stems[0] == stems[1]
    assert len(stems[0]) == 2 * len(OTHER_CLASSES)
    assert sorted(p.name for p in (folder / "clip").iterdir()) == [f"{i:06d}.png" for i in range(14)]
    assert [p.name for p in folder.parent.iterdir()] == ["data"]


def test_sensor_frames_are_one_channel_of_16_bits(written: tuple[Path, str]) -> None:
    folder, sensor = written
    low, high = (0, 8000) if sensor == "depth" else (64, 1023)
    for part in ("target", "paired/frame", "clip"):
        for path in (folder / part).iterdir():
            image = read(path)
            assert image.dtype == np.uint16
            assert image.shape == (30, 40)
            assert low <= int(image.min()) <= int(image.max()) <= high


def test_rgb_files_hold_the_rendered_scene(written: tuple[Path, str]) -> None:
    folder, _ = written
    image = read(folder / "source" / "kitchen" / "000001.png")
    np.testing.assert_array_equal(image[..., ::-1], render("kitchen", 1, seed=1, width=40, height=30).rgb)
    assert read(folder / "paired" / "rgb" / "000000.png").shape == (30, 40, 3)


@pytest.mark.parametrize("part", ["target", "clip"])
def test_labels_name_every_frame_once(written: tuple[Path, str], part: str) -> None:
    folder, _ = written
    rows = labels_of(folder / f"{part}_labels.csv")
    assert list(rows[0]) == ["frame", "label"]
    assert sorted(row["frame"] for row in rows) == sorted(
        f"{part}/{p.name}" for p in (folder / part).iterdir()
    )
    assert {row["label"] for row in rows} == set(TASK_CLASSES)


def test_nothing_but_the_label_file_gives_the_target_classes_away(written: tuple[Path, str]) -> None:
    folder, _ = written
    paths = [
        str(p.relative_to(folder))
        for part in ("target", "paired", "clip")
        for p in (folder / part).rglob("*")
    ]
    assert not [path for path in paths for name in CLASSES if name in path]
    order = [row["label"] for row in labels_of(folder / "target_labels.csv")]
    assert len(list(groupby(order))) > len(TASK_CLASSES)  # not class by class


def test_target_scenes_are_not_source_scenes(tmp_path: Path) -> None:
    write_demo_data(tmp_path / "data", sensor="depth", **SMALL)  # type: ignore[arg-type]
    source = [render(name, i, width=40, height=30).depth_mm for name in TASK_CLASSES for i in range(2)]
    for path in (tmp_path / "data" / "target").iterdir():
        assert not any(np.array_equal(read(path), depth) for depth in source)


def test_existing_folder_is_refused_untouched(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=tmp_path.name):
        write_demo_data(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_interrupted_run_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def progress(done: int, total: int) -> None:
        if done == 5:
            raise error

    with pytest.raises(error):
        write_demo_data(tmp_path / "data", progress=progress, **SMALL)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_progress_counts_up_to_the_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_demo_data(tmp_path / "data", progress=lambda *call: calls.append(call), **SMALL)  # type: ignore[arg-type]
    total = 5 * len(TASK_CLASSES) + 2 * len(OTHER_CLASSES) + 14
    assert calls == [(done, total) for done in range(total + 1)]


@pytest.mark.parametrize(
    "bad",
    [
        {"source_per_class": 0},
        {"pairs_per_class": 100_001},
        {"clip_frames": 3},
        {"sensor": "lidar"},
        {"seed": -1},
    ],
)
def test_bad_arguments_write_nothing(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(bad.values())))):
        write_demo_data(tmp_path / "data", **{**SMALL, **bad})  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
