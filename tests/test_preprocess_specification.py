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

from tgkt_edge.preprocess import preprocess, resize_side, to_unit
from tgkt_edge.sensor import SensorSpec, load_sensor

Tensor = NDArray[np.float32]
Version = Callable[[NDArray[Any], SensorSpec, int], Tensor]

GOLDEN = Path(__file__).parent / "golden"
INDEX: dict[str, dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text(encoding="utf-8"))


def numpy_version(repository: Path) -> Version:
    found = importlib.util.spec_from_file_location(
        "preprocess_example", repository / "examples/preprocess.py"
    )
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return lambda frame, spec, size: module.preprocess(frame, spec.to_dict(), size)


def cpp_version(repository: Path, folder: Path) -> Version:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler (apt install g++)")
    program, pgm = folder / "preprocess", folder / "frame.pgm"
    flags = ("-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
    subprocess.run([compiler, *flags, repository / "examples/preprocess.cpp", "-o", program], check=True)

    def answer(frame: NDArray[Any], spec: SensorSpec, size: int) -> Tensor:
        big_endian = frame.astype(">u2") if frame.dtype == np.uint16 else frame
        head = f"P5\n{frame.shape[1]} {frame.shape[0]}\n{np.iinfo(frame.dtype).max}\n"
        pgm.write_bytes(head.encode() + big_endian.tobytes())
        numbers = (size, spec.unit_m or 1, *spec.range, *spec.invalid)
        words = [*map(repr, numbers), *(["sunrgbd"] if spec.encoding == "sunrgbd" else [])]
        done = subprocess.run([program, pgm, *words], capture_output=True, check=True)
        return np.frombuffer(done.stdout, "<f4").reshape(1, size, size)

    return answer


@pytest.fixture(scope="module", params=["package", "numpy", "c++"])
def version(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: Any) -> Iterator[Version]:
    if request.param == "package":
        yield preprocess
    elif request.param == "numpy":
        yield numpy_version(repository)
    else:
        yield cpp_version(repository, tmp_path_factory.mktemp("c++"))


def read(path: Path | str) -> NDArray[Any]:
    frame = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert frame is not None, path
    return frame


def equal(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and np.array_equal(
        found.astype(np.float32).view(np.uint32), expected.view(np.uint32)
    )


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
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < 200_000
    assert {entry["resize_side"] for entry in INDEX.values()} == {73, 128}
    assert all(entry["resize_side"] == resize_side(entry["size"]) for entry in INDEX.values())
    kinds = {(entry["sensor"]["kind"], entry["sensor"]["dtype"]) for entry in INDEX.values()}
    assert kinds == {("depth", "uint16"), ("depth", "uint8"), ("nir", "uint16"), ("nir", "uint8")}


@pytest.mark.parametrize("name", ["numpy", "c++"])
def test_frames_of_every_shape_come_out_alike(name: str, repository: Path, tmp_path: Path) -> None:
    version = numpy_version(repository) if name == "numpy" else cpp_version(repository, tmp_path)
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


def real_frames(data: Path) -> Iterator[tuple[str, str]]:
    yield from ((str(file), "depth") for file in sorted(data.glob("sensor16/depth/*.png")))
    for file in sorted(data.glob("sensor16/ir/*.png")):
        yield str(file), "nir8" if read(file).dtype == np.uint8 else "nir"
    yield from ((str(file), "sunrgbd") for file in sorted(data.glob("SUNRGBD/**/depth*/*.png")))
    yield from (
        (str(file), "nyuv2") for file in sorted(data.glob("nyuv2/**/*.png"))[::97] if "depth" in str(file)
    )


def test_real_frames_come_out_alike(version: Version, data_dir: Path) -> None:
    found = list(real_frames(data_dir))
    assert {sensor for _, sensor in found} >= {"depth", "sunrgbd", "nyuv2"}
    for path, sensor in found:
        frame, spec = read(path), load_sensor(sensor)
        for size in (64, 112, 224):
            assert equal(version(frame, spec, size), preprocess(frame, spec, size)), (path, size)
