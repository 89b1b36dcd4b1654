"""Labels: one class whatever form its name is written in, and contradictions named with both places."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.images import write_rgb
from tgkt_edge.data.loading import load_images, load_labelled_frames
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import PRESETS

NFC, NFD = (unicodedata.normalize(form, "B\u00fcro") for form in ("NFC", "NFD"))


def labels(tmp_path: Path, *lines: str) -> Path:
    for line in lines:
        if line:
            write_rgb(tmp_path / line.partition(",")[0].strip())
    path = tmp_path / "labels.csv"
    path.write_text("image,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_images(path, 36)
    return str(caught.value)


def test_blanks_and_unicode_forms_make_no_other_class(tmp_path: Path) -> None:
    path = labels(
        tmp_path,
        "1.png,hall",
        "2.png,hall ",
        "3.png, hall",
        f"4.png,{NFC}",
        f"5.png,{NFD}",
        f"6.png,{NFD}\u200b",
    )
    found = load_images(path, 36)
    assert found.classes == (NFC, "hall")
    assert found.labels.tolist() == [1, 1, 1, 0, 0, 0]


def test_class_folders_are_compared_alike(tmp_path: Path) -> None:
    for number, folder in enumerate([NFC, NFD, "hall", "hall "]):
        write_rgb(tmp_path / folder / f"{number}.png")
    found = load_images(tmp_path, 36)
    assert found.classes == (NFC, "hall")
    assert np.bincount(found.labels).tolist() == [2, 2]


def test_one_image_under_two_labels_is_named_with_both_lines(tmp_path: Path) -> None:
    path = labels(tmp_path, "1.png,hall", "", "./1.png,yard", "2.png,yard")
    assert "1.png is 'hall' (line 2) and 'yard' (line 4)" in refused(path)


def test_one_image_in_two_class_folders_is_named_with_both_paths(tmp_path: Path) -> None:
    first = write_rgb(tmp_path / "hall" / "1.png")
    write_rgb(tmp_path / "yard" / "2.png")
    (tmp_path / "yard" / "copy.png").symlink_to(first)
    assert f"is 'hall' ({tmp_path.name}/hall/1.png) and 'yard' ({tmp_path.name}/yard/copy.png)" in refused(
        tmp_path
    )


def test_the_same_label_twice_is_no_contradiction(tmp_path: Path) -> None:
    assert len(load_images(labels(tmp_path, "1.png,hall", "1.png,hall ", "2.png,yard"), 36)) == 3


def test_classes_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    assert "'hall' (line 2) and 'Hall' (line 3)" in refused(
        labels(tmp_path, "1.png,hall", "2.png,Hall", "3.png,yard")
    )


def test_labels_are_matched_to_a_models_classes_in_any_form(tmp_path: Path) -> None:
    frame = tmp_path / "f.png"
    frame.write_bytes(cv2.imencode(".png", np.full((40, 40), 900, np.uint16))[1].tobytes())
    table = tmp_path / "t.csv"
    table.write_text(f"frame;label\nf.png;{NFC} \nf.png; hall\n", encoding="utf-16")
    with pytest.raises(DataError, match="one image with two labels"):
        load_labelled_frames(table, PRESETS["depth"], 16, (NFD, "Hall"))
    table.write_text(f"frame;label\nf.png;{NFC} \n", encoding="utf-16")
    assert load_labelled_frames(table, PRESETS["depth"], 16, ("Hall", NFD)).labels.tolist() == [1]  # type: ignore[union-attr]
    table.write_text("frame;label\nf.png; hall\n", encoding="utf-16")
    assert load_labelled_frames(table, PRESETS["depth"], 16, ("Hall", NFD)).labels.tolist() == [0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "other",
    ["\uff48\uff41\uff4c\uff4c", "ha\ufe0fll", "ha\u200dll"],
    ids=["full width", "variant", "joiner"],
)
def test_classes_that_only_a_program_can_tell_apart_are_refused_by_their_characters(
    other: str, tmp_path: Path
) -> None:
    text = refused(labels(tmp_path, "1.png,hall", f"2.png,{other}", "3.png,yard"))
    assert "look alike" in text
    assert "'hall' (line 2)" in text
    assert other.encode("ascii", "backslashreplace").decode() in text


@pytest.mark.parametrize(
    "text",
    [
        "ha\x07ll",
        "hall\u3164",
        "hall\u180e",
        "ha\u034fll",
        "hall\u2800",
        "hall\U000e0001",
        "\u2067hall\u2069",
    ],
)
def test_what_cannot_be_seen_makes_no_other_class(text: str, tmp_path: Path) -> None:
    assert load_images(labels(tmp_path, "1.png,hall", f"2.png,{text}", "3.png,yard"), 36).classes == (
        "hall",
        "yard",
    )


def test_copies_of_an_image_under_two_labels_are_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = write_rgb(tmp_path / "hall" / "1.png")
    (tmp_path / "yard").mkdir()
    (tmp_path / "yard" / "copy.png").write_bytes(first.read_bytes())
    load_images(tmp_path, 36)
    assert "equal content with different labels" in caplog.text
    assert f"'hall' ({tmp_path.name}/hall/1.png)" in caplog.text
    assert f"'yard' ({tmp_path.name}/yard/copy.png)" in caplog.text


def test_files_of_equal_size_that_differ_in_the_middle_are_no_copies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, value in (("hall", 1), ("yard", 2)):
        image = np.zeros((100, 100, 3), np.uint8)
        image[50, 50] = value
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "1.bmp"), image)
    load_images(tmp_path, 36)
    assert "equal content" not in caplog.text


@pytest.mark.parametrize("word", ["nan", "#N/A", "NULL", "None"])
def test_a_label_that_may_be_a_missing_value_is_noted(
    word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert word in load_images(labels(tmp_path, "1.png,hall", f"2.png,{word}"), 36).classes
    assert f"'{word}' (line 3, 1 images) is read as the name of a class" in caplog.text


def test_a_labelled_link_to_nothing_is_named_and_may_be_left_out(tmp_path: Path) -> None:
    for number, folder in enumerate(["hall", "yard"]):
        write_rgb(tmp_path / folder / "1.png", 100 + number)
    (tmp_path / "yard" / "2.png").symlink_to("/nowhere/2.png")
    assert "2.png: cannot be read: it is a link to /nowhere/2.png" in refused(tmp_path)
    assert len(load_images(tmp_path, 36, skip_bad=True)) == 2
