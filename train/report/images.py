"""Pictures for pages that a person looks at, as data URIs: sensor frames, photographs, translations."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import CODE_MAX
from tgkt_edge.sensor import RawFrame, SensorSpec, positions

_STRONGEST = 0.75  # share of the colour where the evidence is strongest
_FOR, _AGAINST = (0, 120, 255), (255, 130, 30)  # BGR: orange, blue


def frame_uri(codes: NDArray[np.uint16], kind: str, side: int) -> str:
    """A frame as the network gets it.

    Args:
        codes: (R, R) uint16, 0 = near end or black. Depth is coloured, near blue to far red; others are grey.
        side: width and height of the picture, pixels.
    """
    grey = (codes // (CODE_MAX // 255)).clip(0, 255).astype(np.uint8)
    return _jpeg(_tinted(grey, kind), side, side)


def evidence_uri(codes: NDArray[np.uint16], evidence: NDArray[np.float32], side: int) -> str:
    """A frame in grey with the evidence for a class over it: warm where it is for the class, cool where against it.

    Args:
        codes: (R, R) uint16, as the network gets them. evidence: (h, w), its places side by side over the frame; the
            largest has the strongest colour.
    """
    grey = (codes // (CODE_MAX // 255)).clip(0, 255).astype(np.float32)
    size = len(codes)
    smooth = cv2.resize(evidence.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    most = max(float(np.abs(evidence).max()), 1e-12)
    strength = np.abs(smooth / most)[..., None].clip(0, 1) * _STRONGEST
    tint = np.where(smooth[..., None] > 0, np.array(_FOR, np.float32), np.array(_AGAINST, np.float32))
    mixed = grey[..., None] * (1 - strength) + tint * strength
    return _jpeg(mixed.clip(0, 255).astype(np.uint8), side, side)


def rgb_uri(rgb: NDArray[np.uint8], side: int) -> str:
    """(R, R, 3) uint8 RGB as a data URI."""
    return _jpeg(rgb[..., ::-1], side, side)


def raw_frame_uri(frame: RawFrame, spec: SensorSpec, longest: int) -> str:
    """A raw frame for a person to recognise: whole, in its own shape, its own range stretched, holes black.

    Args:
        frame: (H, W) raw counts as ``spec`` says.
        longest: longer side of the picture, pixels.
    """
    position, seen = positions(frame, spec)
    low, high = np.percentile(position[seen], (1, 99)) if seen.any() else (0, 1)
    grey = ((position - low) / max(high - low, 1) * 255).clip(0, 255).astype(np.uint8)
    picture = _tinted(grey, spec.kind)
    picture[~seen] = 0
    scale = longest / max(frame.shape)
    height, width = (max(1, round(n * scale)) for n in frame.shape)
    return _jpeg(picture, width, height)


def _tinted(grey: NDArray[np.uint8], kind: str) -> NDArray[Any]:
    """(H, W) to BGR (H, W, 3)."""
    if kind == "depth":
        return cv2.applyColorMap(np.ascontiguousarray(grey), cv2.COLORMAP_TURBO)
    return cv2.cvtColor(np.ascontiguousarray(grey), cv2.COLOR_GRAY2BGR)


def _jpeg(bgr: NDArray[Any], width: int, height: int) -> str:
    how = cv2.INTER_AREA if bgr.shape[1] > width else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(bgr), (width, height), interpolation=how)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
