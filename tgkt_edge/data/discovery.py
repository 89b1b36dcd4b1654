"""Which files a user named: folders, class folders, pairs by file stem, and CSVs. Nothing is decoded here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.data.contradictions import refuse_contradictions
from tgkt_edge.data.names import abbreviate, clean, locate
from tgkt_edge.data.table import read_table
from tgkt_edge.data.timed_folders import matched_by_time, pairs_by_time
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import find_images
from tgkt_edge.io.other_contents import describe_contents, is_image
from tgkt_edge.io.parts import exists, split_folder, split_part, take_word, with_pages
from tgkt_edge.io.recording_format import is_recording, read_index


def matched(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of ``rgb/`` and ``frame/`` with equal stems (sub-folders count), in one order; of
    ``DIR?max_skew_ms=20`` those that are nearest in time (:func:`tgkt_edge.data.timed_folders.pairs_by_time`)."""
    plain, max_skew_ms = take_word(str(folder), "max_skew_ms")
    folder, query = split_folder(Path(plain))
    if max_skew_ms is not None:
        return pairs_by_time(folder, query, max_skew_ms)
    if not folder.exists():
        raise DataError(
            f"`paired={folder}`: does not exist. Expected a folder with rgb/ and frame/, or a CSV with "
            "columns rgb,frame."
        )
    by_stem: dict[str, dict[str, Path]] = {}
    for side in ("rgb", "frame"):
        sub = folder / side
        if not sub.is_dir():
            raise DataError(
                f"`paired={folder}`: has no folder '{side}'. Expected {folder}/rgb and {folder}/frame with files of "
                f"equal names, or a CSV with columns rgb,frame.{matched_by_time(folder, query)}"
            )
        stems: dict[str, list[Path]] = defaultdict(list)
        for file in in_folder(
            sub.with_name(f"frame?{query}") if query and side == "frame" else sub, "`paired`"
        ):
            stems[split_part(file)[0].relative_to(sub).with_suffix("").as_posix()].append(file)
        doubled = [str(file) for files in stems.values() if len(files) > 1 for file in files]
        if doubled:
            raise DataError(
                f"`paired`: two files with one stem in {sub}: {abbreviate(doubled)}. Keep one of each."
            )
        by_stem[side] = {stem: files[0] for stem, files in stems.items()}
    for one, other in (("rgb", "frame"), ("frame", "rgb")):
        alone = [str(by_stem[one][stem]) for stem in by_stem[one] if stem not in by_stem[other]]
        if alone:
            raise DataError(
                f"`paired={folder}`: {len(alone)} files have no partner in {other}/: {abbreviate(alone)}."
                f"{matched_by_time(folder, query)}"
            )
    stems_in_order = list(by_stem["rgb"])
    return [by_stem["rgb"][stem] for stem in stems_in_order], [
        by_stem["frame"][stem] for stem in stems_in_order
    ]


def labelled(path: Path, flag: str, column: str) -> tuple[list[Path], list[str]]:
    """Files and their labels, from class folders or a CSV with ``column`` and ``label``. Raises DataError."""
    if path.is_file():
        table = read_csv_columns(path, flag, (column,), text=("label",))
        files, labels = table[column], table["label"]
        refuse_contradictions(f"{flag} {path}", files, labels, [f"line {line}" for line in table["line"]])
        return files, labels
    files, labels = [], []
    found = in_folder(path, flag)
    for file in found if column == "image" else [page for one in found for page in with_pages(one)]:
        parts = file.relative_to(split_folder(path)[0]).parts
        if len(parts) < 2:
            raise DataError(
                f"{flag} {path}: {file.name} lies outside any class folder. Expected {path}/CLASS/IMAGE, "
                f"or a CSV with columns {column},label."
            )
        if escape_name(parts[0]) != parts[0]:
            raise DataError(
                f"{flag} {path}: the name of the class folder {escape_name(parts[0])} is not UTF-8, and "
                f"decisions could not name the class. Rename the folder."
            )
        files.append(file)
        labels.append(clean(parts[0]))
    folders = [f"{path.name}/{file.relative_to(split_folder(path)[0]).as_posix()}" for file in files]
    refuse_contradictions(f"{flag} {path}", files, labels, folders)
    return files, labels


def frame_places(path: Path, flag: str) -> list[tuple[Path, int | None]]:
    """Where each target frame lies: its file, and its position in it if that is a video.

    Args:
        path: a folder, one that ``tgkt-edge record`` wrote, one image or stack, or a CSV with a column ``frame``.

    Raises:
        DataError: there is none.
    """
    if is_image(path):
        return [(page, None) for page in with_pages(path)]
    if path.is_file():
        listed = read_csv_columns(path, flag, ("frame",))["frame"]
        return [(page, None) for file in listed for page in with_pages(file)]
    if is_recording(path):
        return [(path / entry.file, entry.video) for entry in read_index(path)]
    return [(page, None) for file in in_folder(path, flag) for page in with_pages(file)]


def in_folder(folder: Path, flag: str) -> list[Path]:
    """All images below ``folder``. Raises DataError, naming ``flag``, if there is none, or a folder is unreadable."""
    if not split_folder(folder)[0].exists():
        raise DataError(f"{flag} {folder}: does not exist. Expected a folder of images or a CSV file.")
    try:
        files = find_images(folder)
    except OSError as error:
        raise DataError(
            f"{flag} {folder}: {error.filename or folder} cannot be read: {error.strerror or error}. Its images would "
            f"be missing. Give yourself access, or move it elsewhere."
        ) from error
    if not files:
        raise DataError(
            f"{flag} {folder}: holds no image (searched recursively for PNG, TIFF, JPEG, ...)."
            f"{describe_contents(split_folder(folder)[0])}"
        )
    return files


def read_csv_columns(
    path: Path, flag: str, files: tuple[str, ...], text: tuple[str, ...] = ()
) -> dict[str, list[Any]]:
    """Columns of a CSV: those in ``files`` as paths, relative ones taken from the CSV's folder, and those in ``text``
    as :func:`tgkt_edge.data.names.clean` gives them; ``line``: that of each row."""
    rows = read_table(path, f"{flag} {path}", files + text)
    if not rows:
        raise DataError(f"{flag} {path}: lists no file")
    columns: dict[str, list[Any]] = {
        name: [locate(path.parent, row.fields[name]) for row in rows] for name in files
    }
    columns.update({name: [clean(row.fields[name]) for row in rows] for name in text})
    missing = [str(file) for name in files for file in columns[name] if not exists(file)]
    if missing:
        raise DataError(
            f"{flag} {path}: {len(missing)} listed files do not exist: {abbreviate(missing)}{_gone(missing)}. "
            f"Were they moved? Bring them back, correct the paths, or write the list again (tgkt-edge data prepare)."
        )
    columns["line"] = [row.line for row in rows]
    return columns


def _gone(missing: Sequence[str]) -> str:
    """The folder whose absence explains all ``missing`` files, in words, if there is one."""
    culprits = set()
    for name in missing:
        path = Path(name)
        while not path.parent.exists():
            path = path.parent
        culprits.add(path)
    folder = culprits.pop()
    return "" if culprits or str(folder) in missing else f"; there is no folder {folder}"


def escape_name(text: str) -> str:
    r"""``text`` as UTF-8 can say it: bytes of a file name that are none, such as Latin-1's ü, become ``\xfc``."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
