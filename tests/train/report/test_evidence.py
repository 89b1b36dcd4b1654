"""A frame with the evidence for a class over it, by its pixels."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from tgkt_edge.train.report.images import evidence_uri


def test_warm_speaks_for_the_class_and_cool_against_it() -> None:
    """Grey of one half, for the class on the left, nothing in the middle, against it on the right."""
    codes = np.full((90, 90), 32768, np.uint16)
    uri = evidence_uri(codes, np.array([[4.0, 0.0, -4.0]], np.float32), 90)
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (90, 90, 3)
    blue, green, red = picture.astype(int).transpose(2, 0, 1)[:, 45]  # along the middle row
    assert red[5] - blue[5] > 100
    assert blue[85] - red[85] > 100
    assert max(abs(red[45] - blue[45]), abs(green[45] - blue[45])) < 12
    assert abs(green[45] - 127) < 12
