"""Names of outputs, and what they make up of the task: never guessed, every mistake named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tgkt_edge.errors import DataError
from tgkt_edge.train.source_import.class_names import Classes, read_map, read_names, read_shares

PLACES = "/a/airfield 0\n/b/bedroom 2\n/a/apartment_building/outdoor 1\n"


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.txt", "bath\nbed\nhall\n", ("bath", "bed", "hall")),
        ("c.txt", "bath room\n bed \nhall 3\n\n\n", ("bath room", "bed", "hall 3")),
        ("c.names", "\ufeffbath\nbed\nhall", ("bath", "bed", "hall")),
        ("categories_places365.txt", PLACES, ("airfield", "apartment_building/outdoor", "bedroom")),
        ("c.txt", "zone 0\nzone 1\nzone 2\n", ("zone 0", "zone 1", "zone 2")),
        ("c.txt", "floor 2\nroom 0\nhall 1\n", ("floor 2", "room 0", "hall 1")),
        ("c.txt", "/a/airfield 0\nroom 2\n/h/hall 1\n", ("/a/airfield 0", "room 2", "/h/hall 1")),
        ("c.txt", "/a/airfield 0\n/b/bedroom 2\n/h/hall 3", ("/a/airfield 0", "/b/bedroom 2", "/h/hall 3")),
        ("c.txt", "/a/airfield\n/b/bedroom\n/h/hall\n", ("/a/airfield", "/b/bedroom", "/h/hall")),
        (
            "categories_places365.txt",
            "\ufeff" + PLACES.replace("\n", "\r\n"),
            ("airfield", "apartment_building/outdoor", "bedroom"),
        ),
        ("c.json", '["bath", "bed", "hall"]', ("bath", "bed", "hall")),
        ("c.json", '\ufeff["bath", "bed", "hall"]', ("bath", "bed", "hall")),
        ("c.json", '\ufeff{"hall": 2, "bath": 0, "bed": 1}', ("bath", "bed", "hall")),
        ("c.json", '{"1": "bed", "0": "bath", "2": "hall"}', ("bath", "bed", "hall")),
        ("c.json", '{"hall": 2, "bath": 0, "bed": 1}', ("bath", "bed", "hall")),
        ("c.csv", "class\nbath\nbed\nhall\n", ("bath", "bed", "hall")),
        ("c.csv", "index;class\n2;hall\n0;bath\n1;bed\n", ("bath", "bed", "hall")),
    ],
)
def test_names(name: str, text: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    assert read_names(written(tmp_path, name, text), 3) == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("c.txt", "bath\nbed\n", r"2 names \(bath, bed\), and the model has 3 outputs"),
        ("c.txt", "bath\nbed\nhall\nattic\n", "4 names .* and the model has 3 outputs"),
        ("c.txt", "bath\nbed\nbath\n", "stand for several outputs: 'bath' of outputs 0, 2"),
        ("c.txt", "bath\n\nhall\n", "no name for output 1"),
        ("c.json", '{"a": "b"}', "expected a list of names"),
        ("c.json", '["bath", 3]', "expected a list of names"),
        (
            "c.json",
            '["bath"',
            r"not JSON: .* line 1 column \d+ .*\. Mend it there; or give the names as text",
        ),
        ("c.csv", "index,class\n1,bath\n2,bed\n3,hall\n", "numbers that are not 0 to 2, each once: 3"),
        ("c.csv", "index,class\n0,bath\nx,bed\n2,hall\n", "line 3: index 'x'"),
        ("c.csv", "name\nbath\n", "has no column 'class'"),
    ],
)
def test_bad_names(name: str, text: str, words: str, tmp_path: Path) -> None:
    file = written(tmp_path, name, text)
    with pytest.raises(DataError, match=words) as caught:
        read_names(file, 3)
    assert str(caught.value).startswith(f"`source_classes={file}`")


@pytest.mark.parametrize("name", ["c.txt", "c.json"])
def test_another_encoding_is_named(name: str, tmp_path: Path) -> None:
    """Also that of UTF-16, which some editors of Windows call Unicode."""
    for encoding in ("latin-1", "utf-16"):
        file = tmp_path / name
        file.write_bytes('["bäd", "bed", "hall"]'.encode(encoding))
        with pytest.raises(DataError, match=r"not a text file in UTF-8: .*\. Save it as UTF-8"):
            read_names(file, 3)


def test_no_file_of_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file\. Expected 3 names"):
        read_names(tmp_path / "none.txt", 3)


SOURCE = ("kitchen", "restaurant_kitchen", "bedroom", "beach", "hotel_room")


def test_a_map_selects_and_merges(tmp_path: Path) -> None:
    """Task classes are in the order of the map; what is not mapped, or to nothing, is left out."""
    text = "source_class,task_class\nbedroom,bed\nkitchen,cook\nrestaurant_kitchen,cook\nbeach,\n"
    found = read_map(written(tmp_path, "map.csv", text), SOURCE)
    assert found == Classes(
        ("bed", "cook"), ((2,), (0, 1)), (("bedroom",), ("kitchen", "restaurant_kitchen"))
    )
    assert found.outputs == [2, 0, 1]
    assert found.places == [[0], [1, 2]]


HEAD = "source_class,task_class\nkitchen,cook\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "bedrom,bed\n", "line 3: 'bedrom' is no class of the source model; near are bedroom"),
        (HEAD + "xyz,bed\n", "line 3: 'xyz' is no class of the source model; it has kitchen, "),
        (HEAD + "bedroom,bed\nkitchen,bed\n", "line 4: 'kitchen' a second time, now as 'bed', before as 'cook'"),
        (HEAD + "bedroom,bed\nkitchen,cook\n", "line 4: 'kitchen' a second time. Keep"),
        (HEAD + "bedroom,bed\n,bath\n", "task classes that no source class belongs to: bath"),
        (HEAD, "1 class of the task \\(cook\\), expected at least 2"),
        ("kitchen,cook\n", "has no column"),
        ("source_class,task_class,index\nkitchen,cook,0\nbedroom,bed,3\n",
         "'bedroom' is given index 3, and in `source_classes` it is output 2: one of the two files has another order"),
    ],
)  # fmt: skip
def test_bad_maps(text: str, words: str, tmp_path: Path) -> None:
    file = written(tmp_path, "map.csv", text)
    with pytest.raises(DataError, match=words) as caught:
        read_map(file, SOURCE)
    assert str(caught.value).startswith(f"`map_={file}`")


def test_shares_are_those_of_the_images_that_it_was_trained_on(tmp_path: Path) -> None:
    rows = "class,images\n" + "".join(
        f"{name},{n}\n" for name, n in zip(SOURCE, (10, 30, 40, 99, 21), strict=True)
    )
    file = written(tmp_path, "c.csv", rows)
    merged = read_map(written(tmp_path, "m.csv", HEAD + "restaurant_kitchen,cook\nbedroom,bed\n"), SOURCE)
    assert read_shares(file, merged) == (0.5, 0.5)
    assert read_shares(written(tmp_path, "c.txt", "x"), merged) is None
    assert read_shares(written(tmp_path, "c.json", json.dumps(list(SOURCE))), merged) is None
    with pytest.raises(DataError, match=r"line 2: images '-1'"):
        read_shares(written(tmp_path, "c.csv", rows.replace(",10", ",-1")), merged)
    with pytest.raises(DataError, match="no images of bed"):
        read_shares(written(tmp_path, "c.csv", rows.replace(",40", ",0")), merged)
