"""What is kept of each item of a set once it is decoded: of a sensor frame, an RGB image, or a pair of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.levels import LENGTH, measure_levels
from tgkt_edge.io.images import Reader, read_frame, read_rgb
from tgkt_edge.preprocess import encode, encode_rgb, invalid_share
from tgkt_edge.sensor import RawFrame, SensorSpec

Item: TypeAlias = tuple[Path, ...]
"""The files of one item: a frame, an image, or RGB image and frame."""

Values: TypeAlias = Mapping[str, NDArray[Any]]
"""One row: by field."""


@dataclass(frozen=True)
class Recipe:
    """How items become rows.

    Attributes:
        kind: of the items. side: of the decoded images, pixels. spec: of the frames, with its size pinned.
    """

    kind: Literal["frames", "images", "pairs"]
    side: int
    spec: SensorSpec | None = None

    @property
    def fields(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and dtype of each field of a row; the pixels come first."""
        codes, rgb = ((self.side, self.side), "<u2"), ((self.side, self.side, 3), "|u1")
        levels = ((LENGTH,), "<f8")
        if self.kind == "images":
            return {"rgb": rgb}
        if self.kind == "pairs":
            return {"rgb": rgb, "codes": codes, "levels": levels}
        return {"codes": codes, "invalid": ((), "<f4"), "levels": levels}

    @property
    def row_bytes(self) -> int:
        """Of one row in memory."""
        return sum(
            int(np.dtype(dtype).itemsize * np.prod(shape, dtype=np.int64))
            for shape, dtype in self.fields.values()
        )

    def read(
        self, item: Item, reader: Reader, frame_of: Callable[[Path], NDArray[Any]] | None = None
    ) -> Values:
        """Decode one item.

        Args:
            frame_of: reads a frame; None: from its file by ``reader``.

        Raises:
            DataError: it cannot be read, or contradicts the SensorSpec.
        """
        found: dict[str, NDArray[Any]] = {}
        if self.kind != "frames":
            found["rgb"] = encode_rgb(read_rgb(item[0], reader), self.side, str(item[0]))
        if self.kind == "images":
            return found
        file = item[-1]
        frame = read_frame(file, reader) if frame_of is None else frame_of(file)
        return {**found, **self.of_frame(frame, str(file))}

    def of_frame(self, frame: RawFrame, name: str) -> dict[str, NDArray[Any]]:
        """The fields that a raw frame fills. ``name``: what an error calls it."""
        spec = self.spec
        assert spec is not None
        found: dict[str, NDArray[Any]] = {"codes": encode(frame, spec, self.side, name)}
        if self.kind == "frames":
            found["invalid"] = np.asarray(invalid_share(frame, spec), np.float32)
        return {**found, "levels": measure_levels(frame, spec)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        spec = None if self.spec is None else self.spec.to_dict()
        return {"kind": self.kind, "side": self.side, "spec": spec}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Inverse of :meth:`to_dict`."""
        spec = None if values["spec"] is None else SensorSpec.from_dict(values["spec"])
        return cls(values["kind"], int(values["side"]), spec)


class MemoryRows:
    """Rows in memory, written in any order."""

    def __init__(self, recipe: Recipe, count: int) -> None:
        self.arrays = {
            name: np.empty((count, *shape), np.dtype(dtype).newbyteorder("="))
            for name, (shape, dtype) in recipe.fields.items()
        }
        self.missing: Sequence[int] = range(count)

    def write(self, row: int, values: Values) -> None:
        """Fill one row. May be called from several threads."""
        for name, value in values.items():
            self.arrays[name][row] = value
