"""EBML, the form that Matroska files are written in: elements of a number, a size and what they hold (RFC 8794)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

MAGIC = b"\x1a\x45\xdf\xa3"
_DEEPEST = 8


class Damaged(Exception):
    """The file ends within an element, or holds something that is none."""


@dataclass(frozen=True)
class Element:
    """One element: its number, where its content begins in the file, and where it ends; None: it is not known."""

    number: int
    start: int
    end: int | None


def read_element(file: IO[bytes], limit: int, clipped: int | None = None) -> Element | None:
    """The element at which ``file`` stands; None at ``limit``.

    Args:
        clipped: of this number, an element of which the end is missing is as long as it is there.

    Raises:
        Damaged: there is none.
    """
    at = file.tell()
    if at >= limit:
        return None
    number, length, _ = _number(file.read(4), keep_marker=True)
    file.seek(at + length)
    size, more, unknown = _number(file.read(8), keep_marker=False)
    start = at + length + more
    if number == clipped and not unknown:
        size = min(size, limit - start)
    if not unknown and start + size > limit:
        raise Damaged(f"an element of {size} bytes at byte {at}, of which {max(0, limit - start)} are there")
    return Element(number, start, None if unknown else start + size)


def children(file: IO[bytes], parent: Element, limit: int) -> Iterator[Element]:
    """The elements in ``parent``, which is no longer than ``limit``. Raises Damaged."""
    end = limit if parent.end is None else parent.end
    at = parent.start
    while at < end:
        file.seek(at)
        child = read_element(file, end)
        if child is None:
            return
        yield child
        if child.end is None:
            raise Damaged(f"an element without a size at byte {at}")
        at = child.end


def content(file: IO[bytes], element: Element, at_most: int) -> bytes:
    """What an element holds. Raises Damaged if that is more than ``at_most`` bytes, or not all there."""
    size = (element.end or element.start) - element.start
    if size > at_most:
        raise Damaged(f"an element of {size} bytes where at most {at_most} make sense")
    file.seek(element.start)
    data = file.read(size)
    if len(data) < size:
        raise Damaged("the file ends")
    return data


def unsigned(data: bytes) -> int:
    """A whole number of 0 to 8 bytes. Raises Damaged for more."""
    if len(data) > _DEEPEST:
        raise Damaged(f"a number of {len(data)} bytes")
    return int.from_bytes(data, "big")


def variable(data: bytes | memoryview) -> tuple[int, int]:
    """A number of variable length at the beginning of ``data``, and its length. Raises Damaged."""
    value, length, _ = _number(bytes(data[:8]), keep_marker=False)
    return value, length


def _number(data: bytes, *, keep_marker: bool) -> tuple[int, int, bool]:
    """Value, length, and whether all its bits are set, which means: not known."""
    length = 9 - data[0].bit_length() if data else 9
    if length > len(data):
        raise Damaged("the file ends, or goes on with something else")
    value = int.from_bytes(data[:length], "big")
    plain = value & ((1 << 7 * length) - 1)
    return (value if keep_marker else plain), length, plain == (1 << 7 * length) - 1
