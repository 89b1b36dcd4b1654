"""Thermal cameras that add rows of telemetry to their pictures: refused with what to do, or cut off."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.cli import cli_environment
from tests.support.recordings import record_quietly, replay
from tests.support.v4l2 import CAMERA
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import DataError, FrameError, SourceLostError, UsageError
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS, load_sensor

LEPTON, BOSON = PRESETS["lepton"], PRESETS["boson"]
WARM = 29_000 + np.random.default_rng(0).integers(0, 900, (3, 120, 160)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three frames of a Lepton 3 with telemetry below."""
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(WARM):
        rows = np.random.default_rng(number).integers(0, 65536, (2, 160)).astype(np.uint16)
        cv2.imwrite(str(tmp_path / f"in/{number}.png"), np.vstack([frame, rows]))
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("size", "camera"),
    [
        ((80, 63), "Lepton 2 with 3"),
        ((160, 122), "Lepton 3 with 2"),
        ((320, 258), "Boson 320"),
        ((640, 514), "Boson 640"),
    ],
)
def test_sizes_with_telemetry_are_refused_with_what_to_do(size: tuple[int, int], camera: str) -> None:
    frame = np.full(size[::-1], 29_500, np.uint16)
    for spec in (LEPTON, LEPTON.with_size(160, 120), dataclasses.replace(BOSON, size=None)):
        with pytest.raises(
            FrameError, match=rf"{camera}.*no temperatures\. Cut them off: CAMERA\?telemetry=footer"
        ):
            spec.check(frame)
    LEPTON.with_size(*size).check(frame)  # a person says that these are pictures
    PRESETS["depth"].check(frame)
    LEPTON.check(np.full((120, 160), 29_500, np.uint16))


def test_frames_of_a_folder_are_cut_and_recorded(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows of telemetry"):
        load_frames(folder, LEPTON, 32)
    record_quietly(f"{folder}?telemetry=footer", tmp_path / "out", sensor="lepton")
    found = replay(tmp_path / "out", "lepton")
    np.testing.assert_array_equal([captured.frame for captured in found], WARM)
    assert load_sensor(str(tmp_path / "out/sensor.yaml")).size == (160, 120)
    head = replay(Path(f"{folder}?telemetry=header"), "lepton")
    assert head[0].frame.shape == (120, 160)
    np.testing.assert_array_equal(head[0].frame[:118], WARM[0][2:])


def test_what_has_no_telemetry_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"telemetry=below`: expected header or footer"):
        open_source(f"{folder}?telemetry=below", LEPTON)
    record_quietly(f"{folder}?telemetry=footer", tmp_path / "out", sensor="lepton")
    with (
        pytest.raises(SourceLostError, match="160x120 pixels, at which no rows of telemetry are known"),
        open_source(f"{tmp_path / 'out/frame'}?telemetry=footer", LEPTON) as source,
    ):
        source.read()


PROGRAM = """
import sys
import numpy as np
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.runtime.sources.stream_format import PinnedOpener
from tgkt_edge.sensor import PRESETS
spec = PRESETS["lepton"].with_size(160, 120) if sys.argv[2] == "sized" else PRESETS["lepton"]
opener = PinnedOpener(lambda pinned: open_source(sys.argv[1], spec, pinned=pinned))
for _ in range(2):
    with opener() as source:
        captured = source.read()
        print(source.format, captured.frame.shape, int(captured.frame[0, 0]), int(captured.frame[-1, -1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("said", ["sized", "open"])
def test_a_camera_is_asked_for_both_and_its_rows_are_cut(shim: str, said: str) -> None:
    env = cli_environment(
        LD_PRELOAD=shim, SHIM_FORMATS="Y16 ", SHIM_WIDTH="160", SHIM_HEIGHT="122", SHIM_BASE="7000"
    )
    command = [sys.executable, "-c", PROGRAM, f"{CAMERA}?telemetry=header", said]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first = (7000 + 3 * 2 * 160) % 65536
    last = (7000 + 3 * (122 * 160 - 1)) % 65536
    assert done.stdout.splitlines()[0].startswith(f"Y16 160x120 (120, 160) {first} {last}")
    assert len(done.stdout.splitlines()) == 2
    command[3] = CAMERA
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "rows of telemetry" in done.stderr
