"""CSV files as people and spreadsheets write them: any usual separator and encoding, and the line of every row."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.data.names import clean
from tgkt_edge.errors import DataError
from tgkt_edge.io.other_contents import describe_file

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

# The longest marks first: UTF-32's begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES = (
    (b"PK\x03\x04", "a workbook (.xlsx, .ods) or another zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"\x1f\x8b", "a gzip file"),
    (b"%PDF", "a PDF"),
)


_TEXTS = {b"{": "JSON", b"[": "JSON", b"<": "HTML or XML (a web page?)"}
"""Other texts by their first character, which no name of a column begins with."""


@dataclass(frozen=True)
class Row:
    """One row: the line of the file that it begins in, from 1, and its fields by column, as they are written."""

    line: int
    fields: dict[str, str]


def read_table(path: Path, what: str, columns: Sequence[str], may_be_empty: Sequence[str] = ()) -> list[Row]:
    """Read a CSV with a header; blank rows are left out.

    UTF-8 with or without a byte order mark, UTF-16 and UTF-32; separated by comma, semicolon, tab or bar, whichever
    gives the columns; Excel's line ``sep=;`` may come first. Lines that begin with ``#`` are comments where they stand
    before the header, or do not fill ``columns``; the header itself may begin with one. Names of columns may differ in
    case, and in what :func:`tgkt_edge.data.names.clean` takes away.

    Args:
        what: what an error calls the file, e.g. its flag and path.
        columns: names that the header must hold.
        may_be_empty: those of them that a row need not fill.

    Raises:
        DataError: not such a file; a column that is missing, or there twice; a row with more fields than the header,
            or with an empty field or a line break in one of ``columns``. With the line.
    """
    text = _text(path, what, columns)
    first_line, text, given = _take_separator(text)
    header_line, header, separator = _header(text, what, columns, given)
    names = _columns(header, columns)
    for column in columns:
        if names.count(column) > 1:
            raise DataError(f"{what}, line {header_line + first_line}: has two columns '{column}'. Keep one.")
    rows: list[Row] = []
    needed = [names.index(column) for column in columns if column not in may_be_empty]
    for start, fields in _records(text, separator, what, first_line):
        line = start + first_line
        if start <= header_line or not any(clean(field) for field in fields):
            continue
        if fields[0].lstrip().startswith("#") and not all(clean(field) for field in _picked(fields, needed)):
            continue
        if any(clean(field) for field in fields[len(names) :]):
            raise DataError(
                f"{what}, line {line}: has {len(fields)} fields, the header {len(names)}. Quote a field that holds a "
                f'{SEPARATORS[separator]}: "a{separator}b".'
            )
        row = dict.fromkeys(names, "") | dict(zip(names, fields, strict=False))
        for column in columns:
            if not clean(row[column]) and column not in may_be_empty:
                raise DataError(f"{what}, line {line}: column '{column}' is empty")
            if "\n" in row[column].strip() or "\r" in row[column].strip():
                raise DataError(
                    f"{what}, line {line}: a line break in column '{column}'. Is a quotation mark left open?"
                )
        rows.append(Row(line, row))
    return rows


def _text(path: Path, what: str, columns: Sequence[str]) -> str:
    if other := describe_file(path):  # such as a recording that fits into no memory
        raise DataError(f"{what}: {other}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{what}: cannot be read: {error.strerror or error}") from error
    for start, kind in _OTHER_FILES:
        if data.startswith(start):
            raise DataError(f"{what}: is {kind}, not a CSV file. In a spreadsheet: Save As, 'CSV UTF-8'.")
    text_kind = _TEXTS.get(data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1])
    if text_kind is not None:
        raise DataError(
            f"{what}: is {text_kind}, not a CSV file. Expected lines of fields, the first one naming the columns: "
            f"{','.join(columns)}"
        )
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None) or _without_mark(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        data = error.object  # without the mark
        line = data.count(b"\n", 0, error.start) + 1
        name = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8"}.get(encoding, encoding.upper())
        raise DataError(
            f"{what}, line {line}: not a CSV file in {name}: byte 0x{data[error.start]:02x} {error.reason}. In a "
            f"spreadsheet: Save As, 'CSV UTF-8'. Of a file in Windows' Western encoding: "
            f"iconv -f WINDOWS-1252 -t UTF-8 OLD.csv > NEW.csv"
        ) from error
    text = text.rstrip("\x1a")  # DOS's mark of the end
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{what}, line {line}: not a CSV file: it holds a zero byte")
    return text


def _without_mark(data: bytes) -> str:
    """UTF-16 and UTF-32 without a mark show themselves by zeros in every other byte of the header, or nearly; in three
    of four."""
    start = data[:64]
    for name, quarters in (("utf-32-le", (1, 2, 3)), ("utf-32-be", (0, 1, 2))):
        if len(start) >= 8 and not any(any(start[quarter::4]) for quarter in quarters):
            return name
    for name, halves in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) >= 4 and halves.count(0) > len(halves) / 2:
            return name
    return "utf-8"


def _take_separator(text: str) -> tuple[int, str, str | None]:
    """Excel's first line ``sep=;``, if there is one: how many lines it took, the rest, and the separator."""
    line, _, rest = text.partition("\n")
    word = line.strip('\r\ufeff" ').lower() if not line.lower().rstrip("\r").endswith("\t") else "sep=\t"
    if word.startswith("sep=") and word[4:] in SEPARATORS:
        return 1, rest, word[4:]
    return 0, text, None


def _header(text: str, what: str, columns: Sequence[str], given: str | None) -> tuple[int, list[str], str]:
    """Line and fields of the header, and the separator: that of ``SEPARATORS`` that gives most of ``columns``."""
    best: tuple[int, int, int, list[str], str] | None = None
    for separator in [given] if given else list(SEPARATORS):
        start, found = _first_record(text, separator, columns)
        hits = sum(column in _columns(found, columns) for column in columns)
        if found and (best is None or (hits, len(found)) > best[:2]):
            best = (hits, len(found), start, found, separator)
    if best is None:
        raise DataError(
            f"{what}: has no column '{columns[0]}'; its header is empty. The first line names the columns: "
            f"{','.join(columns)}"
        )
    names = _columns(best[3], columns)
    lacking = [f"'{column}'" for column in columns if column not in names]
    if lacking:
        raise DataError(
            f"{what}: has no column {', '.join(lacking)}; its header is {best[4].join(best[3])}. The first line names "
            f"the columns: {','.join(columns)}, separated by comma, semicolon, tab or bar"
        )
    return best[2], best[3], best[4]


def _picked(fields: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Those fields; empty ones where the row is shorter."""
    return [fields[number] if number < len(fields) else "" for number in numbers]


def _first_record(text: str, separator: str, columns: Sequence[str]) -> tuple[int, list[str]]:
    """Line and clean fields of the first record that is neither blank nor a comment; none where this separator cannot
    read it."""
    comment: tuple[int, list[str]] = (1, [])
    with contextlib.suppress(csv.Error):
        for start, fields in _parse(text, separator, strict=False):
            found = [clean(field) for field in fields]
            if not any(found):
                continue
            if not found[0].startswith("#"):
                return start, found
            bare = [clean(found[0].lstrip("#")), *found[1:]]
            if any(column in _columns(bare, columns) for column in columns):
                return start, bare
            comment = comment if comment[1] else (start, found)
    return comment


def _columns(header: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Names of the header, each as ``columns`` spell it where only case differs; trailing empty ones go."""
    spelled = {column.casefold(): column for column in columns}
    names = [spelled.get(clean(name).casefold(), clean(name)) for name in header]
    while names and not names[-1]:
        names.pop()
    return names


def _records(text: str, separator: str, what: str, before: int) -> list[tuple[int, list[str]]]:
    """(line it begins in, fields) of every record, blank ones included; ``before``: lines before ``text``."""
    records: list[tuple[int, list[str]]] = []
    try:
        for record in _parse(text, separator, strict=True):
            records.append(record)
    except csv.Error as error:
        line = (records[-1][0] + 1 if records else 1) + before
        if "end of data" in str(error):
            raise DataError(f"{what}, line {line}: not a CSV file: a quotation mark is left open") from error
        try:  # such as a blank between a closing quotation mark and the separator
            return list(_parse(text, separator, strict=False))
        except csv.Error as other:
            raise DataError(f"{what}, line {line}: not a CSV file: {other}") from other
    return records


def _parse(text: str, separator: str, *, strict: bool) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=strict
    )
    line = 1
    for fields in reader:
        yield line, fields
        line = reader.line_num + 1
