"""Where one camera is, as another one sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError

_ROUGH = 1e-3  # a rotation that was written with four digits
_FAR_M = 5.0  # two cameras that make pairs are no further apart: these are millimetres


@dataclass(frozen=True)
class Extrinsics:
    """A point of one camera in the axes of another: ``other = rotation @ point + translation``. Axes of both: x to the
    right, y down, z ahead.

    Attributes:
        rotation: nine numbers, row by row.
        translation: metres.
    """

    rotation: tuple[float, ...]
    translation: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.rotation) != 9 or not all(map(math.isfinite, self.rotation)):
            raise ConfigError(
                f"extrinsics: rotation = {list(self.rotation)}: expected nine finite numbers, row by row"
            )
        if len(self.translation) != 3 or not all(map(math.isfinite, self.translation)):
            raise ConfigError(f"extrinsics: translation = {list(self.translation)}: expected three metres")
        matrix = self.matrix
        if np.abs(matrix @ matrix.T - np.eye(3)).max() > _ROUGH or np.linalg.det(matrix) < 0:
            raise ConfigError(
                f"extrinsics: rotation = {list(self.rotation)}: is no rotation: its rows must be at right angles, one "
                f"long and right-handed"
            )
        if np.linalg.norm(self.translation) > _FAR_M:
            raise ConfigError(
                f"extrinsics: translation = {list(self.translation)}: puts the cameras over {_FAR_M:g} m apart. "
                f"Expected metres: are these millimetres?"
            )

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) float64: the rotation."""
        return np.array(self.rotation, np.float64).reshape(3, 3)

    @property
    def inverse(self) -> Extrinsics:
        """From the other camera to the one."""
        back = self.matrix.T
        return Extrinsics.of(back, -back @ np.array(self.translation))

    def then(self, following: Extrinsics) -> Extrinsics:
        """First this one, then ``following``."""
        turned = following.matrix @ np.array(self.translation) + np.array(following.translation)
        return Extrinsics.of(following.matrix @ self.matrix, turned)

    @classmethod
    def of(cls, rotation: Any, translation: Any) -> Extrinsics:
        """Of a (3, 3) matrix and three metres, of any kind of numbers."""
        x, y, z = (float(value) for value in translation)
        return cls(tuple(float(value) for value in np.asarray(rotation, np.float64).ravel()), (x, y, z))

    @classmethod
    def of_quaternion(cls, xyzw: Sequence[float], translation: Any) -> Extrinsics:
        """Of a quaternion with its real part last, as ROS writes it. Raises ConfigError where it is none."""
        x, y, z, w = (float(value) for value in xyzw)
        length = math.sqrt(x * x + y * y + z * z + w * w)
        if not math.isfinite(length) or abs(length - 1) > _ROUGH:
            raise ConfigError(f"extrinsics: rotation = {list(xyzw)}: expected a quaternion of length 1")
        x, y, z, w = x / length, y / length, z / length, w / length
        return cls.of(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ],
            translation,
        )


IDENTITY = Extrinsics((1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0))
"""One and the same place."""
