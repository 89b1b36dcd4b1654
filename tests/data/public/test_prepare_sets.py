"""Each public data set, as its authors' archive unpacks, becomes files that adapt and evaluate read as they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.public_sets import add_diml, add_sun_sample, write_noise
from tgkt_edge.data.loading import load_frames, load_images, load_labelled_frames, load_pairs
from tgkt_edge.data.public.prepare import SPLITS, describe, prepare
from tgkt_edge.data.public.scenes import letters
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

FILES = {"source.csv", "target.csv", "labels.csv", "paired.csv", "sensor.yaml", "prepare.json"}


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def read_all(folder: Path) -> tuple[int, int, int, SensorSpec]:
    """Source images, target frames and pairs, decoded by what adapt and evaluate use."""
    sensor = load_sensor(str(folder / "sensor.yaml"))
    images = load_images(folder / "source.csv", 32)
    frames, _ = load_frames(folder / "target.csv", sensor, 32)
    labelled = load_labelled_frames(folder / "labels.csv", sensor, 32, images.classes)
    assert labelled.names == frames.names
    return len(images), len(frames), len(load_pairs(folder / "paired.csv", sensor, 32)), sensor


# The splits


def test_the_splits_have_the_papers_numbers() -> None:
    numbers = {name: (len(split.task), len(split.other)) for name, split in SPLITS.items() if name != "nyuv2"}
    assert numbers == {"sunrgbd": (17, 28), "diml": (6, 12), "rgbnir": (6, 3)}  # Table 1
    # SUN RGB-D has 10335 images (Song et al.), DIML's sample 2112, RGB-NIR 477: frames and pairs are all of them.
    totals = {name: sum(split.frames.values()) + split.pairs for name, split in SPLITS.items()}
    assert totals == {"sunrgbd": 10335, "diml": 2112, "rgbnir": 477, "nyuv2": 1449}


@pytest.mark.parametrize("name", SPLITS)
def test_no_scene_is_named_twice(name: str) -> None:
    names = [letters(scene) for scene in (*SPLITS[name].task, *SPLITS[name].other)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "scene", "place"),
    [
        ("sunrgbd", "Living Room", ("task", "living_room")),
        ("sunrgbd", "book store", ("other", "bookstore")),
        ("sunrgbd", "office", ("task", "office")),
        ("sunrgbd", "office_dining", ("other", "office_dining")),
        ("sunrgbd", "spaceship", None),
        ("diml", "12. Livingroom", ("task", "living_room")),
        ("diml", "01_Warehouse", ("other", "warehouse")),
        ("diml", "Store", ("other", "store")),
        ("rgbnir", "oldbuilding", ("other", "oldbuilding")),
        ("nyuv2", "scene", ("other", "scene")),
    ],
)
def test_spelling_of_a_scene_does_not_matter(name: str, scene: str, place: tuple[str, str] | None) -> None:
    assert SPLITS[name].place(scene) == place


# SUN RGB-D


def test_sunrgbd_one_task(sun: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (report,) = prepare("sunrgbd", sun, out, source_domain="kv2", target_domain="xtion")
    assert {path.name for path in out.iterdir()} == FILES
    source, target = rows(out / "source.csv"), rows(out / "target.csv")
    assert source[0] == ["image", "label"]
    assert [label for _, label in source[1:]] == ["office", "kitchen", "office"]
    assert all("/kv2/kinect2data/" in path and "/image/" in path for path, _ in source[1:])
    assert target[0] == ["frame"]
    assert all("/xtion/sun3ddata/" in path and "/depth_bfx/" in path for (path,) in target[1:])
    assert [[frame] for frame, _ in rows(out / "labels.csv")] == target
    # Pairs are of every camera, as in the paper and in SOCKET: two other scenes times four.
    pairs = rows(out / "paired.csv")[1:]
    assert len(pairs) == 8
    assert {Path(path).relative_to(sun).parts[0] for pair in pairs for path in pair} == {
        "kv1", "kv2", "realsense", "xtion",
    }  # fmt: skip
    assert all(Path(rgb).parents[1] == Path(frame).parents[1] for rgb, frame in pairs)
    assert read_all(out) == (3, 3, 8, PRESETS["sunrgbd"])
    assert report["counts"]["classes"] == 2
    assert json.loads((out / "prepare.json").read_text())["counts"] == report["counts"]
    assert "target frames: 3, but 2528 in the paper's Table 1" in report["differs"]
    assert "pairs of other scenes: 8, but 3572 in the paper's Table 1" in report["differs"]


def test_sunrgbd_without_cameras_is_sixteen_tasks(sun: Path, tmp_path: Path) -> None:
    reports = prepare("sunrgbd", sun.parent, tmp_path / "out")  # the folder above SUNRGBD/ will do
    assert len(reports) == len({report["name"] for report in reports}) == 16
    for report in reports:
        folder = Path(report["folder"])
        assert folder == tmp_path / "out" / report["name"]
        _, source, target = report["name"].split("-")
        assert {Path(path).relative_to(sun).parts[0] for path, _ in rows(folder / "source.csv")[1:]} == {
            source
        }
        assert {Path(path).relative_to(sun).parts[0] for (path,) in rows(folder / "target.csv")[1:]} == {
            target
        }


def test_sunrgbd_raw_depth_is_the_other_folder(sun: Path, tmp_path: Path) -> None:
    (report,) = prepare(
        "sunrgbd", sun, tmp_path / "out", source_domain="kv1", target_domain="kv1", depth="raw"
    )
    frames = rows(tmp_path / "out" / "target.csv")[1:]
    assert len(frames) == 3
    assert all(Path(path).parent.name == "depth" for (path,) in frames)
    assert any("The paper does not say which" in note for note in report["notes"])


def test_a_broken_sample_is_named_or_left_out(sun: Path, tmp_path: Path) -> None:
    broken = add_sun_sample(sun, "kv1/NYUdata/NYU0001", "office")
    (broken / "depth_bfx" / "NYU0001.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 21 cannot be used: .*NYU0001: not exactly one PNG in depth_bfx/"
    ):
        prepare("sunrgbd", sun, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    reports = prepare("sunrgbd", sun, tmp_path / "out", skip_bad=True)
    assert any("1 left out that cannot be used" in note for note in reports[0]["notes"])


def test_what_no_source_image_shows_and_what_no_list_names_is_left_out_and_said(
    sun: Path, tmp_path: Path
) -> None:
    add_sun_sample(sun, "kv1/b3dodata/img_0001", "lab")
    add_sun_sample(sun, "kv1/b3dodata/img_0002", "spaceship")
    (report,) = prepare("sunrgbd", sun, tmp_path / "out", source_domain="kv2", target_domain="kv1")
    assert "lab" not in {label for _, label in rows(tmp_path / "out" / "labels.csv")[1:]}
    assert report["counts"]["target_frames"] == 3
    notes = "\n".join(report["notes"])
    assert "scenes that the split does not name were left out: spaceship (1)" in notes
    assert "target frames of classes without a source image were left out: lab (1)" in notes


def test_the_genuine_samples(data_dir: Path, tmp_path: Path) -> None:
    reports = prepare("sunrgbd", data_dir / "SUNRGBD", tmp_path / "out")
    assert [report["name"] for report in reports] == [
        f"sunrgbd-{one}-{other}" for one in ("kv1", "kv2") for other in ("kv1", "kv2")
    ]
    assert all(report["counts"]["target_frames"] == 1 for report in reports)
    folder = Path(reports[1]["folder"])
    sensor = load_sensor(str(folder / "sensor.yaml"))
    (frame,) = rows(folder / "target.csv")[1]
    metres = sensor.decode(read_frame(Path(frame)))
    assert 0.5 < np.median(metres) < 8  # rotated bits would be far outside a room
    words = "\n".join(describe(reports[0]))
    assert "adapt cannot use this: it needs pairs of other scenes" in words
    assert "next:" not in words


def test_pixels_are_what_the_files_hold(sun: Path, tmp_path: Path) -> None:
    """The CSV names the very file: 16 bits arrive unchanged."""
    out = tmp_path / "out"
    prepare("sunrgbd", sun, out, source_domain="kv1", target_domain="kv1")
    (first,) = rows(out / "target.csv")[1]
    pixels = cv2.imread(first, cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(read_frame(Path(first)), pixels)


# DIML


def test_diml(tmp_path: Path) -> None:
    add_diml(tmp_path / "diml")
    (report,) = prepare("diml", tmp_path / "diml", tmp_path / "out")
    assert report["classes"] == ["kitchen", "living_room"]
    images, frames, pairs, sensor = read_all(tmp_path / "out")
    assert (images, frames, pairs) == (6, 6, 4)  # train and test together, as the paper's 2112 are
    assert (sensor.dtype, sensor.unit_m, sensor.invalid) == ("uint16", 0.001, (0,))
    assert "target frames: 6, but 693 in the paper's Table 1" in report["differs"]
    for rgb, frame in rows(tmp_path / "out" / "paired.csv")[1:]:
        assert Path(rgb).name.removesuffix("_c.png") == Path(frame).name.removesuffix("_depth_filled.png")


def test_the_full_diml_set_is_told_from_the_sample(tmp_path: Path) -> None:
    full = tmp_path / "full" / "01_warehouse_1" / "16.01.20" / "5"
    write_noise(full / "col" / "in_k_03_160225_000001_c.png")
    write_noise(full / "up_png" / "in_k_03_160225_000001_ud.png", bits=16, channels=1)
    with pytest.raises(DataError, match=r"This is the full set .* the paper used its indoor sample"):
        prepare("diml", tmp_path / "full", tmp_path / "out")


# RGB-NIR


@pytest.mark.parametrize(("bits", "white"), [(8, 255.0), (16, 65535.0)])
def test_rgbnir_of_either_depth(tmp_path: Path, bits: int, white: float) -> None:
    """Which depth the authors' TIFFs have is read, not assumed: 16 bits must not be taken for 8, nor 8 for 16."""
    written = {}
    for scene in ("country", "water", "urban"):
        for index in range(2):
            stem = tmp_path / "nirscene1" / scene / f"{index:04d}"
            write_noise(stem.with_name(f"{stem.name}_rgb.tiff"), bits=bits)
            frame = stem.with_name(f"{stem.name}_nir.tiff")
            written[frame] = write_noise(frame, bits=bits, channels=1, seed=index)
    (report,) = prepare("rgbnir", tmp_path / "nirscene1", tmp_path / "out")
    images, frames, pairs, sensor = read_all(tmp_path / "out")
    assert (images, frames, pairs) == (4, 4, 2)
    assert (sensor.dtype, sensor.black, sensor.white) == (f"uint{bits}", 0, white)
    (first,) = rows(tmp_path / "out" / "target.csv")[1]
    np.testing.assert_array_equal(read_frame(Path(first)), written[Path(first)])
    assert report["classes"] == ["country", "water"]


def test_rgbnir_with_three_channels_or_two_depths_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "nirscene1"
    write_noise(root / "country" / "0000_rgb.tiff")
    write_noise(root / "country" / "0000_nir.tiff", channels=3)
    with pytest.raises(DataError, match=r"0000_nir\.tiff: shape \(12, 16, 3\): a NIR image has one channel"):
        prepare("rgbnir", root, tmp_path / "out")
    write_noise(root / "country" / "0000_nir.tiff", channels=1)
    write_noise(root / "field" / "0001_rgb.tiff")
    write_noise(root / "field" / "0001_nir.tiff", channels=1, bits=16)
    with pytest.raises(DataError, match=r"several kinds: uint16 \(.*field.*uint8 \(.*country"):
        prepare("rgbnir", root, tmp_path / "out")
    (root / "field" / "0001_nir.tiff").unlink()
    with pytest.raises(DataError, match=r"1 of 2 cannot be used: .*0001_rgb\.tiff: has no 0001_nir\.tiff"):
        prepare("rgbnir", root, tmp_path / "out")


def test_the_genuine_rgbnir_pairs(data_dir: Path, tmp_path: Path) -> None:
    (report,) = prepare("rgbnir", data_dir / "epfl-rgbnir", tmp_path / "out")
    counts = report["counts"]
    assert (counts["source_images"], counts["target_frames"], counts["pairs"]) == (152, 152, 60)
    assert report["frames_by_class"]["country"] == 52
    assert load_sensor(str(tmp_path / "out" / "sensor.yaml")) == PRESETS["nir8"]
    assert report["differs"] == [
        "source images: 152, but 315 in the paper's Table 1",
        "target frames: 152, but 315 in the paper's Table 1",
        "pairs of other scenes: 60, but 162 in the paper's Table 1",
    ]


# NYU Depth v2


@pytest.mark.slow
def test_the_genuine_nyuv2_folder(data_dir: Path, tmp_path: Path) -> None:
    (report,) = prepare("nyuv2", data_dir / "nyuv2", tmp_path / "out")
    assert report["differs"] == []  # 814 frames of five scenes, 635 pairs of the others
    assert report["frames_by_class"] == {
        "bathroom": 121, "bedroom": 383, "bookstore": 36, "classroom": 49, "kitchen": 225,
    }  # fmt: skip
    assert load_sensor(str(tmp_path / "out" / "sensor.yaml")) == PRESETS["nyuv2"]
    assert rows(tmp_path / "out" / "labels.csv")[1] == [
        str((data_dir / "nyuv2" / "depth" / "0000.png").resolve()), "kitchen",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"`depth=raw`: .* holds filled depth only; the \.mat file has both"):
        prepare("nyuv2", data_dir / "nyuv2", tmp_path / "raw", depth="raw")


def test_a_folder_whose_files_are_gone_or_whose_table_is_another(tmp_path: Path) -> None:
    root = tmp_path / "nyu"
    write_noise(root / "rgb" / "0000.jpg")
    (root / "labels.csv").write_text("index,image,depth,scene\n0,rgb/0000.jpg,depth/0000.png,kitchen\n")
    with pytest.raises(DataError, match=r"lists .*depth/0000\.png, which is not there"):
        prepare("nyuv2", root, tmp_path / "out")
    (root / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match=r"has no column 'image', 'depth', 'scene'; its header is file,label"):
        prepare("nyuv2", root, tmp_path / "out")
