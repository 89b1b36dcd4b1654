"""When frames in files were taken: by their names, by the time at which they were written, or by a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from tgkt_edge.errors import DataError

WAYS = "name, mtime, or a CSV with columns file,time"

_NUMBER = re.compile(r"(?<!\d)(\d{9,19}(?:\.\d{1,9})?|\d+\.\d{2,9})(?!\d)")
_DATE = re.compile(
    r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})[T_ -]?(\d{2})[-:h]?(\d{2})[-:m]?(\d{2})(?:[.,_-](\d{1,6}))?(?!\d)"
)
_UNITS = ((10, 1.0), (13, 1e3), (16, 1e6), (19, 1e9))  # digits of whole seconds, ms, us, ns since 1970


def times_of(files: Sequence[Path], way: str, read_list: Callable[[Path], dict[str, float]]) -> list[float]:
    """Unix seconds of each of ``files``.

    Args:
        way: "name": a number of seconds (1305031102.175304), or of seconds, milli-, micro- or nanoseconds since 1970 by
            its length, or a date and time of UTC (20260131_235959.123), anywhere in the name; "mtime"; or a CSV.
        read_list: reads a CSV: seconds by name.

    Raises:
        DataError: a file has no time in this way, which is named with what was expected.
    """
    if way == "name":
        return [_of_name(file) for file in files]
    if way == "mtime":
        return [file.stat().st_mtime for file in files]
    table = Path(way)
    if not table.is_file():
        raise DataError(f"`times={way}`: expected {WAYS}")
    known = read_list(table)
    found = []
    for file in files:
        time = known.get(str(file.absolute()), known.get(file.name))
        if time is None:
            raise DataError(f"`times={way}`: lists no time of {file}")
        found.append(time)
    return found


def _of_name(file: Path) -> float:
    """The time that a file's name says."""
    if date := _DATE.search(file.stem):
        try:
            moment = datetime.strptime("".join(date.groups()[:6]), "%Y%m%d%H%M%S").replace(
                tzinfo=timezone.utc
            )
        except ValueError:  # no such day or hour: it is another number
            pass
        else:
            fraction = date.group(7)
            return moment.timestamp() + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)
    numbers = _NUMBER.findall(file.stem)
    if len(numbers) == 1:
        number = numbers[0]
        whole = number.partition(".")[0]
        for digits, unit in _UNITS:
            if len(whole) in (digits - 1, digits):
                return (float(number) if "." in number else int(whole)) / unit
        if "." in number and len(whole) < _UNITS[0][0]:
            return float(number)
    raise DataError(
        f"`times=name`: {file}: its name holds no time that is known: expected seconds (1305031102.175304), whole "
        f"seconds, milli-, micro- or nanoseconds since 1970, or a date and time (20260131_235959). Files "
        f"with an order only (000001.png) need no times where a folder is read as it is: by adapt, run and predict, in "
        f"the order of their names, and by adapt as pairs of equal names. Else give a CSV with columns file,time (a "
        f"frame's number divided by frames a second), or mtime where the files were never copied."
    )
