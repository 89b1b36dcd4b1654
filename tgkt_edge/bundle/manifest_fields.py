"""Fields of manifest.json: read and checked one by one, and made ready to be written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tgkt_edge.preprocess import resize_side


def names_of(values: Any) -> tuple[str, ...]:
    """A JSON list as a tuple. A string is refused: its letters would be taken for the names."""
    if not isinstance(values, list):
        raise TypeError(f"classes = {values!r}: expected a list of names")
    return tuple(values)


def grid_of(given: Any) -> tuple[int, int] | None:
    """Rows and columns of the maps, as the manifest has them; TypeError: it has something else there."""
    if given is None:
        return None
    rows, columns = (given.get("rows"), given.get("columns")) if isinstance(given, dict) else (None, None)
    if rows is None or columns is None or not (_is_count(rows) and _is_count(columns)):
        raise TypeError(f"maps = {given!r}: expected rows and columns, positive numbers")
    return int(rows), int(columns)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def raw_of(given: Any) -> Mapping[str, Any]:
    """The input of graphs of raw counts, as the manifest has it; TypeError: it has something else there."""
    if given is None:
        return {}
    sides = [given.get(name) if isinstance(given, dict) else None for name in ("height", "width")]
    if not all(map(_is_count, sides)):
        raise TypeError(
            f"raw = {given!r}: expected an input of a height and a width, positive numbers of pixels"
        )
    if given.get("dtype") not in ("uint8", "uint16", "int32", "float16", "float32"):
        raise TypeError(f"raw dtype = {given.get('dtype')!r}: expected that of a sensor's counts, or int32")
    found: Mapping[str, Any] = given
    return found


def check_resize_side(given: Mapping[str, Any]) -> None:
    """Raise TypeError if a manifest names another side than this program resizes to. Older manifests name none."""
    size, side = given["size"], given.get("resize_side")
    if (
        side is None or isinstance(size, bool) or not isinstance(size, int) or size < 1
    ):  # :meth:`Bundle._check` says so
        return
    if isinstance(side, bool) or side != resize_side(size):
        raise TypeError(
            f"input resize_side = {side!r}: frames are resized to {resize_side(size)} pixels for a size of {size}"
        )


def is_temperature(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )


def finite(value: Any) -> Any:
    """JSON has no NaN or infinity: say null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
