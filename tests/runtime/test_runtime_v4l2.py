"""A V4L2 camera, answered by an LD_PRELOAD shim in front of the real OpenCV."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.bundle import Bundle
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import open_engine
from tgkt_edge.sensor import PRESETS

HEIGHT, WIDTH, BASE = 48, 64, 4096
CAMERA = "v4l2:///dev/video42"

# Reads four frames and saves them: what the source hands out, not what a model makes of it.
READ_FOUR = """
import sys
import numpy as np
from tgkt_edge.runtime import open_source
from tgkt_edge.sensor import PRESETS
with open_source(sys.argv[1], PRESETS[sys.argv[2]]) as source:
    assert source.live
    frames = [source.read().frame for _ in range(4)]
np.savez(sys.argv[3], *frames)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to compile the V4L2 shim")
    library = tmp_path_factory.mktemp("shim") / "v4l2_shim.so"
    source = Path(__file__).with_name("v4l2_shim.c")
    subprocess.run(
        [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
    )
    return str(library)


def painted(number: int) -> NDArray[np.uint16]:
    """Frame ``number`` of the shim, as its header comment says."""
    counts = BASE + 257 * number + 3 * np.arange(HEIGHT * WIDTH)
    return (counts % 65536).astype(np.uint16).reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("preset", "formats"),
    [
        ("depth", "Y16 "),
        ("depth", "YUYV,Z16 "),
        ("nir", "YUYV,Y16 "),
        ("nir", "Y10 ,YUYV"),
        ("nir", "YUYV,Y12 "),
        ("nir8", "YUYV,GREY"),
    ],
)
def test_counts_arrive_unshifted(tmp_path: Path, shim: str, kit: Any, preset: str, formats: str) -> None:
    saved = tmp_path / "frames.npz"
    env = kit.environment(LD_PRELOAD=shim, SHIM_FORMATS=formats)
    subprocess.run([sys.executable, "-c", READ_FOUR, CAMERA, preset, saved], env=env, check=True, timeout=60)
    with np.load(saved) as archive:
        frames = [archive[name] for name in archive.files]
    dtype = PRESETS[preset].numpy_dtype
    # OpenCV throws away the frames that it takes while it negotiates: the first one here has any number.
    every = [painted(number).astype(dtype) for number in range(20)]
    first = next(number for number in range(16) if np.array_equal(every[number], frames[0]))
    for number, frame in enumerate(frames, start=first):
        assert frame.dtype == dtype
        np.testing.assert_array_equal(frame, every[number])


def test_run_classifies_the_camera_bit_for_bit(shim: str, kit: Any, depth_bundle: Bundle) -> None:
    done = kit.run_cli(
        "run", depth_bundle.path, "--camera", CAMERA, "--max-frames", 5, "--drop", "none", LD_PRELOAD=shim
    )
    assert done.code == 0, done.stderr
    assert [record["frame"] for record in done.records] == list(range(5))
    engine = open_engine(depth_bundle)
    expected = [
        engine.infer(preprocess(painted(number), depth_bundle.sensor, depth_bundle.size)[np.newaxis])[1][0]
        for number in range(12)
    ]
    found = []
    for record in done.records:
        by_label = {entry["label"]: entry["probability"] for entry in record["top"]}
        found.append(np.array([by_label[name] for name in depth_bundle.classes], np.float32))
    first = next(number for number in range(8) if np.array_equal(expected[number], found[0]))
    for offset, probabilities in enumerate(found):
        np.testing.assert_array_equal(probabilities, expected[first + offset])
    assert {record["source"] for record in done.records} == {"/dev/video42"}


def test_unplugged_camera_exits_5_after_the_summary(shim: str, kit: Any, depth_bundle: Bundle) -> None:
    done = kit.run_cli(
        "run", depth_bundle.path, "--camera", CAMERA, "--drop", "none", LD_PRELOAD=shim, SHIM_FRAMES="8"
    )
    assert done.code == 5
    assert 0 < len(done.records) <= 8
    assert done.stderr.index(f"{len(done.records)} frames (0 bad") < done.stderr.index("error: /dev/video42")
    assert "unplugged" in done.stderr


@pytest.mark.parametrize(
    ("formats", "texts"),
    [
        ("YUYV", ["Wanted pixel format Z16, Y16, Y12, Y10", "offers: YUYV", "--sensor"]),
        ("GREY,YUYV", ["none of these is offered", "offers: GREY"]),
        ("Z16 ", ["Z16 alone"]),
    ],
)
def test_camera_without_the_right_format(
    shim: str, kit: Any, depth_bundle: Bundle, formats: str, texts: list[str]
) -> None:
    done = kit.run_cli("run", depth_bundle.path, "--camera", CAMERA, LD_PRELOAD=shim, SHIM_FORMATS=formats)
    assert done.code == 5
    assert done.records == []
    for text in texts:
        assert text in done.stderr


def test_camera_of_another_size(tmp_path: Path, shim: str, kit: Any) -> None:
    bundle = kit.save_bundle(tmp_path / "bundle", PRESETS["depth"].with_size(640, 480))
    done = kit.run_cli("run", bundle.path, "--camera", CAMERA, LD_PRELOAD=shim)
    assert done.code == 5
    assert "640x480" in done.stderr
    assert "(48, 64)" in done.stderr
