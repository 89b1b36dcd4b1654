"""Preprocessing as a graph, in ONNX Runtime, against the package's: bit for bit on golden, random and real frames.

One code of 65535 is allowed, as the specification says of sums in another order; none was seen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.support.checkout import REPOSITORY
from tgkt_edge.export.raw.areas import growing, shrinking
from tgkt_edge.export.raw.preprocessing import MEASURED, RawInput, preprocessing_graph
from tgkt_edge.io.images import read_frame
from tgkt_edge.preprocess import preprocess
from tgkt_edge.sensor import PRESETS, SensorSpec

GOLDEN = REPOSITORY / "tests" / "golden"
CASES: dict[str, Any] = json.loads((GOLDEN / "index.json").read_text())


def session(spec: SensorSpec, size: int, shape: tuple[int, ...], kind: Any = "sensor") -> Any:
    model = preprocessing_graph(spec, size, RawInput(shape[0], shape[1], kind), 18, 10)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def differing_codes(frame: NDArray[Any], spec: SensorSpec, size: int, kind: Any = "sensor") -> int:
    """Largest difference of a frame's codes."""
    element = "int32" if kind == "int32" else frame.dtype
    graph = session(spec, size, frame.shape, kind)
    found = graph.run(["frame"], {"counts": frame[np.newaxis].astype(element)})[0]
    assert found.shape == (1, 1, size, size)
    expected = preprocess(frame, spec, size)
    return int(np.abs(np.rint(found[0] * 65535) - np.rint(expected * 65535)).max())


@pytest.mark.parametrize("name", sorted(CASES))
def test_golden_frames(name: str) -> None:
    case = CASES[name]
    spec = SensorSpec.from_dict(case["sensor"])
    frame = cv2.imread(str(GOLDEN / case["frame"]), cv2.IMREAD_UNCHANGED)
    assert frame is not None
    assert differing_codes(frame.astype(spec.numpy_dtype), spec, case["size"]) == 0


def with_holes(shape: tuple[int, int], share: float, seed: int) -> NDArray[np.uint16]:
    """Depth of steps and noise; round holes of all sizes over about ``share`` of it, and single pixels."""
    rng = np.random.default_rng(seed)
    frame = (
        rng.integers(0, 8, (6, 6)).repeat(40, 0).repeat(40, 1)[: shape[0], : shape[1]] * 900 + 500
    ).astype(float)
    frame = np.resize(frame, shape) + rng.normal(0, 20, shape)
    frame = frame.clip(1, 65535).astype(np.uint16)
    y, x = np.mgrid[: shape[0], : shape[1]]
    while (frame == 0).mean() < share:
        radius = rng.integers(1, max(2, max(shape) // 4))
        frame[(y - rng.integers(shape[0])) ** 2 + (x - rng.integers(shape[1])) ** 2 < radius**2] = 0
    frame[rng.random(shape) < 0.02] = 0
    return frame


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("shape", "size", "share"),
    [
        ((120, 160), 64, 0.3),
        ((97, 33), 32, 0.6),
        ((40, 90), 64, 0.9),
        ((30, 31), 64, 0.5),
        ((128, 256), 56, 0.2),
    ],
    ids=["shrinks", "tall", "one axis grows", "grows", "whole factors"],
)
def test_holes_of_any_shape_take_the_same_pixels(
    shape: tuple[int, int], size: int, share: float, seed: int
) -> None:
    """Ties included: of several pixels as near the rule's order decides, and values differ by thousands of codes."""
    assert differing_codes(with_holes(shape, share, seed), PRESETS["depth"], size) == 0


def test_a_single_measurement_reaches_every_corner() -> None:
    frame = np.zeros((80, 100), np.uint16)
    frame[3, 96] = 2000
    graph = session(PRESETS["depth"], 64, frame.shape)
    found, measured = graph.run(["frame", MEASURED], {"counts": frame[np.newaxis]})
    np.testing.assert_array_equal(found[0], preprocess(frame, PRESETS["depth"], 64))
    assert np.ptp(found) == 0
    assert measured == pytest.approx(1 / 8000)


def test_a_frame_without_a_measurement_is_told_by_its_share() -> None:
    frame = np.zeros((1, 60, 80), np.uint16)
    assert session(PRESETS["depth"], 32, (60, 80)).run([MEASURED], {"counts": frame})[0] == [0.0]


def test_int32_counts_are_the_same_counts() -> None:
    assert differing_codes(with_holes((60, 80), 0.3, 9), PRESETS["depth"], 32, "int32") == 0


FLOATS = [
    SensorSpec("depth", "float32", unit_m=0.001, near_m=0.3, far_m=6, invalid=(65.535,)),
    SensorSpec("depth", "float16", unit_m=1.0, near_m=0.5, far_m=8),
    SensorSpec("thermal", "float32", unit_k=1, offset_k=273.15, cold_c=-10, hot_c=90),
    SensorSpec("nir", "float32", black=0.05, white=0.9),
    SensorSpec(
        "depth",
        "float32",
        encoding="disparity",
        unit_px=1.0,
        baseline_m=0.1,
        focal_px=500.0,
        near_m=0.5,
        far_m=9,
    ),
]


@pytest.mark.parametrize("spec", FLOATS, ids=["millimetres", "half", "celsius", "reflectance", "disparity"])
def test_floating_point_counts(spec: SensorSpec) -> None:
    """NaN, infinities, zero, negative and listed numbers among them; the last codes of rounding, too."""
    rng = np.random.default_rng(3)
    low, high = spec.range
    values = rng.uniform(low - 0.1 * (high - low), high + 0.1 * (high - low), (70, 90))
    if spec.encoding == "disparity":
        values = rng.uniform(0, 120, (70, 90))
    frame = (values / (spec.unit_m or 1.0)).astype(spec.numpy_dtype)
    frame[:9, :30] = np.nan
    frame[9, :6] = np.inf
    frame[10, :6] = -np.inf
    frame[20:40, 50:70] = spec.invalid[0] if spec.invalid else 0
    assert differing_codes(frame, spec, 48) == 0


@pytest.mark.parametrize(("length", "size"), [(640, 256), (61, 60), (100, 100), (256, 128)])
def test_the_weights_of_an_output_pixel_add_up_to_one(length: int, size: int) -> None:
    for taps in (shrinking(length, size), growing(size, length)):
        np.testing.assert_allclose(taps[1].sum(1), 1, rtol=1e-6)


def real(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.png")) + sorted(folder.rglob("*_nir.jpg"))
    return (
        [files[i] for i in np.unique(np.linspace(0, len(files) - 1, 12).round().astype(int))] if files else []
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "preset", "size"),
    [("nyuv2/depth", "nyuv2", 112), ("epfl-rgbnir", "nir8", 112), ("sensor16/depth", "depth", 224)],
)
def test_real_frames(folder: str, preset: str, size: int, data_dir: Path) -> None:
    files = [file for file in real(data_dir / folder) if folder != "epfl-rgbnir" or file.suffix == ".jpg"]
    if not files:
        pytest.skip(f"{data_dir / folder} does not exist")
    for file in files:
        assert differing_codes(read_frame(file), PRESETS[preset], size) == 0, file
