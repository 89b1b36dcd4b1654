"""The user's data: folders and CSVs, and every way in which they go wrong, named by file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.images import refused, write_depth, write_image, write_rgb
from tgkt_edge.cli.main import app
from tgkt_edge.data.loading import Frames, Images, load_frames, load_images, load_labelled_frames
from tgkt_edge.io.images import read_frame
from tgkt_edge.preprocess import encode
from tgkt_edge.sensor import PRESETS, SensorSpec

DEPTH, SIDE = PRESETS["depth"], 16
KITCHEN_OFFICE = ("kitchen", "office")


def frames(path: Path, **options: Any) -> Frames:
    return load_frames(path, DEPTH, SIDE, **options)[0]


def images(path: Path, **options: Any) -> Images:
    return load_images(path, SIDE, **options)


def labelled(path: Path, classes: Sequence[str] = KITCHEN_OFFICE) -> Frames:
    return load_labelled_frames(path, DEPTH, SIDE, classes)


# Target frames


def test_target_frames_come_in_natural_order_and_their_folders_mean_nothing(tmp_path: Path) -> None:
    for i, name in enumerate(["10.png", "9.png", "kitchen/1.png", "kitchen/deep/2.png"]):
        write_depth(tmp_path / name, 1000 * (i + 1))
    found, spec = load_frames(tmp_path, DEPTH, SIDE)
    assert [Path(name).relative_to(tmp_path).as_posix() for name in found.names] == [
        "9.png", "10.png", "kitchen/1.png", "kitchen/deep/2.png",
    ]  # fmt: skip
    assert found.labels is None
    assert found.codes.shape == (4, SIDE, SIDE)
    # millimetres over 8 m in 65535ths: 2000 -> 16383.75, 1000 -> 8191.875, 3000, 4000
    assert found.codes[:, 0, 0].tolist() == [16384, 8192, 24576, 32768]
    assert spec == DEPTH.with_size(32, 24)


def test_frames_are_encoded_by_the_one_preprocessing_there_is(tmp_path: Path) -> None:
    raw = np.random.default_rng(0).integers(0, 9000, (24, 32), dtype=np.uint16)
    path = write_image(tmp_path / "1.png", raw)
    np.testing.assert_array_equal(frames(tmp_path).codes[0], encode(read_frame(path), DEPTH, SIDE))


def test_a_csv_lists_frames_relative_to_itself(tmp_path: Path) -> None:
    write_depth(tmp_path / "far" / "away.png", 2000)
    absolute = write_depth(tmp_path / "here.png", 1000)
    table = tmp_path / "lists" / "target.csv"
    table.parent.mkdir()
    # with the byte order mark that spreadsheets put before the header
    table.write_text(f"frame,note\n../far/away.png,x\n{absolute},\n", encoding="utf-8-sig")
    found = frames(table)
    assert found.codes[:, 0, 0].tolist() == [16384, 8192]  # in the order of the lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file\n1.png\n", "has no column 'frame'; its header is file"),
        ("", "has no column 'frame'; its header is empty"),
        ("frame\n", "lists no file"),
        ("frame\n1.png\n2.png\n3.png\n", "2 listed files do not exist"),
        ("note,frame\nx,1.png\nx\n", "line 3: column 'frame' is empty"),
    ],
)
def test_a_csv_that_cannot_be_followed(text: str, words: str, tmp_path: Path) -> None:
    write_depth(tmp_path / "1.png")
    table = tmp_path / "target.csv"
    table.write_text(text)
    message = refused(lambda: frames(table))
    assert f"`target` {table}" in message
    assert words in message


def test_a_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "target.csv"
    table.write_bytes("frame\nKüche.png\n".encode("latin-1"))
    assert "not a CSV file in UTF-8" in refused(lambda: frames(table))


def test_missing_files_are_named_but_not_all_thousand(tmp_path: Path) -> None:
    table = tmp_path / "target.csv"
    table.write_text("frame\n" + "".join(f"{i}.png\n" for i in range(1000)))
    message = refused(lambda: frames(table))
    assert "1000 listed files do not exist" in message
    assert "7.png" in message
    assert "8.png" not in message
    assert "and 992 more" in message


def test_no_folder_and_an_empty_folder(tmp_path: Path) -> None:
    assert "no: does not exist" in refused(lambda: frames(tmp_path / "no"))
    assert "holds no image" in refused(lambda: frames(tmp_path))


# Frames that do not fit


def test_mixed_sizes_are_refused_and_the_odd_one_named_unless_any_size_goes(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        write_depth(tmp_path / name)
    write_depth(tmp_path / "3.png", width=64, height=48)
    message = refused(lambda: frames(tmp_path))
    assert f"{tmp_path / '3.png'}: 64x48 pixels, but the sensor is 32x24" in message
    assert "1 of 3 cannot be used" in message
    any_size, spec = load_frames(tmp_path, PRESETS["sunrgbd"], SIDE)
    assert len(any_size) == 3
    assert spec.size == "any"


def test_an_eight_bit_frame_for_a_sixteen_bit_sensor_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", np.full((24, 32), 77, np.uint8))
    message = refused(lambda: frames(tmp_path))
    assert (
        f"{tmp_path / '1.png'}: uint8 pixels, but the sensor is uint16. If the camera has 16 bits, 8 were lost"
        in message
    )


def test_bad_frames_are_all_named_at_once_and_can_be_skipped(tmp_path: Path) -> None:
    good = [write_depth(tmp_path / name) for name in ("1.png", "5.png")]
    (tmp_path / "2.png").write_text("no image")
    (tmp_path / "3.png").write_bytes(good[0].read_bytes()[:-20])
    write_depth(tmp_path / "4.png", value=0)  # nothing measured
    message = refused(lambda: frames(tmp_path))
    assert "3 of 5 cannot be used" in message
    for name, what in (
        ("2.png", "not an image"),
        ("3.png", "truncated"),
        ("4.png", "every pixel is invalid"),
    ):
        assert any(name in line and what in line for line in message.splitlines())
    assert "`skip_bad=True`" in message
    kept = frames(tmp_path, skip_bad=True)
    assert kept.names == tuple(map(str, good))
    assert len(kept) == 2


def test_a_bad_first_frame_does_not_decide_the_size(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_text("no image")
    write_depth(tmp_path / "1.png")
    _, spec = load_frames(tmp_path, DEPTH, SIDE, skip_bad=True)
    assert spec.size == (32, 24)


def test_when_every_frame_is_bad_skipping_does_not_help(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i}.png").write_text("no image")
    message = refused(lambda: frames(tmp_path, skip_bad=True))
    assert "12 of 12 cannot be used" in message
    assert "12 files, the first" in message
    assert "Nothing is left." in message


def test_progress_counts_every_file(tmp_path: Path) -> None:
    for i in range(3):
        write_depth(tmp_path / f"{i}.png")
    logged: list[tuple[str, int, int]] = []
    frames(tmp_path, progress=lambda *what: logged.append(what))
    assert logged == [(f"`target` {tmp_path}", i, 3) for i in (1, 2, 3)]


# Labelled frames and images


def test_labels_are_the_first_folder_in_the_order_of_the_models_classes(tmp_path: Path) -> None:
    write_depth(tmp_path / "office" / "1.png")
    write_depth(tmp_path / "kitchen" / "deep" / "2.png")
    found = labelled(tmp_path, ("office", "kitchen", "attic"))
    assert found.labels is not None
    assert [Path(name).name for name in found.names] == ["2.png", "1.png"]
    assert found.labels.tolist() == [1, 0]
    assert found.classes == ("office", "kitchen", "attic")


def test_labels_from_a_csv_and_labels_the_model_does_not_know(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_depth(tmp_path / f"{name}.png")
    table = tmp_path / "labels.csv"
    table.write_text("label,frame\noffice,a.png\nkitchen,b.png\noffice,c.png\n")
    found = labelled(table)
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0, 1]
    message = refused(lambda: labelled(table, ("kitchen", "attic")))
    assert "labels that are none of the model's classes: 'office'. It knows kitchen, attic." in message


def test_a_file_outside_any_class_folder_is_named(tmp_path: Path) -> None:
    write_depth(tmp_path / "kitchen" / "1.png")
    write_depth(tmp_path / "2.png")
    assert "2.png lies outside any class folder" in refused(lambda: labelled(tmp_path))


def test_images_have_sorted_classes_and_keep_their_colours(tmp_path: Path) -> None:
    write_rgb(tmp_path / "office" / "1.jpg", 200)
    write_rgb(tmp_path / "kitchen" / "2.png", 100)
    found = images(tmp_path)
    assert found.classes == KITCHEN_OFFICE
    assert found.labels.tolist() == [0, 1]
    assert found.rgb.shape == (2, SIDE, SIDE, 3)
    assert found.rgb[0].min() == found.rgb[0].max() == 100


def test_one_class_is_no_task(tmp_path: Path) -> None:
    write_rgb(tmp_path / "kitchen" / "1.png")
    assert "found one class only (kitchen)" in refused(lambda: images(tmp_path))


def test_a_class_of_which_only_bad_images_were_skipped_is_missed(tmp_path: Path) -> None:
    write_rgb(tmp_path / "kitchen" / "1.png")
    (tmp_path / "office").mkdir()
    (tmp_path / "office" / "2.png").write_text("no image")
    assert "no readable image left of class office" in refused(lambda: images(tmp_path, skip_bad=True))


def test_equal_reasons_are_told_once_with_a_count_and_the_presets_that_fit(tmp_path: Path) -> None:
    for number in range(30):
        write_image(tmp_path / f"{number}.png", np.full((24, 32), 9, np.uint8))
    write_depth(tmp_path / "deep" / "good.png")
    (tmp_path / "empty.png").touch()
    message = refused(lambda: frames(tmp_path))
    assert "31 of 32 cannot be used" in message
    assert f"30 files, the first {tmp_path / '0.png'}: uint8 pixels, but the sensor is uint16" in message
    assert "`sensor` with nyuv2 (depth), nir8 (nir), or a YAML file; 'tgkt-edge data presets'" in message
    assert f"{tmp_path / 'empty.png'}: is empty" in message
    assert message.count("uint8 pixels") == 1


def test_what_is_left_out_is_noted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_depth(tmp_path / "good.png")
    for number in range(3):
        write_image(tmp_path / f"{number}.png", np.full((24, 32), 9, np.uint8))
    assert len(frames(tmp_path, skip_bad=True)) == 1
    assert "left out 3 of 4 (`skip_bad=True`)" in caplog.text
    assert "3 files, the first" in caplog.text


def test_every_page_of_a_stack_is_a_target_frame_and_labels_name_one(tmp_path: Path) -> None:
    """Millimetres as uint16 PNG, and the same as floating-point metres in a stack: the same codes."""
    counts = np.random.default_rng(1).integers(300, 7000, (5, 40, 50)).astype(np.uint16)
    for name in ("png", "npy", "classes/kitchen", "classes/office"):
        (tmp_path / name).mkdir(parents=True)
    for number, frame in enumerate(counts):
        cv2.imwrite(str(tmp_path / f"png/{number}.png"), frame)
    np.save(tmp_path / "npy/a.npy", counts.astype(np.float32))
    millimetres = SensorSpec("depth", "float32", unit_m=0.001, near_m=0.0, far_m=8.0)
    plain, _ = load_frames(tmp_path / "png", PRESETS["depth"], 32)
    stack, pinned = load_frames(tmp_path / "npy", millimetres, 32)
    np.testing.assert_array_equal(stack.codes, plain.codes)
    assert pinned.size == (50, 40)
    assert stack.names == tuple(f"{tmp_path}/npy/a.npy?page={page}" for page in range(5))
    np.save(tmp_path / "classes/kitchen/a.npy", counts[:2].astype(np.float32))
    np.save(tmp_path / "classes/office/b.npy", counts[2:].astype(np.float32))
    labelled = load_labelled_frames(tmp_path / "classes", millimetres, 32, ["kitchen", "office"])
    assert labelled.labels is not None
    assert labelled.labels.tolist() == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(labelled.codes, plain.codes)
    (tmp_path / "a.csv").write_text("frame,label\nnpy/a.npy?page=3,office\nnpy/a.npy?page=0,kitchen\n")
    chosen = load_labelled_frames(tmp_path / "a.csv", millimetres, 32, ["kitchen", "office"])
    np.testing.assert_array_equal(chosen.codes, plain.codes[[3, 0]])
    whole, _ = load_frames(tmp_path / "a.csv", millimetres, 32)
    np.testing.assert_array_equal(whole.codes, plain.codes[[3, 0]])


def test_every_preset_is_explained() -> None:
    done = CliRunner().invoke(app, ["data", "presets"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[: len(PRESETS)]] == list(PRESETS)
    assert "0 (black) to 1023 (white)" in lines[list(PRESETS).index("nir")]


@pytest.mark.slow
def test_names_are_escaped_alike_in_every_locale() -> None:
    names = r"('a\xb7', 'K\udcc3\udcbc', 'K\udcfc')"
    code = (
        f"from tgkt_edge.data.discovery import escape_name; print(ascii([escape_name(t) for t in {names}]))"
    )
    for more in ({"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C.UTF-8"}):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=True)
        assert done.stdout == "['a\\xb7', 'K\\xfc', 'K\\\\xfc']\n"
