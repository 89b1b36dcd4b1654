"""``data import`` of files: times by names, file system or lists; pairs by time as TUM's; confidence as a mask."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from typer.testing import CliRunner

from tgkt_edge.cli.main import app
from tgkt_edge.data.loading import load_pairs
from tgkt_edge.errors import ConfigError, DataError, UsageError
from tgkt_edge.io.file_times import times_of
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import PRESETS, load_sensor

RANDOM = np.random.default_rng(3)


def frames(count: int) -> list[NDArray[Any]]:
    return [RANDOM.integers(1, 40000, (24, 32)).astype(np.uint16) for _ in range(count)]


def index(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


def tum(folder: Path, depth: list[NDArray[Any]], shift: float = 0.0) -> Path:
    """As the RGB-D sets of TUM are laid out: both cameras at 30 a second, each with its own times as names."""
    for name in ("depth", "rgb"):
        (folder / name).mkdir(parents=True)
    for number, frame in enumerate(depth):
        at = 1305031102.160407 + number / 30
        assert cv2.imwrite(str(folder / f"depth/{at:.6f}.png"), frame)
        color = np.full((24, 32, 3), (number, 0, 255), np.uint8)
        assert cv2.imwrite(str(folder / f"rgb/{at + 0.015 + shift:.6f}.png"), color)
    return folder


def test_tum_s_folders_become_pairs_by_the_times_in_their_names(tmp_path: Path) -> None:
    depth = frames(7)
    summary = import_data(tum(tmp_path / "in", depth), tmp_path / "out", sensor="tum", pair=True)
    assert (summary.frames, summary.alone, summary.bad) == (7, 0, 0)
    for number, line in enumerate(index(tmp_path / "out")):
        assert line["time"] == pytest.approx(1305031102.160407 + number / 30, abs=1e-6)
        assert line["skew_ms"] == pytest.approx(15, abs=0.01)
        frame = cv2.imread(str(tmp_path / "out" / line["file"]), cv2.IMREAD_UNCHANGED)
        rgb = cv2.imread(str(tmp_path / "out" / line["rgb"]))
        assert rgb is not None
        np.testing.assert_array_equal(frame, depth[number])
        assert rgb[0, 0].tolist() == [number, 0, 255]
    assert len(load_pairs(tmp_path / "out", load_sensor(str(tmp_path / "out/sensor.yaml")), 16)) == 7


def test_frames_without_an_rgb_image_in_time_are_left_out_and_counted(tmp_path: Path) -> None:
    src = tum(tmp_path / "in", frames(7))
    for file in sorted((src / "rgb").iterdir())[2:4]:
        file.unlink()
    summary = import_data(src, tmp_path / "out", sensor="tum", pair=True)
    assert (summary.frames, summary.alone) == (5, 2)
    with pytest.raises(
        DataError, match=r"no frame has an RGB image within 20 ms; the nearest lie about 50 s apart"
    ):
        import_data(
            tum(tmp_path / "late", frames(3), shift=50.05), tmp_path / "none", sensor="tum", pair=True
        )
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("1305031102.175304", 1305031102.175304),
        ("frame-12.25", 12.25),
        ("1700000000123.456", 1_700_000_000.123456),  # milliseconds, of which a part
        ("1700000000", 1_700_000_000),
        ("depth_1700000000123", 1_700_000_000.123),
        ("1700000000123456_d", 1_700_000_000.123456),
        ("1700000000123456789", 1_700_000_000.123456789),
        ("cam0_20231114_221320", 1_700_000_000),
        ("2023-11-14T22-13-20.5", 1_700_000_000.5),
        ("20231114221320_250", 1_700_000_000.25),
    ],
)
def test_a_name_says_a_time_in_one_way_only(name: str, seconds: float) -> None:
    assert times_of([Path(f"a/{name}.png")], "name", dict) == [pytest.approx(seconds, abs=1e-6)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    ["000123", "frame", "1700000000_1700000001", "2023-11-14", "99999999999999_1.5_2.5", "12345678901.5"],
)
def test_a_name_that_says_no_time_is_refused_with_what_would(name: str) -> None:
    with pytest.raises(
        DataError, match=r"holds no time that is known: expected seconds \(1305031102\.175304\)"
    ):
        times_of([Path(f"{name}.png")], "name", dict)  # type: ignore[arg-type]


def test_times_of_the_file_system_and_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(frames(3)):
        cv2.imwrite(str(tmp_path / f"in/{number}.png"), frame)
        os.utime(tmp_path / f"in/{number}.png", (0, 1000.5 + 2 - number))
    import_data(tmp_path / "in", tmp_path / "a", sensor="depth", times="mtime")
    assert [line["time"] for line in index(tmp_path / "a")] == [
        1000.5,
        1001.5,
        1002.5,
    ]  # in the order of their times
    (tmp_path / "list.csv").write_text("file,time\nin/0.png,7.5\n1.png,8\nin/2.png,8.25\n")
    import_data(tmp_path / "in", tmp_path / "b", sensor="depth", times=str(tmp_path / "list.csv"))
    assert [line["time"] for line in index(tmp_path / "b")] == [7.5, 8.0, 8.25]
    for text, words in (
        ("file,time\nin/0.png,7.5\n", "lists no time of .*1.png"),
        ("file,time\nin/0.png,noon\n", "line 2: 'noon' is no number of seconds"),
        ("file,time\nin/0.png,nan\n", "line 2: 'nan' is no number of seconds"),
        ("file,time\nin/0.png,inf\n", "line 2: 'inf' is no number of seconds"),
    ):
        (tmp_path / "list.csv").write_text(text)
        with pytest.raises(DataError, match=words):
            import_data(tmp_path / "in", tmp_path / "c", sensor="depth", times=str(tmp_path / "list.csv"))
    (tmp_path / "list.csv").write_text("file,time\ndepth/0.png,7\nrgb/0.png,9\nin/1.png,8\nin/2.png,8\n")
    with pytest.raises(
        DataError, match=r"lists no time of .*in/0\.png"
    ):  # of two files of its name, and not of it
        import_data(tmp_path / "in", tmp_path / "c", sensor="depth", times=str(tmp_path / "list.csv"))
    with pytest.raises(DataError, match="`times=clock`: expected name, mtime, or a CSV"):
        import_data(tmp_path / "in", tmp_path / "c", sensor="depth", times="clock")


@pytest.mark.parametrize("kind", ["counts", "metres"])
def test_what_the_sensor_is_not_sure_of_becomes_no_measurement(kind: str, tmp_path: Path) -> None:
    """As the depth cameras of phones deliver it: 0, 1 and 2 beside each frame."""
    counts = frames(1)[0]
    frame = counts if kind == "counts" else counts.astype(np.float32) / 1000
    sure = RANDOM.integers(0, 3, frame.shape).astype(np.uint8)
    for name in ("depth", "confidence"):
        (tmp_path / name).mkdir()
    if kind == "counts":
        cv2.imwrite(str(tmp_path / "depth/1.50.png"), frame)
    else:
        np.save(tmp_path / "depth/1.50.npy", frame)
    cv2.imwrite(str(tmp_path / "confidence/1.50.png"), sure)
    sensor = "depth" if kind == "counts" else "depth-m"
    how: dict[str, Any] = {"sensor": sensor, "confidence": tmp_path / "confidence", "min_confidence": 2}
    import_data(tmp_path / "depth", tmp_path / "out", **how)
    (line,) = index(tmp_path / "out")
    path = tmp_path / "out" / line["file"]
    read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) if kind == "counts" else np.load(path)
    assert read is not None
    expected = np.where(sure >= 2, frame, np.nan if kind == "metres" else 0)
    np.testing.assert_array_equal(read, expected)
    cv2.imwrite(str(tmp_path / "confidence/1.50.png"), sure[:-1])
    with pytest.raises(DataError, match=r"none of 1 frames can be used \(1 bad\)"):
        import_data(tmp_path / "depth", tmp_path / "b", **how)
    for wrong, words in (
        ({"min_confidence": None}, "`confidence=FOLDER` and `min_confidence=N` belong together"),
        ({"min_confidence": float("nan")}, "`min_confidence=nan`: expected a finite number"),
        ({"sensor": "nir"}, "the SensorSpec names no 'invalid' count"),
        ({"confidence": tmp_path / "nothing"}, "`confidence=.*nothing`: no such folder"),
    ):
        with pytest.raises((UsageError, DataError, ConfigError), match=words):
            import_data(tmp_path / "depth", tmp_path / "c", **{**how, **wrong})


def test_two_images_of_confidence_for_one_frame_are_refused(tmp_path: Path) -> None:
    """Which of them belongs to it cannot be known."""
    for place in ("depth", "confidence/a", "confidence/b"):
        (tmp_path / place).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / place / "1.50.png"), frames(1)[0])
    with pytest.raises(DataError, match=r"a/1\.50\.png and .*b/1\.50\.png have one name"):
        import_data(
            tmp_path / "depth",
            tmp_path / "out",
            sensor="depth",
            confidence=tmp_path / "confidence",
            min_confidence=1,
        )


def test_folders_that_are_not_clear_are_named(tmp_path: Path) -> None:
    src = tum(tmp_path / "in", frames(2))
    (src / "ir").mkdir()
    for how, words in (
        ({"sensor": "tum"}, r"has the folders depth, ir\. Name one with `topic`"),
        ({"sensor": "tum", "topic": "deep"}, r"`topic=deep`: .* has no such folder\. It has depth, ir, rgb"),
        ({"sensor": "tum", "topic": "depth", "rgb_topic": "b"}, "`rgb_topic=b`: .* has no such folder"),
        ({"sensor": "tum", "topic": "ir"}, "ir: holds no image"),
        ({"topic": "depth"}, "`sensor` is missing"),
        ({"sensor": "tum", "clock": "received"}, "`clock=received` is for recordings"),
        (
            {"sensor": "tum", "max_skew_ms": float("inf")},
            "`max_skew_ms=inf`: expected a finite number above 0",
        ),
        ({"sensor": "tum", "form": "gif"}, "`form=gif`: expected png or ffv1"),
        (
            {"sensor": "tum", "topic": "depth", "pair": True, "form": "ffv1"},
            "`pair`: pairs are written as PNG",
        ),
    ):
        with pytest.raises((UsageError, DataError), match=words):
            import_data(src, tmp_path / "out", **how)
        assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="does not exist"):
        import_data(tmp_path / "missing", tmp_path / "out", sensor="tum")
    with pytest.raises(DataError, match="has no folder of RGB images"):
        import_data(src / "depth", tmp_path / "out", sensor="tum", pair=True)


def test_pages_of_a_stack_share_its_time_and_the_command_says_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stack = np.stack(frames(3))
    tifffile.imwrite(tmp_path / "in/1700000000.tif", stack, photometric="minisblack")
    words = [
        "data",
        "import",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--sensor",
        "lepton",
        "--json",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["frames"] == 3
    assert [line["time"] for line in index(tmp_path / "out")] == [1.7e9] * 3
    assert load_sensor(str(tmp_path / "out/sensor.yaml")).kind == PRESETS["lepton"].kind


@pytest.mark.parametrize("made", [True, False])
def test_frames_without_any_measurement_are_counted_and_nothing_else_is_no_import(
    made: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for second in range(3):
        np.save(tmp_path / f"in/170000000{second}.npy", np.full((24, 32), np.nan, np.float32))
    if made:
        (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"none of 3 frames holds a measurement: .*NaN, infinite, 0 or less"):
        import_data(tmp_path / "in", tmp_path / "out", sensor="depth-m")
    assert (tmp_path / "out").exists() == made
    one = np.full((240, 320), np.nan, np.float32)
    one[1, 1] = 2.5  # beside the sample of pixels that is looked at first
    np.save(tmp_path / "in/1700000009.npy", one)
    for file in tmp_path.glob("in/170000000[012].npy"):
        np.save(file, np.full((240, 320), np.nan, np.float32))
    summary = import_data(tmp_path / "in", tmp_path / "out", sensor="depth-m")
    assert (summary.frames, summary.blank) == (4, 3)
    assert "4 frames of " in summary.text()
    assert "3 without a measurement" in summary.text()
    assert "3 of 4 frames hold no measurement" in caplog.text


def test_frames_that_only_have_an_order_need_no_import(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert cv2.imwrite(str(tmp_path / "in/000001.png"), frames(1)[0])
    with pytest.raises(
        DataError, match=r"an order only .* adapt, run and predict.*CSV with columns file,time"
    ):
        import_data(tmp_path / "in", tmp_path / "out", sensor="depth")
