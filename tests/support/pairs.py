"""Pairs of RGB images and depth frames whose faults are known, and what was found of them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.check.check import DataReport

Scene = tuple[NDArray[Any], NDArray[Any]]


def scenes(count: int, seed: int = 0, size: tuple[int, int] = (240, 320)) -> list[Scene]:
    """RGB and millimetres of boxes before a wall: each box has a distance and a color of its own, both have noise."""
    found = []
    for number in range(count):
        random = np.random.default_rng(seed * 1000 + number)
        rgb = np.full((*size, 3), random.integers(60, 200, 3), np.float64)
        depth = np.full(size, random.uniform(4000, 6000))
        for _ in range(9):
            top, left = random.integers(0, size[0] - 30), random.integers(0, size[1] - 30)
            box = (slice(top, top + random.integers(25, 110)), slice(left, left + random.integers(25, 140)))
            rgb[box] = random.integers(20, 235, 3)
            depth[box] = random.uniform(800, 4000)
        rgb += random.normal(0, 6, rgb.shape)
        depth += random.normal(0, 20, size)
        depth[random.random(size) < 0.02] = 0
        found.append((rgb.clip(0, 255).astype(np.uint8), depth.clip(0, 65535).astype(np.uint16)))
    return found


def moved(rgb: NDArray[Any], across: float, down: float, right: float, below: float) -> NDArray[Any]:
    """The RGB image enlarged about its centre, then moved by pixels."""
    height, width = rgb.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    matrix = np.array([[across, 0, x - across * x + right], [0, down, y - down * y + below]])
    return cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def states(report: DataReport) -> dict[str, str]:
    return {finding.question: finding.state for finding in report.findings}


def finding(report: DataReport, question: str) -> Any:
    return next(one for one in report.findings if one.question == question)
