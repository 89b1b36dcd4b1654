"""What has to be known of two cameras to see with one what the other saw: from a recording, a camera or a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.sensor import Intrinsics
from tgkt_edge.sensor.extrinsics import Extrinsics

FIELDS = "rotation, translation, depth, color"
Size = tuple[int, int]


@dataclass(frozen=True)
class Rig:
    """A depth and a color camera that are fixed to each other, as far as they are known.

    Attributes:
        depth, color: their intrinsics; None: not known.
        pose: a point of the depth camera in the color camera's axes; None: not known.
        depth_size, color_size: (width, height) that the intrinsics are for; None: that of the pictures.
        origin: where a part that is missing was looked for, for messages.
    """

    depth: Intrinsics | None = None
    color: Intrinsics | None = None
    pose: Extrinsics | None = None
    depth_size: Size | None = None
    color_size: Size | None = None
    origin: str = ""

    def over(self, other: Rig) -> Rig:
        """This one, and what it does not know from ``other``."""
        mine = self
        if mine.depth is None:
            mine = replace(mine, depth=other.depth, depth_size=other.depth_size)
        if mine.color is None:
            mine = replace(mine, color=other.color, color_size=other.color_size)
        return replace(mine, pose=mine.pose or other.pose, origin=mine.origin or other.origin)

    def check(self, where: str) -> None:
        """Raise DataError, naming ``where`` and all that is missing, unless everything is known."""
        parts = (
            ("the intrinsics of the depth camera", self.depth),
            ("the intrinsics of the color camera", self.color),
            ("where the two cameras are to each other", self.pose),
        )
        missing = [what for what, found in parts if found is None]
        if missing:
            looked = f" {self.origin}." if self.origin else ""
            raise DataError(
                f"{where}: `align` needs {' and '.join(missing)}, which are not known.{looked} Give them with "
                f"`extrinsics=FILE`: YAML with {FIELDS}; or leave `align` out."
            )


def load_rig(path: Path) -> Rig:
    """A YAML or JSON file: ``rotation`` (nine numbers, three rows, or a quaternion x y z w) and ``translation``
    (metres) from the depth to the color camera; ``depth`` and ``color``: fx, fy, cx, cy[, distortion, model, size].

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"`extrinsics={path}` cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: found {type(values).__name__}, expected {FIELDS}")
    unknown = [str(key) for key in values if key not in FIELDS.split(", ")]
    if unknown:
        raise ConfigError(f"{path}: unknown field '{unknown[0]}'. Known fields: {FIELDS}.")
    try:
        depth, depth_size = _camera(values, "depth")
        color, color_size = _camera(values, "color")
        return Rig(depth, color, _pose(values), depth_size, color_size)
    except ConfigError as error:
        raise ConfigError(f"{path}: {str(error).removeprefix('sensor: ')}") from error


def _camera(values: dict[str, Any], name: str) -> tuple[Intrinsics | None, Size | None]:
    if name not in values:
        return None, None
    fields = values[name]
    size = None
    if isinstance(fields, dict) and "size" in fields:
        fields = dict(fields)
        size = fields.pop("size")
        if (
            not isinstance(size, list)
            or len(size) != 2
            or not all(isinstance(one, int) and one > 0 for one in size)
        ):
            raise ConfigError(f"{name}: size = {size!r}: expected [width, height]")
        size = (size[0], size[1])
    try:
        return Intrinsics.from_dict(fields), size
    except ConfigError as error:
        raise ConfigError(f"{name}: {str(error).removeprefix('sensor: ')}") from error


def _pose(values: dict[str, Any]) -> Extrinsics | None:
    if "rotation" not in values and "translation" not in values:
        return None
    if "rotation" not in values or "translation" not in values:
        raise ConfigError("expected rotation and translation together")
    rotation, translation = _numbers(values["rotation"]), _numbers(values["translation"])
    if translation is None or len(translation) != 3:
        raise ConfigError(f"translation = {values['translation']!r}: expected three metres")
    if rotation is None or len(rotation) not in (4, 9):
        raise ConfigError(
            f"rotation = {values['rotation']!r}: expected nine numbers, row by row, or a quaternion x, y, z, w"
        )
    return (
        Extrinsics.of_quaternion(rotation, translation)
        if len(rotation) == 4
        else Extrinsics.of(rotation, translation)
    )


def _numbers(value: Any) -> list[float] | None:
    """All numbers of a list, or of a list of lists; None: it holds something else."""
    if not isinstance(value, list):
        return None
    flat = [one for row in value for one in (row if isinstance(row, list) else [row])]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in flat):
        return None
    return [float(one) for one in flat]
