"""The `run` command, as a process, on real files: records, summary, exit codes, signals and pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.bundles import save_bundle
from tests.support.cli import cli_command, cli_environment, run_cli, split_start
from tests.support.images import make_frames, save_frames
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.cli.main import app
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import open_engine
from tgkt_edge.sensor import PRESETS


def probabilities_of(record: dict[str, Any], classes: tuple[str, ...]) -> Any:
    by_label = {entry["label"]: entry["probability"] for entry in record["top"]}
    return np.array([by_label[name] for name in classes], dtype=np.float32)


@pytest.mark.slow
def test_records_equal_engine_and_preprocess_bit_for_bit(tmp_path: Path, depth_bundle: Bundle) -> None:
    frames = make_frames(12)
    folder = save_frames(tmp_path / "f", frames)
    before = time.time()
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 0, done.stderr
    assert len(done.records) == 12
    engine = open_engine(depth_bundle)
    labels = set()
    for number, (record, frame) in enumerate(zip(done.records, frames, strict=True)):
        unit = preprocess(frame, depth_bundle.sensor, depth_bundle.size)
        expected = engine.infer(unit[np.newaxis])[1][0]
        np.testing.assert_array_equal(probabilities_of(record, depth_bundle.classes), expected)
        assert record["label"] == depth_bundle.classes[int(expected.argmax())]
        assert np.float32(record["probability"]) == expected.max()
        assert list(record) == ["time", "frame", "source", "label", "probability", "top", "ms"]
        assert record["frame"] == number
        assert record["source"] == str(folder / f"frame_{number}.png")
        assert before <= record["time"] <= time.time()
        ordered = [entry["probability"] for entry in record["top"]]
        assert ordered == sorted(ordered, reverse=True)
        ms = record["ms"]
        assert list(ms) == ["capture", "preprocess", "inference", "total"]
        assert all(value > 0 for value in ms.values())
        assert ms["total"] >= ms["capture"] + ms["preprocess"] + ms["inference"] - 0.01
        labels.add(record["label"])
    assert len(labels) > 1  # else the equality above would prove little
    assert "12 frames (0 bad, 0 dropped)" in done.stderr
    for stage in ("capture", "preprocess", "inference", "total"):
        assert f"\n  {stage} " in done.stderr
    for label in labels:
        count = sum(record["label"] == label for record in done.records)
        assert [label, str(count)] in [line.split() for line in done.stderr.splitlines()]


@pytest.mark.slow
def test_top_k_and_max_frames(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, make_frames(5))
    done = run_cli("run", depth_bundle.path, "--camera", folder, "--top-k", 1, "--max-frames", 7, "--loop")
    assert done.code == 0
    assert [record["frame"] for record in done.records] == list(range(7))
    assert [len(record["top"]) for record in done.records] == [1] * 7
    assert done.records[0]["probability"] == done.records[5]["probability"]


@pytest.mark.slow
def test_corrupt_and_covered_frames_are_records_and_the_run_goes_on(
    tmp_path: Path, depth_bundle: Bundle
) -> None:
    frames = make_frames(6)
    frames[2][:] = 0  # nothing valid: the lens is covered
    frames[4] = frames[4][:, :40]  # another size
    folder = save_frames(tmp_path, frames)
    (folder / "frame_1.png").write_bytes(b"\x89PNG broken")
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 0
    assert ["error" in record for record in done.records] == [False, True, True, False, True, False]
    bad = [record for record in done.records if "error" in record]
    assert [list(record) for record in bad] == [["time", "frame", "source", "error"]] * 3
    for record, text in zip(bad, ("frame_1.png", "every pixel is invalid", "40x48 pixels"), strict=True):
        assert text in record["error"]
    assert "6 frames (3 bad, 0 dropped)" in done.stderr


@pytest.mark.slow
def test_first_files_may_be_corrupt(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, make_frames(3))
    (folder / "frame_0.png").write_bytes(b"")
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 0
    assert "error" in done.records[0]
    assert [record["frame"] for record in done.records] == [0, 1, 2]


@pytest.mark.slow
def test_eight_bit_folder_for_a_sixteen_bit_bundle(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, make_frames(3, "uint8"))
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 5
    assert done.records == []
    assert "frame_0.png: uint8 pixels, but the sensor is uint16" in done.stderr
    assert "--sensor" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_colour_folder_is_refused(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, [np.zeros((48, 64, 3), np.uint8)])
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 5
    assert "one channel" in done.stderr


@pytest.mark.slow
def test_nothing_but_covered_frames_exits_5(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, [np.zeros((48, 64), np.uint16)] * 3)
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 5
    assert [record.get("flag", "error") for record in done.records] == ["error", "error", "invalid", "error"]
    assert "none of 3 frames could be classified" in done.stderr
    assert "every pixel is invalid" in done.stderr


@pytest.mark.slow
def test_another_sensor_may_feed_the_bundle(tmp_path: Path, depth_bundle: Bundle) -> None:
    millimetres = make_frames(4)
    folder = save_frames(tmp_path / "mm", millimetres)
    # The same scenes by a camera that counts half millimetres, calls 65535 invalid and has another range.
    other = save_frames(tmp_path / "half", [frame * 2 for frame in millimetres])
    (tmp_path / "half.yaml").write_text(
        "{kind: depth, dtype: uint16, unit_m: 0.0005, near_m: 1, far_m: 2, invalid: [65535]}"
    )
    first = run_cli("run", depth_bundle.path, "--camera", folder)
    second = run_cli("run", depth_bundle.path, "--camera", other, "--sensor", tmp_path / "half.yaml")
    assert (first.code, second.code) == (0, 0), second.stderr
    assert [record["top"] for record in first.records] == [record["top"] for record in second.records]


@pytest.mark.slow
def test_sensor_of_another_kind_is_refused(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, make_frames(1))
    done = run_cli("run", depth_bundle.path, "--camera", folder, "--sensor", "nir")
    assert done.code == 2
    assert "cannot feed a model adapted to depth" in done.stderr


@pytest.mark.slow
def test_eight_bit_sensor(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle", PRESETS["nir8"])
    frames = [make_frames(1, "uint8")[0], make_frames(1, "uint8", 1)[0][:40]]  # its sizes may differ
    folder = save_frames(tmp_path / "f", frames)
    done = run_cli("run", bundle.path, "--camera", folder)
    assert done.code == 0
    assert ["label" in record for record in done.records] == [True, True]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--camera", "foo://0"], 2, "unknown scheme 'foo'"),
        (["--camera", "nowhere/at/all"], 5, "nowhere/at/all does not exist"),
        (["--camera", ".", "--drop", "oldest"], 2, "'oldest' is not one of 'latest', 'none'"),
        (["--camera", ".", "--top-k", "0"], 2, "--top-k 0"),
        (["--camera", ".", "--max-frames", "0"], 2, "--max-frames 0"),
        (["--camera", ".", "--engine", "magic"], 2, "--engine magic: unknown"),
        (["--camera", ".", "--precision", "int8"], 4, "holds no int8 model"),
        ([], 2, "--camera"),
    ],
)
def test_bad_arguments(depth_bundle: Bundle, arguments: list[str], code: int, text: str) -> None:
    done = CliRunner().invoke(app, ["run", str(depth_bundle.path), *arguments])
    assert done.exit_code == code
    assert done.stdout == ""
    assert text in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "why"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 0, "terminated")]
)
def test_signals_end_cleanly_with_the_summary(
    tmp_path: Path, depth_bundle: Bundle, number: signal.Signals, code: int, why: str
) -> None:
    folder = save_frames(tmp_path, make_frames(3))
    path = tmp_path / "out.jsonl"
    with path.open("w") as out:
        process = subprocess.Popen(
            cli_command("run", depth_bundle.path, "--camera", folder, "--loop"),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env=cli_environment(),
        )
    wait_until(lambda: path.stat().st_size, "the first lines")
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    start, records = split_start(path.read_text())  # every line is whole
    assert start is not None
    assert process.returncode == code
    assert f"{len(records)} frames (0 bad, 0 dropped)" in stderr
    assert f"ended by: {why}" in stderr
    assert "Traceback" not in stderr


@pytest.mark.slow
def test_broken_pipe_ends_the_run_cleanly(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, make_frames(3))
    line = " ".join(cli_command("run", depth_bundle.path, "--camera", folder, "--loop"))
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=cli_environment(),
        timeout=30,
        check=True,
    )
    record, status = done.stdout.splitlines()
    assert json.loads(record)["event"] == "start"
    assert status == "0"
    assert "ended by: broken-pipe" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_is_reported(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path, make_frames(3))
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            cli_command("run", depth_bundle.path, "--camera", folder),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=cli_environment(),
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert "error: cannot write the results: No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr
