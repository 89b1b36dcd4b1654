"""Decoding: bits as stored, damage found, files in the order people count in."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.images import write_image
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import find_images, natural_key, read_frame, read_rgb


def picture(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Blue-green-red noise that JPEG cannot make small."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Bits as stored


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_sixteen_bits_come_back_unshifted_and_unscaled(suffix: str, tmp_path: Path) -> None:
    """The trap: an image library's mode conversion that clips 16-bit depth at 255."""
    counts = np.array([[0, 1, 255, 256], [1023, 4095, 32768, 65535]], dtype=np.uint16)
    frame = read_frame(write_image(tmp_path / f"depth{suffix}", counts))
    assert frame.dtype == np.uint16
    np.testing.assert_array_equal(frame, counts)


def test_eight_bits_stay_eight_bits_and_colour_stays_colour(tmp_path: Path) -> None:
    grey = picture()[..., 0]
    frame = read_frame(write_image(tmp_path / "grey.png", grey))
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, grey)
    # A colour image handed in as a sensor frame is not quietly averaged: its three channels arrive, to be refused.
    assert read_frame(write_image(tmp_path / "colour.png", picture())).shape == (48, 64, 3)


def test_rgb_comes_red_first(tmp_path: Path) -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes blue first
    assert read_rgb(write_image(tmp_path / "red.png", red)).tolist() == [[[255, 0, 0]] * 2] * 2


def test_a_grey_photograph_is_read_as_rgb(tmp_path: Path) -> None:
    rgb = read_rgb(write_image(tmp_path / "grey.png", picture()[..., 0]))
    assert rgb.shape == (48, 64, 3)
    assert (rgb[..., 0] == rgb[..., 2]).all()


def test_a_photograph_is_turned_upright_as_its_exif_says(tmp_path: Path) -> None:
    lying = np.zeros((16, 32, 3), np.uint8)
    lying[:, :16] = 255  # white on the left
    path = write_image(tmp_path / "phone.jpg", lying)
    # EXIF: a little-endian TIFF with one entry, orientation (0x0112, short) = 6: turn 90 degrees clockwise.
    tiff = b"II*\x00" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\x00\x00" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + exif + data[2:])
    upright = read_rgb(path)
    assert upright.shape == (32, 16, 3)
    assert upright[:12].min() > 200  # left has become top
    assert upright[20:].max() < 50


def test_a_path_may_hold_any_letter(tmp_path: Path) -> None:
    path = write_image(tmp_path / "Küche ☕" / "Bild 1.PNG", picture())
    assert read_rgb(path).shape == (48, 64, 3)


# Damage


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_found(suffix: str, share: float, tmp_path: Path) -> None:
    """OpenCV pads a truncated JPEG with grey and returns it as if nothing were wrong."""
    # Large enough that the end mark is not within the last part that is kept.
    path = write_image(tmp_path / f"cut{suffix}", picture(200, 200))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    for read in (read_frame, read_rgb):
        with pytest.raises(DataError, match=rf"cut\{suffix}: is truncated \(\d+ bytes, no end mark\)"):
            read(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp"])
def test_a_whole_file_is_not_called_truncated(suffix: str, tmp_path: Path) -> None:
    path = write_image(tmp_path / f"whole{suffix}", picture())
    assert read_rgb(path).shape == (48, 64, 3)
    with path.open("ab") as file:  # some cameras append data after the end mark
        file.write(bytes(64))
    assert read_rgb(path).shape == (48, 64, 3)


def test_what_cannot_be_an_image_is_named(tmp_path: Path) -> None:
    empty, text, missing = tmp_path / "empty.png", tmp_path / "text.png", tmp_path / "missing.png"
    empty.touch()
    text.write_text("no image at all!")
    for path, words in (
        (empty, "is empty (0 bytes)"),
        (text, "is damaged or not an image (16 bytes)"),
        (missing, "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(DataError) as caught:
            read_frame(path)
        assert str(caught.value).startswith(f"{path}: {words}")


# Order


def test_nine_comes_before_ten() -> None:
    names = ["frame_10.png", "frame_9.png", "frame_1.png", "b/2.png", "a/10.png", "a/2.png", "frame_09.png"]
    ordered = sorted(map(Path, names), key=natural_key)
    assert [path.as_posix() for path in ordered] == [
        "a/2.png", "a/10.png", "b/2.png", "frame_1.png", "frame_09.png", "frame_9.png", "frame_10.png",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["1.png", "a.png", "²3.png", "1²3.png", "٣.png", "", "007"])
def test_any_name_has_a_place_in_the_order(name: str) -> None:
    others = [Path("5.png"), Path("b.png"), Path("5b5.png")]
    assert sorted([*others, Path(name)], key=natural_key) == sorted(
        [Path(name), *reversed(others)], key=natural_key
    )


def test_the_key_of_one_string_sorts_as_numbers_and_text_do() -> None:
    """Against the obvious key: numbers before text, each by its value, equal ones by spelling."""

    def plainly(path: Path) -> list[tuple[int, int | str]]:
        parts = re.split(r"(\d+)", path.as_posix())
        return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts] + [(1, path.as_posix())]

    rng = np.random.default_rng(0)
    letters = np.array(list("0019ab/._\x01\x02\x7fé\udcfc\uffff²٣"))
    names = {"".join(rng.choice(letters, rng.integers(1, 9))) for _ in range(3000)}
    names |= {"9" * n for n in (8, 9, 10, 100, 250)} | {"8" * 250, "0" * 250}
    paths = sorted(map(Path, names))
    assert sorted(paths, key=natural_key) == sorted(paths, key=plainly)


def test_images_are_found_at_any_depth_and_nothing_else(tmp_path: Path) -> None:
    expected = ["1.png", "2.JPG", "10.tiff", "deep/er/3.pgm"]
    for name in [*expected, ".hidden.png", ".cache/4.png", "notes.txt", "labels.csv", "5.png.part"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)] == expected


def test_a_hidden_folder_above_the_data_hides_nothing(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "data"
    write_image(folder / "1.png", picture())
    assert find_images(folder) == [folder / "1.png"]


def test_links_are_followed_but_never_round_in_a_circle(tmp_path: Path) -> None:
    """A class folder that is a link is a class folder like any other."""
    for name in ("elsewhere/1.png", "elsewhere/deep/2.png", "data/office/3.png"):
        write_image(tmp_path / name, picture())
    (tmp_path / "data" / "kitchen").symlink_to("../elsewhere", target_is_directory=True)
    (tmp_path / "data" / "office" / "again").symlink_to("..", target_is_directory=True)
    (tmp_path / "data" / "office" / "4.png").symlink_to("3.png")
    names = [path.relative_to(tmp_path / "data").as_posix() for path in find_images(tmp_path / "data")]
    assert names == ["kitchen/1.png", "kitchen/deep/2.png", "office/3.png", "office/4.png"]


def test_a_link_to_a_folder_that_is_read_anyway_doubles_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "kitchen" / "1.png", picture())
    (tmp_path / "latest").symlink_to("kitchen", target_is_directory=True)
    assert find_images(tmp_path) == [tmp_path / "kitchen" / "1.png"]


def test_a_disk_s_own_folders_are_passed_over(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", picture())
    write_image(tmp_path / "lost+found" / "2.png", picture())  # on a disk it may not even be listed
    assert find_images(tmp_path) == [tmp_path / "1.png"]


def test_without_links_the_order_is_that_of_the_whole_paths(tmp_path: Path) -> None:
    """What random numbers of a seed stand for hangs on it."""
    names = [f"{a}{b}{c}/{d}.png" for a in ("A", "a") for b in ("", "-", "1") for c in range(3) for d in "b1"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    everything = (path for path in tmp_path.rglob("*") if path.is_file())
    assert find_images(tmp_path) == sorted(everything, key=natural_key)


def test_a_link_to_a_file_that_is_not_there_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    """As git-annex leaves them where nothing was fetched, and disks that are not mounted."""
    (tmp_path / "1.png").symlink_to(tmp_path / "annex" / "x.png")
    (tmp_path / "2.png").symlink_to(tmp_path / "2.png")
    assert [path.name for path in find_images(tmp_path)] == ["1.png", "2.png"]
    with pytest.raises(
        DataError, match=r"1\.png: cannot be read: it is a link to .*x\.png, which is not there"
    ):
        read_frame(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"2\.png: cannot be read: Too many levels of symbolic links"):
        read_frame(tmp_path / "2.png")
