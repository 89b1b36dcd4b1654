"""CSV files in every form that spreadsheets and people give them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tgkt_edge.data.names import clean, locate
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError

COLUMNS = ("image", "label")
ROWS = [{"image": "a.png", "label": "hall"}, {"image": "b.png", "label": "yard"}]


def table(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    return path


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, "--source t.csv", COLUMNS)
    return str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separator_encoding_and_line_ends_are_detected(
    separator: str, encoding: str, end: str, tmp_path: Path
) -> None:
    text = end.join(separator.join(row) for row in (COLUMNS, ("a.png", "hall"), ("b.png", "yard"))) + end
    found = read_table(table(tmp_path, text.encode(encoding)), "t", COLUMNS)
    assert [row.fields for row in found] == ROWS
    assert [row.line for row in found] == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        "image, label\na.png, hall\nb.png, yard\n",
        " IMAGE ,Label\na.png,hall\nb.png,yard\n",
        "\ufeff\u200bimage,label\u200b\na.png,hall\nb.png,yard\n",
        'sep=;\n"image";"label"\n"a.png";"hall"\n"b.png";"yard"\n',
        "image;label;;\na.png;hall;;\nb.png;yard;;\n;;;\n",
        '"image" , "label"\n"a.png" , "hall"\n"b.png" , "yard"\n',
        "# frames of May\n# taken by hand, at noon\nimage,label\na.png,hall\n# the yard\nb.png,yard\n",
        "#image,label\na.png,hall\nb.png,yard\n",
        "image,label\r\na.png,hall\r\nb.png,yard\r\n\x1a",
    ],
    ids=[
        "space",
        "case",
        "invisible",
        "sep-line",
        "empty-columns",
        "spaces-around-quotes",
        "comments",
        "numpy",
        "dos",
    ],
)
def test_a_header_and_rows_as_spreadsheets_leave_them(text: str, tmp_path: Path) -> None:
    found = read_table(table(tmp_path, text.encode()), "t", COLUMNS)
    assert [{name: clean(row.fields[name]) for name in COLUMNS} for row in found] == ROWS


def test_lines_are_those_of_the_file_after_blank_ones_and_quoted_breaks(tmp_path: Path) -> None:
    text = 'sep=,\n\nimage,label,note\n\n\na.png,hall,"two\nlines"\n\nb.png,,x\n'
    assert "line 9: column 'label' is empty" in refused(table(tmp_path, text.encode()))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"image,label\na.png,hall\nK\xfcche.png,hall\n", "line 3: not a CSV file in UTF-8: byte 0xfc"),
        (b"PK\x03\x04", "is a workbook (.xlsx, .ods) or another zip file, not a CSV file"),
        (b"image,label\na,b.png,hall\n", 'line 2: has 3 fields, the header 2. Quote a field that holds a comma: "a,b"'),
        (b'image,label\na.png,hall\n"b.png,yard\nc.png,yard\n', "line 3: not a CSV file: a quotation mark is"),
        (b'image,label\n"a.png,hall\nb.png",yard\n', "line 2: a line break in column 'image'"),
        (b"image,label,Image\na,b,c\n", "line 1: has two columns 'image'"),
        (b"image,label\na.png,ha\0ll\nb.png,yard\n", "line 2: not a CSV file: it holds a zero byte"),
        (b"\x1f\x8b\x08\0\0", "is a gzip file, not a CSV file"),
        (b"a.png,hall\nb.png,yard\n", "has no column 'image', 'label'; its header is a.png,hall. The first"),
    ],
    ids=["latin-1", "workbook", "comma-in-name", "open-quote", "quoted-break", "doubled-column", "zero", "gzip",
         "no-header"],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_line_and_what_to_do(
    data: bytes, words: str, tmp_path: Path
) -> None:
    assert words in refused(table(tmp_path, data))


@pytest.mark.parametrize(
    "written",
    [
        "hall ",
        " hall",
        "\thall",
        "hall\xa0",
        "\u200bhall",
        "hall\ufeff",
        "ha\u00adll",
        "\u202ahall\u202c",
        "hall\u200d",
    ],
)
def test_what_cannot_be_seen_makes_no_other_name(written: str) -> None:
    assert clean(written) == "hall"


def test_unicode_forms_and_blanks_inside_make_no_other_name() -> None:
    assert clean(unicodedata.normalize("NFD", "B\u00fcro")) == "B\u00fcro"
    assert clean("living \u00a0 room") == "living room"
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert clean(persian) == persian  # a joiner inside a word is a part of it


def test_a_file_is_found_in_the_form_in_which_its_name_lies_on_the_disk(tmp_path: Path) -> None:
    nfd = tmp_path / unicodedata.normalize("NFD", "K\u00fcche.png")
    spaced = tmp_path / "sub" / " b.png"
    spaced.parent.mkdir()
    nfd.touch()
    spaced.touch()
    (tmp_path / "sub" / "a.png").touch()
    assert locate(tmp_path, "K\u00fcche.png ") == nfd
    assert locate(tmp_path, "sub\\a.png") == tmp_path / "sub" / "a.png"
    assert locate(tmp_path, "sub/ b.png") == spaced  # exactly as written comes first
    assert locate(tmp_path, " gone.png ") == tmp_path / "gone.png"


def test_a_row_that_begins_with_a_number_sign_and_is_complete_is_no_comment(tmp_path: Path) -> None:
    found = read_table(table(tmp_path, b"image,label\n#1.png,hall\n"), "t", COLUMNS)
    assert [row.fields["image"] for row in found] == ["#1.png"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('[{"image": "a.png", "label": "hall"}]', "JSON"),
        ("\n <html><body>Log in</body></html>", "HTML or XML"),
    ],
)
def test_other_texts_are_named(text: str, kind: str, tmp_path: Path) -> None:
    found = refused(table(tmp_path, text.encode()))
    assert f"is {kind}" in found
    assert "image,label" in found


def test_a_header_in_one_piece_is_refused_with_the_separators_that_are_read(tmp_path: Path) -> None:
    assert "separated by comma, semicolon, tab or bar" in refused(
        table(tmp_path, b"image label\na.png hall\n")
    )
