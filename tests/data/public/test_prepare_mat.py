"""NYU Depth v2's .mat as MATLAB 7.3 writes it: transposed arrays, text behind references, 512 bytes before HDF5."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tgkt_edge.cli.main import app
from tgkt_edge.data.loading import load_frames, load_images, load_pairs
from tgkt_edge.data.public.nyuv2 import millimetres
from tgkt_edge.data.public.prepare import prepare
from tgkt_edge.errors import DataError, MissingDependency
from tgkt_edge.io.images import read_frame, read_rgb
from tgkt_edge.sensor import PRESETS, load_sensor

h5py = pytest.importorskip("h5py")

SCENES = ("kitchen", "bedroom", "office", "bathroom", "living_room")
H, W = 12, 16


def labelled_mat(path: Path, **fields: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Write the fields that are read, in the set's own layout; ``fields`` replaces some, None leaves one out.

    Returns:
        images (N, H, W, 3) and rawDepths (N, H, W) in metres, upright.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (len(SCENES), H, W, 3)).astype(np.uint8)
    raw = rng.uniform(0.7, 9.99, (len(SCENES), H, W)).astype(np.float32)
    filled = raw.copy()
    raw[:, :3] = 0  # no measurement
    contents: dict[str, Any] = {
        "images": images.transpose(0, 3, 2, 1),
        "rawDepths": raw.transpose(0, 2, 1),
        "depths": filled.transpose(0, 2, 1),
        **fields,
    }
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in contents.items():
            if array is not None:
                file[name] = array
        references = file.create_dataset("sceneTypes", (1, len(SCENES)), h5py.ref_dtype)
        for index, scene in enumerate(SCENES):
            text = file.create_dataset(
                f"#refs#/{index}", data=np.array([[ord(letter)] for letter in scene], np.uint16)
            )
            references[0, index] = text.ref
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")
    return images, raw


def test_images_and_raw_depth_come_out_upright_and_exact(tmp_path: Path) -> None:
    images, raw = labelled_mat(tmp_path / "nyu.mat")
    (report,) = prepare("nyuv2", tmp_path / "nyu.mat", tmp_path / "out", depth="raw")
    for i in range(len(SCENES)):
        np.testing.assert_array_equal(read_rgb(tmp_path / "out" / "rgb" / f"{i:04d}.png"), images[i])
        frame = read_frame(tmp_path / "out" / "depth" / f"{i:04d}.png")
        assert frame.dtype == np.uint16
        assert np.abs(frame / 1000 - raw[i]).max() <= 0.0005 + 1e-6
        np.testing.assert_array_equal(frame == 0, raw[i] == 0)
    assert report["classes"] == ["bathroom", "bedroom", "kitchen"]
    assert report["pairs_by_scene"] == {"living_room": 1, "office": 1}
    assert (
        "target frames: 3, but 814 in this project's split nyuv2-5, which is not the paper's"
        in report["differs"]
    )


def test_filled_depth_has_no_holes_and_the_folder_may_move(tmp_path: Path) -> None:
    labelled_mat(tmp_path / "nyu.mat")
    prepare("nyuv2", tmp_path / "nyu.mat", tmp_path / "out")
    assert all(read_frame(file).min() > 0 for file in (tmp_path / "out" / "depth").iterdir())
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    sensor = load_sensor(str(moved / "sensor.yaml"))
    frames, pinned = load_frames(moved / "target.csv", sensor, 32)
    assert (len(frames), pinned.size) == (3, (W, H))
    assert len(load_images(moved / "source.csv", 32)) == 3
    assert len(load_pairs(moved / "paired.csv", sensor, 32)) == 2


def test_depth_reaches_as_far_as_in_the_8_bit_copy(tmp_path: Path) -> None:
    """Frames of either form are the same input: what lies beyond 8 m differs there, and so it must here."""
    metres = np.full((len(SCENES), W, H), 9.5, np.float32)
    metres[:, 0] = 8.5
    labelled_mat(tmp_path / "nyu.mat", depths=metres)
    prepare("nyuv2", tmp_path / "nyu.mat", tmp_path / "out")
    sensor, copy = load_sensor(str(tmp_path / "out" / "sensor.yaml")), PRESETS["nyuv2"]
    assert sensor == replace(PRESETS["depth"], far_m=9.995)
    assert sensor.range == copy.range
    frame = read_frame(tmp_path / "out" / "depth" / "0000.png")
    counts = np.round(metres[0].T / 9.995 * 255).astype(np.uint8)
    np.testing.assert_allclose(sensor.decode(frame), copy.decode(counts), atol=0.02)  # half a count of 8 bits


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rawDepths": None}, r"has no rawDepths; it holds .*images.*Expected the labelled set"),
        ({"images": np.zeros((5, H, W, 3), np.uint8)}, r"expected \(N, 3, width, height\) uint8"),
        ({"images": np.zeros((4, 3, W, H), np.uint8)}, r"images \(4, 3, 16, 12\) uint8"),
        (
            {"rawDepths": np.full((5, W, H), 70.0)},
            r"frame 0: depth from 70\.0 m to 70\.0 m: expected 0 to 65\.535",
        ),
    ],
)
def test_another_mat_file_is_refused_by_what_it_holds(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    labelled_mat(tmp_path / "other.mat", **fields)
    with pytest.raises(DataError, match=message):
        prepare("nyuv2", tmp_path / "other.mat", tmp_path / "out", depth="raw")
    assert [path.name for path in tmp_path.iterdir()] == ["other.mat"]


def test_a_damaged_file_is_named_wherever_the_damage_is(tmp_path: Path) -> None:
    """Half a download, and bytes that changed: h5py has an exception of another class for nearly every place."""
    labelled_mat(tmp_path / "nyu.mat")
    data = (tmp_path / "nyu.mat").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for attempt in range(60):
        damaged = bytearray(data)
        if attempt < 10:
            del damaged[rng.integers(520, len(data)) :]
        else:
            for place in rng.integers(528, len(data), 64):
                damaged[place] = rng.integers(256)
        (tmp_path / "nyu.mat").write_bytes(damaged)
        try:
            prepare("nyuv2", tmp_path / "nyu.mat", tmp_path / f"out{attempt}")
        except DataError as error:
            assert str(error).startswith(f"{tmp_path / 'nyu.mat'}"), attempt  # noqa: PT017
            refused += 1
    assert refused > 30
    assert not list(tmp_path.glob(".out*"))


def test_a_file_that_is_no_hdf5(tmp_path: Path) -> None:
    (tmp_path / "old.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(600))
    with pytest.raises(
        DataError, match=r"looked for nyu_depth_v2_labeled\.mat \(MATLAB 7\.3\).*found a file"
    ):
        prepare("nyuv2", tmp_path / "old.mat", tmp_path / "out")


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled_mat(tmp_path / "nyu.mat")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(MissingDependency, match=r"\[data\]"):
        prepare("nyuv2", tmp_path / "nyu.mat", tmp_path / "out")


def test_rounding_to_millimetres() -> None:
    metres = np.array([[0.0, np.nan, 0.0004, 0.0006, 1.2344, 9.9955, 65.535]])
    assert millimetres(metres, "frame").tolist() == [[0, 0, 0, 1, 1234, 9996, 65535]]
    for bad in (-0.1, np.inf):
        with pytest.raises(DataError, match="frame: depth from"):
            millimetres(np.array([[1.0, bad]]), "frame")


def test_the_command_line(tmp_path: Path) -> None:
    labelled_mat(tmp_path / "nyu.mat")
    words = ["data", "prepare", "nyuv2", str(tmp_path / "nyu.mat"), "-o", str(tmp_path / "out")]
    logged = CliRunner().invoke(app, words)
    assert logged.exit_code == 0, logged.output
    assert "3 source images and 3 target frames of 3 classes, 2 pairs of 2 other scenes" in logged.stderr
    assert f"next: tgkt-edge adapt --source {tmp_path / 'out'}/source.csv" in logged.stderr
    assert logged.stdout == ""
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2
    assert "already exists and is not empty" in again.stderr
    asked = CliRunner().invoke(app, [*words[:-1], str(tmp_path / "json"), "--json"])
    assert json.loads(asked.stdout)[0]["counts"]["target_frames"] == 3
