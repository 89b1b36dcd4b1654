"""Charts and pictures of the report: values stand where they belong, colors mean what they should."""

from __future__ import annotations

import base64
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.report.figures import line_chart, nice_ticks, scatter, whisker
from tgkt_edge.train.report.html import embed
from tgkt_edge.train.report.images import frame_uri, raw_frame_uri, rgb_uri

DEPTH = load_sensor("depth")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 4, [0, 1, 2, 3, 4]),
        (-0.3, 0.31, [-0.4, -0.2, 0, 0.2, 0.4]),
        (2, 2, [1.5, 2, 2.5]),
    ],
)
def test_ticks_are_round_and_hold_the_data(low: float, high: float, ticks: list[float]) -> None:
    found = nice_ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert found == pytest.approx(ticks) or len(found) in (5, 6)
    steps = np.diff(found)
    assert steps == pytest.approx(steps[0])


def test_lines_stand_where_their_values_are() -> None:
    chart = ElementTree.fromstring(line_chart({"a": [(0, 0.0), (10, 1.0)]}, "step", share=True))
    (line,) = (e for e in chart if e.tag == "polyline")
    (x0, y0), (x1, y1) = (map(float, pair.split(",")) for pair in line.attrib["points"].split())
    heights = {
        e.text: float(e.attrib["y"]) for e in chart if e.tag == "text" and (e.text or "").endswith("%")
    }
    assert x0 < x1
    assert y0 == pytest.approx(heights["0%"] - 3.5, abs=0.2)
    assert y1 == pytest.approx(heights["100%"] - 3.5, abs=0.2)
    assert line_chart({}, "step") == line_chart({"a": []}, "step") == ""


@pytest.mark.parametrize(
    ("value", "low", "high", "tone"),
    [(0.1, 0.05, 0.15, "good"), (-0.1, -0.15, -0.05, "bad"), (0.1, -0.05, 0.2, "unsure")],
)
def test_whiskers_take_sides_only_when_sure(value: float, low: float, high: float, tone: str) -> None:
    drawn = ElementTree.fromstring(whisker(value, low, high, 0.2))
    knob = next(e for e in drawn if e.tag == "circle")
    assert knob.attrib["class"] == f"knob {tone}"
    assert float(knob.attrib["cx"]) == pytest.approx(100 + 96 * value / 0.2)
    assert (
        float(next(e for e in ElementTree.fromstring(whisker(9, 8, 10, 1)) if e.tag == "circle").attrib["cx"])
        == 196
    )


def test_more_than_ten_classes_have_marks_of_their_own() -> None:
    names = [f"class {k}" for k in range(25)]
    marks = ElementTree.fromstring(scatter([(k, k) for k in range(25)], list(range(25)), names))
    looks = {(e.tag, e.attrib["class"]) for e in marks}
    assert len(looks) == 25


def decode(uri: str) -> np.ndarray[Any, Any]:
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1].astype(int)


def test_depth_is_colored_from_blue_to_red_and_nir_is_gray() -> None:
    codes = np.zeros((32, 32), np.uint16)
    codes[:, 16:] = 60000
    depth, nir = (decode(frame_uri(codes, kind, 32)) for kind in ("depth", "nir"))
    near, far = depth[16, 4], depth[16, 28]
    assert near[2] > near[0]  # dark blue
    assert far[0] > far[2] + 50  # red
    assert np.abs(nir[16, 4]).max() < 12
    assert np.abs(nir[16, 28] - 233).max() < 12


def test_photographs_keep_their_channels() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    assert np.abs(decode(rgb_uri(red, 16))[8, 8] - (250, 0, 0)).max() < 12


def test_raw_frames_keep_their_shape_stretch_and_show_holes_black() -> None:
    frame = np.linspace(1000, 1200, 60 * 80).astype(np.uint16).reshape(60, 80)  # a fiftieth of the range
    frame[20:40, 30:50] = 0
    picture = decode(raw_frame_uri(frame, DEPTH, 40))
    assert picture.shape == (30, 40, 3)
    assert picture[15, 20].max() < 30
    assert picture[2, 2][2] > picture[2, 2][0]
    assert picture[28, 38][0] > picture[28, 38][2]


def test_features_that_are_all_alike_can_be_shown() -> None:
    points = embed(np.full((20, 256), 3.0, np.float32), 0)
    assert points.shape == (20, 2)
    assert np.isfinite(points).all()


def test_separate_groups_stay_separate_in_the_picture() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 30)
    features = (rng.normal(size=(60, 256)) + 20 * group[:, None]).astype(np.float32)
    points = embed(features, 0)
    np.testing.assert_array_equal(points, embed(features, 0))
    centers = np.stack([points[group == k].mean(0) for k in (0, 1)])
    nearest = np.linalg.norm(points[:, None] - centers, axis=2).argmin(1)
    np.testing.assert_array_equal(nearest, group)
