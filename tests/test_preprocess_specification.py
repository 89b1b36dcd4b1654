"""docs/preprocessing.md is a specification: what it says in words, numpy and C++ gives the bits of the package.

``tests/golden`` holds frames and the codes that they become, for programs in other languages. Every kind of rule has
one: holes, a range that clips, an odd crop (73 -> 64), rotated bits, whole factors, sides that shrink, grow, or do one
each.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.checkout import REPOSITORY
from tgkt_edge.preprocess import preprocess, resize_side, to_unit
from tgkt_edge.sensor import SensorSpec, load_sensor

Tensor = NDArray[np.float32]
Version = Callable[[NDArray[Any], SensorSpec, int], Tensor]

GOLDEN = Path(__file__).parent / "golden"
INDEX: dict[str, dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))


def numpy_version() -> Version:
    found = importlib.util.spec_from_file_location(
        "preprocess_example", REPOSITORY / "examples/preprocess.py"
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return lambda frame, spec, size: module.preprocess(frame, spec.to_dict(), size)


def cpp_version(folder: Path) -> Version:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (apt install g++)")
    program, pgm, pfm = folder / "preprocess", folder / "frame.pgm", folder / "frame.pfm"
    flags = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
    subprocess.run([compiler, *flags, REPOSITORY / "examples/preprocess.cpp", "-o", program], check=True)

    def answer(frame: NDArray[Any], spec: SensorSpec, size: int) -> Tensor:
        if spec.is_float:
            head = f"Pf\n{frame.shape[1]} {frame.shape[0]}\n-1\n"
            pfm.write_bytes(head.encode() + frame[::-1].astype("<f4").tobytes())
        else:
            big_endian = frame.astype(">u2") if frame.dtype == np.uint16 else frame
            head = f"P5\n{frame.shape[1]} {frame.shape[0]}\n{np.iinfo(frame.dtype).max}\n"
            pgm.write_bytes(head.encode() + big_endian.tobytes())
        numbers = (size, spec.unit_m or spec.unit_k or spec.unit_px or 1, *spec.range, *spec.invalid)
        words = [*map(repr, numbers)]
        if spec.encoding == "disparity":
            words.append(f"disparity={spec.baseline_m!r},{spec.focal_px!r},{spec.offset_px or 0!r}")
        elif spec.kind == "thermal":
            words.append(f"thermal={spec.offset_k or 0!r}")
        elif spec.encoding == "sunrgbd":
            words.append("sunrgbd")
        done = subprocess.run(
            [program, pfm if spec.is_float else pgm, *words], capture_output=True, check=True
        )
        return np.frombuffer(done.stdout, "<f4").reshape(1, size, size)

    return answer


@pytest.fixture(scope="module", params=["package", "numpy", "c++"])
def version(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Version]:
    if request.param == "package":
        yield preprocess
    elif request.param == "numpy":
        yield numpy_version()
    else:
        yield cpp_version(tmp_path_factory.mktemp("c++"))


def read(path: Path | str) -> NDArray[Any]:
    if str(path).endswith(".pfm"):
        header, size, _, numbers = Path(path).read_bytes().split(b"\n", 3)
        assert header == b"Pf"
        width, height = map(int, size.split())
        return np.frombuffer(numbers, "<f4").reshape(height, width)[::-1].astype(np.float32)
    frame = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert frame is not None, path
    return frame


def equal(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and np.array_equal(
        found.astype(np.float32).view(np.uint32), expected.view(np.uint32)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", INDEX)
def test_a_golden_frame_becomes_its_golden_codes(version: Version, name: str) -> None:
    entry = INDEX[name]
    frame = read(GOLDEN / entry["frame"])
    codes = read(GOLDEN / entry["codes"])
    assert codes.dtype == np.uint16
    assert codes.shape == (entry["size"], entry["size"])
    spec = SensorSpec.from_dict(entry["sensor"])
    assert equal(version(frame, spec, entry["size"]), to_unit(codes)[np.newaxis])


def test_the_golden_frames_are_small_and_say_what_they_were_resized_to() -> None:
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < 300_000
    assert {entry["resize_side"] for entry in INDEX.values()} == {73, 128}
    assert all(entry["resize_side"] == resize_side(entry["size"]) for entry in INDEX.values())
    kinds = {(entry["sensor"]["kind"], entry["sensor"]["dtype"]) for entry in INDEX.values()}
    assert kinds == {
        ("depth", "uint16"), ("depth", "uint8"), ("depth", "float32"), ("nir", "uint16"), ("nir", "uint8"),
        ("thermal", "uint16"), ("thermal", "float32"),
    }  # fmt: skip
    assert {entry["sensor"]["encoding"] for entry in INDEX.values()} == {"linear", "sunrgbd", "disparity"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numpy", "c++"])
def test_frames_of_every_shape_come_out_alike(name: str, tmp_path: Path) -> None:
    version = numpy_version() if name == "numpy" else cpp_version(tmp_path)
    random, spec = np.random.default_rng(7), load_sensor("depth")
    for turn in range(60):
        size = int(random.integers(1, 70))
        height, width = (int(n) for n in random.integers(1, 300, 2))
        if turn % 20 == 0:  # whole factors of more than 256 pixels: float32 sums then depend on their order
            height = width = resize_side(size) * 18
        frame = random.integers(turn % 2, 9000, (height, width)).astype(np.uint16)
        if turn % 3 == 0:
            frame[random.random(frame.shape) < 0.7] = 0
        frame[height // 2, width // 2] = 5
        expected = preprocess(frame, spec, size)
        assert equal(version(frame, spec, size), expected), (size, height, width)


CELSIUS = SensorSpec("thermal", "float32", unit_k=1.0, offset_k=273.15, cold_c=-5.5, hot_c=31.0)
STEREO = SensorSpec(
    "depth", encoding="disparity", unit_px=1 / 256, offset_px=-0.7, baseline_m=0.54, focal_px=721.5377,
    near_m=2.0, far_m=80.0, invalid=(0,),
)  # fmt: skip
QUANTITIES = {
    "metres": load_sensor("depth-m"),
    "millimetres, a wild pixel": SensorSpec(
        "depth", "float32", unit_m=0.001, near_m=0.3, far_m=7.7, invalid=(1234.5, 0.1)
    ),
    "reflectance": SensorSpec("nir", "float32", black=0.01, white=0.85),
    "degrees Celsius": CELSIUS,
    "centikelvin": load_sensor("lepton"),
    "disparity": STEREO,
}


def frame_of(spec: SensorSpec, random: np.random.Generator, shape: tuple[int, int]) -> NDArray[Any]:
    """Numbers over the range and a fifth beyond, with everything that is no measurement."""
    low, high = spec.range
    span = high - low
    values = random.uniform(low - 0.2 * span, high + 0.2 * span, shape)
    if spec.encoding == "disparity":
        assert spec.unit_px is not None
        raw = (0.54 * 721.5377 / np.maximum(values, 1) + 0.7) / spec.unit_px
    elif spec.kind == "thermal":
        assert spec.unit_k is not None
        raw = (values + 273.15 - (spec.offset_k or 0)) / spec.unit_k
    else:
        raw = values / (spec.unit_m or 1)
    frame = raw.astype(spec.numpy_dtype)
    holes = random.random(shape) < 0.3
    nothing = [np.nan, np.inf, -np.inf, 0, -0.0, -1, *spec.invalid] if spec.is_float else [0, 100]
    frame[holes] = random.choice(nothing, int(holes.sum()))
    return frame


@pytest.mark.slow
@pytest.mark.parametrize("what", QUANTITIES)
def test_every_quantity_comes_out_alike(what: str, version: Version) -> None:
    random, spec = np.random.default_rng(11), QUANTITIES[what]
    for size, shape in ((64, (120, 160)), (32, (37, 37)), (56, (40, 90))):
        frame = frame_of(spec, random, shape)
        assert equal(version(frame, spec, size), preprocess(frame, spec, size)), (size, shape)


@pytest.mark.slow
def test_half_precision_is_the_same_numbers(version: Version) -> None:
    """float16 is a part of float32: what a program of float32 makes of the same numbers is right for both."""
    half = SensorSpec("depth", "float16", unit_m=1.0, near_m=0.5, far_m=6.5)
    frame = frame_of(half, np.random.default_rng(5), (48, 64))
    single = SensorSpec("depth", "float32", unit_m=1.0, near_m=0.5, far_m=6.5)
    assert equal(version(frame.astype(np.float32), single, 32), preprocess(frame, half, 32))


def real_frames(data: Path) -> Iterator[tuple[str, str]]:
    yield from ((str(file), "depth") for file in sorted(data.glob("sensor16/depth/*.png")))
    for file in sorted(data.glob("sensor16/ir/*.png")):
        yield str(file), "nir8" if read(file).dtype == np.uint8 else "nir"
    yield from ((str(file), "sunrgbd") for file in sorted(data.glob("SUNRGBD/**/depth*/*.png")))
    yield from (
        (str(file), "nyuv2") for file in sorted(data.glob("nyuv2/**/*.png"))[::97] if "depth" in str(file)
    )


@pytest.mark.slow
def test_real_frames_come_out_alike(version: Version, data_dir: Path) -> None:
    found = list(real_frames(data_dir))
    assert {sensor for _, sensor in found} >= {"depth", "sunrgbd", "nyuv2"}
    for path, sensor in found:
        frame, spec = read(path), load_sensor(sensor)
        for size in (64, 112, 224):
            assert equal(version(frame, spec, size), preprocess(frame, spec, size)), (path, size)
