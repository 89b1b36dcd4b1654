"""Pixels to rays and points to pixels, for the distortion models that cameras and recordings name.

OpenCV's (also ROS's plumb_bob and rational_polynomial, Azure Kinect's, librealsense's Brown-Conrady), its fisheye
(ROS's equidistant, librealsense's Kannala-Brandt), and librealsense's modified and inverse Brown-Conrady, as its
rsutil.h writes them down.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import Intrinsics

Points = NDArray[np.float64]
"""(2, N) float64: x and y over z of rays, or the same distorted by a lens."""

_KINDS = {
    "": "opencv", "none": "opencv", "plumbbob": "opencv", "rationalpolynomial": "opencv", "brownconrady": "opencv",
    "brown": "opencv", "equidistant": "fisheye", "fisheye": "fisheye",
    "kannalabrandt4": "fisheye", "modifiedbrownconrady": "modified", "inversebrownconrady": "inverse",
}  # fmt: skip
_OPENCV = (4, 5, 8, 12, 14)  # coefficients of its models
_STEPS, _CLOSE = 12, 1e-7  # of Newton's method; _CLOSE: of a ray's slope, 1e-4 pixels
_ACROSS, _DOWN = np.array([[1e-6], [0.0]]), np.array([[0.0], [1e-6]])
_WIDEST = 8.0  # slope of a ray of 83 degrees
_AT_ONCE = 1 << 13  # rays that are distorted at a time: they stay in the processor's cache


class Lens:
    """One camera's projection.

    Args:
        camera: its intrinsics.

    Raises:
        DataError: its distortion model is not known, or has another number of coefficients.
        MissingDependency: OpenCV is not installed.
    """

    def __init__(self, camera: Intrinsics) -> None:
        self._camera = camera
        self._cv2 = require("cv2", "cpu", "Aligning pictures")
        self._distorts = any(camera.distortion)
        kind = _KINDS.get(re.sub(r"[^a-z0-9]", "", (camera.model or "").lower()))
        if self._distorts and kind is None:
            raise DataError(
                f"distortion model '{camera.model}' is not known; expected plumb_bob, rational_polynomial, "
                f"equidistant, or librealsense's (modified_, inverse_)brown_conrady"
            )
        counts = _OPENCV if kind == "opencv" else (4,) if kind == "fisheye" else (5,)
        given = camera.distortion
        while kind == "fisheye" and len(given) > 4 and given[-1] == 0:
            given = given[:-1]
        if self._distorts and len(given) not in counts:
            raise DataError(
                f"distortion has {len(given)} coefficients; of model '{camera.model or 'OpenCV'}' expected "
                f"{', '.join(map(str, counts))}"
            )
        self._coefficients = np.array(given, np.float64)
        forward: dict[str | None, Callable[[Points], Points]] = {
            "opencv": self._opencv, "fisheye": self._fisheye, "modified": self._modified,
        }  # fmt: skip
        self._distort: Callable[[Points], Points]
        self._undistort: Callable[[Points], Points]
        if kind == "inverse":
            self._undistort, self._distort = self._brown, lambda rays: _inverted(self._brown, rays)
        else:
            self._distort = forward[kind or "opencv"]
            self._undistort = lambda bent: _inverted(self._distort, bent)
        self._reach = self._monotonic() if self._distorts else np.inf

    def rays(self, width: int, height: int) -> NDArray[np.float64]:
        """(2, height, width) float64: x and y over z of what each pixel sees; NaN where the lens sees nothing."""
        camera = self._camera
        across, down = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
        bent = np.stack([(across.ravel() - camera.cx) / camera.fx, (down.ravel() - camera.cy) / camera.fy])
        straight = self._undistort(bent) if self._distorts else bent
        return straight.reshape(2, height, width)

    def project(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels of points.

        Args:
            points: (3, N) metres in this camera's axes.

        Returns:
            (2, N) float32: column and row, the centre of the top left pixel being (0, 0); NaN behind the camera and
            where a ray is so far off the axis that the lens's polynomial turns back.
        """
        camera = self._camera
        with np.errstate(divide="ignore", invalid="ignore"):
            rays = (points[:2] / points[2]).astype(np.float64)
            seen = points[2] > 0
            if self._distorts:
                seen &= rays[0] * rays[0] + rays[1] * rays[1] <= self._reach * self._reach
        if self._distorts:
            np.copyto(rays, 0.0, where=~seen)
            for start in range(0, rays.shape[1], _AT_ONCE):
                some = rays[:, start : start + _AT_ONCE]
                some[...] = self._distort(some)
        found = np.empty(rays.shape, np.float32)
        found[0] = rays[0] * camera.fx + camera.cx
        found[1] = rays[1] * camera.fy + camera.cy
        if not seen.all():
            np.copyto(found, np.nan, where=~seen)
        return found

    def _monotonic(self) -> float:
        """The slope of a ray up to which the lens bends farther rays farther out."""
        slopes = np.linspace(0, _WIDEST, 1601)
        bent = self._distort(np.stack([slopes, np.zeros_like(slopes)]))[0]
        back = np.flatnonzero(~(np.diff(bent) > 0))
        return float(slopes[back[0]]) if len(back) else _WIDEST

    def _opencv(self, rays: Points) -> Points:
        """As cv2.projectPoints does, to a few units of the last place, and ten times as fast."""
        k = np.zeros(14)
        k[: len(self._coefficients)] = self._coefficients
        if k[12:].any():
            return self._tilted(rays)
        x, y = rays
        xx, yy = x * x, y * y
        square = xx + yy
        radial = 1 + square * (k[0] + square * (k[1] + square * k[4]))
        if k[5:8].any():
            radial /= 1 + square * (k[5] + square * (k[6] + square * k[7]))
        bent: Points = rays * radial
        if k[2:4].any():
            both = 2 * x * y
            bent[0] += k[2] * both + k[3] * (square + 2 * xx)
            bent[1] += k[2] * (square + 2 * yy) + k[3] * both
        if k[8:12].any():
            bent[0] += square * (k[8] + square * k[9])
            bent[1] += square * (k[10] + square * k[11])
        return bent

    def _tilted(self, rays: Points) -> Points:
        points = np.concatenate([rays, np.ones((1, rays.shape[1]))]).T.copy()
        nothing = np.zeros(3)
        bent, _ = self._cv2.projectPoints(points, nothing, nothing, np.eye(3), self._coefficients)
        return np.asarray(bent, np.float64).reshape(-1, 2).T

    def _fisheye(self, rays: Points) -> Points:
        k1, k2, k3, k4 = self._coefficients
        slope = np.hypot(rays[0], rays[1])
        angle = np.arctan(slope)
        square = angle * angle
        bent = angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
        with np.errstate(divide="ignore", invalid="ignore"):
            return rays * np.where(slope > 1e-12, bent / slope, 1.0)

    def _brown(self, given: Points) -> Points:
        k1, k2, p1, p2, k3 = self._coefficients
        x, y = given
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        return np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x),
                y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y),
            ]
        )

    def _modified(self, rays: Points) -> Points:
        k1, k2, p1, p2, k3 = self._coefficients
        square = rays[0] ** 2 + rays[1] ** 2
        x, y = rays * (1 + square * (k1 + square * (k2 + square * k3)))
        return np.stack(
            [
                x + 2 * p1 * x * y + p2 * (square + 2 * x * x),
                y + 2 * p2 * x * y + p1 * (square + 2 * y * y),
            ]
        )


def _inverted(function: Callable[[Points], Points], values: Points) -> Points:
    """Where ``function`` has ``values``, by Newton's method; NaN where it does not come close to them."""
    at = values.copy()
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            here = function(at)
            wrong = here - values
            if not np.nanmax(np.abs(wrong), initial=0.0) > _CLOSE / 10:
                break
            across = (function(at + _ACROSS) - here) / _ACROSS[0]
            down = (function(at + _DOWN) - here) / _DOWN[1]
            scale = across[0] * down[1] - across[1] * down[0]
            step = np.stack(
                [
                    (down[1] * wrong[0] - down[0] * wrong[1]) / scale,
                    (across[0] * wrong[1] - across[1] * wrong[0]) / scale,
                ]
            )
            at = at - np.clip(step, -0.5, 0.5)
        close = np.abs(function(at) - values).max(0) < _CLOSE
    at[:, ~close] = np.nan
    return at
