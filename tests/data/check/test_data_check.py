"""What ``data check`` says of pairs whose faults are known: moved, enlarged, mixed up, copied, dark, empty."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tgkt_edge.cli.main import app
from tgkt_edge.data.check.alignment import measure_alignment
from tgkt_edge.data.check.check import DataReport, check_data, note_quickly
from tgkt_edge.data.check.copies import nearest, thumbnails
from tgkt_edge.data.check.edges import REACH, SIDE, correlations, edge_map, warped
from tgkt_edge.data.loading import Frames, Pairs, load_pairs
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import PRESETS, SensorSpec

Scene = tuple[NDArray[Any], NDArray[Any]]


def scenes(count: int, seed: int = 0, size: tuple[int, int] = (240, 320)) -> list[Scene]:
    """RGB and millimetres of boxes before a wall: each box has a distance and a color of its own, both have noise."""
    found = []
    for number in range(count):
        random = np.random.default_rng(seed * 1000 + number)
        rgb = np.full((*size, 3), random.integers(60, 200, 3), np.float64)
        depth = np.full(size, random.uniform(4000, 6000))
        for _ in range(9):
            top, left = random.integers(0, size[0] - 30), random.integers(0, size[1] - 30)
            box = (slice(top, top + random.integers(25, 110)), slice(left, left + random.integers(25, 140)))
            rgb[box] = random.integers(20, 235, 3)
            depth[box] = random.uniform(800, 4000)
        rgb += random.normal(0, 6, rgb.shape)
        depth += random.normal(0, 20, size)
        depth[random.random(size) < 0.02] = 0
        found.append((rgb.clip(0, 255).astype(np.uint8), depth.clip(0, 65535).astype(np.uint16)))
    return found


def moved(rgb: NDArray[Any], across: float, down: float, right: float, below: float) -> NDArray[Any]:
    """The photograph enlarged about its centre, then moved by pixels."""
    height, width = rgb.shape[:2]
    x, y = (width - 1) / 2, (height - 1) / 2
    matrix = np.array([[across, 0, x - across * x + right], [0, down, y - down * y + below]])
    return cv2.warpAffine(rgb, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(pairs: list[Scene], name: str = "pairs") -> Path:
        for side in ("rgb", "frame"):
            (tmp_path / name / side).mkdir(parents=True)
        for number, (rgb, depth) in enumerate(pairs):
            cv2.imwrite(str(tmp_path / name / f"rgb/{number:03d}.png"), rgb[..., ::-1])
            cv2.imwrite(str(tmp_path / name / f"frame/{number:03d}.png"), depth)
        return tmp_path / name

    return write


def states(report: DataReport) -> dict[str, str]:
    return {finding.question: finding.state for finding in report.findings}


def finding(report: DataReport, question: str) -> Any:
    return next(one for one in report.findings if one.question == question)


@pytest.mark.slow
def test_good_pairs_are_good(write: Callable[..., Path]) -> None:
    report = check_data(write(scenes(12)), "depth")
    assert set(states(report).values()) == {"ok"}, report.text()
    assert states(report).keys() == {
        "files", "sizes", "alignment", "belonging", "copies (pairs)", "holes (pairs)", "range (pairs)", "exposure",
    }  # fmt: skip
    assert report.alignment is not None
    assert report.alignment.score > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("across", "down", "right", "below"),
    [(1, 1, 12, 0), (1, 1, -6, 9), (1.2, 1.2, 0, 0), (0.87, 0.87, 4, -3), (1.3, 1.1, 0, 5)],
)
def test_a_displacement_is_measured_to_a_few_pixels(
    across: float, down: float, right: float, below: float, write: Callable[..., Path]
) -> None:
    """What must be done to the photographs undoes what was done to them."""
    pairs = [(moved(rgb, across, down, right, below), depth) for rgb, depth in scenes(12)]
    report = check_data(write(pairs), "depth")
    found = report.alignment
    assert found is not None
    assert finding(report, "alignment").state == "fix", report.text()
    assert found.across == pytest.approx(1 / across, rel=0.03)
    assert found.down == pytest.approx(1 / down, rel=0.03)
    assert found.right * 320 == pytest.approx(-right / across, abs=3)
    assert found.below * 240 == pytest.approx(-below / down, abs=3)
    assert states(report)["belonging"] == "ok"  # once displaced so, they fit


def test_a_shift_points_where_it_says() -> None:
    """By hand: one bright box, 5 pixels to the right and 2 above in the photograph."""
    frame = np.zeros((SIDE, SIDE), np.float32)
    frame[60:90, 50:100] = 1
    photograph = np.roll(frame, (-2, 5), axis=(0, 1))
    surface = correlations(edge_map(photograph), edge_map(frame))
    y, x = np.unravel_index(surface.argmax(), surface.shape)
    assert (int(x) - REACH, int(y) - REACH) == (5, -2)
    assert surface.max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(warped(photograph, 1, 1, -5, 2), frame, atol=1e-6)


def test_edges_within_holes_are_none() -> None:
    """What was filled in is no measurement."""
    wall = np.full((SIDE, SIDE), 3.0, np.float32)
    filled, solid = wall.copy(), np.ones(wall.shape, np.bool_)
    solid[40:80, 40:80] = False
    filled[50:70, 50:70] = 2
    assert edge_map(filled).any()
    assert not edge_map(filled, solid).any()
    np.testing.assert_array_equal(edge_map(wall), 0)


@pytest.mark.slow
def test_pairs_that_were_mixed_up_are_found(write: Callable[..., Path]) -> None:
    good = scenes(16)
    mixed = [(rgb, good[-1 - number][1]) for number, (rgb, _) in enumerate(good)]
    report = check_data(write(mixed), "depth")
    assert finding(report, "belonging").state == "fix"
    assert "do not belong together" in finding(report, "belonging").text


@pytest.mark.slow
def test_some_wrong_pairs_among_good_ones_are_named(write: Callable[..., Path]) -> None:
    good = scenes(20)
    good[3], good[11] = (good[3][0], good[11][1]), (good[11][0], good[3][1])
    found = finding(check_data(write(good), "depth"), "belonging")
    assert found.state in ("note", "fix")
    assert {Path(name).stem for name in found.names} == {"003", "011"}


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, -2])
def test_a_list_that_slipped_is_told_from_strangers(step: int, write: Callable[..., Path]) -> None:
    good = scenes(20)
    kept = [(good[i][0], good[i - step][1]) for i in range(20) if 0 <= i - step < 20]
    found = finding(check_data(write(kept), "depth"), "belonging")
    assert found.state == "fix"
    where = "1 place below" if step == 1 else "2 places above"
    assert f"fits the frame {where} its own" in found.text
    assert found.figures["step"] == step


@pytest.mark.slow
def test_copies_dark_photographs_and_empty_frames_are_named(write: Callable[..., Path]) -> None:
    pairs = scenes(12)
    pairs[4] = pairs[3]
    pairs[7] = (np.zeros_like(pairs[7][0]), pairs[7][1])
    empty = np.zeros_like(pairs[9][1])
    empty[:20, :20] = 2000
    pairs[9] = (pairs[9][0], empty)
    report = check_data(write(pairs), "depth")
    for question, name in (("copies (pairs)", "004"), ("exposure", "007"), ("holes (pairs)", "009")):
        found = finding(report, question)
        assert found.state in ("note", "fix"), report.text()
        assert [Path(one).stem for one in found.names] == [name]


@pytest.mark.slow
def test_a_wrong_unit_and_files_of_another_kind_are_to_mend(write: Callable[..., Path]) -> None:
    folder = write(scenes(8))
    (folder / "frame/003.png").write_bytes(b"no image")
    millimetres_as_metres = replace(PRESETS["depth"], unit_m=0.1)
    report = check_data(folder, millimetres_as_metres)
    assert finding(report, "range (pairs)").state == "fix"
    assert "1 mm (unit_m: 0.001)" in finding(report, "range (pairs)").text
    assert finding(report, "files").figures == {"bad": 1}
    assert report.state == "fix"
    with pytest.raises(DataError, match="none of 8 pairs can be used"):
        check_data(folder, SensorSpec("nir", "uint8", black=0, white=255))


@pytest.mark.slow
def test_a_wider_photograph_is_noted(write: Callable[..., Path]) -> None:
    pairs = [(cv2.resize(rgb, (640, 360)), depth) for rgb, depth in scenes(6)]
    found = finding(check_data(write(pairs), "depth"), "sizes")
    assert found.state == "note"
    assert "640x360, frames of 320x240: one is wider" in found.text


@pytest.mark.slow
def test_pairs_of_the_task_s_scenes_are_noted(write: Callable[..., Path]) -> None:
    pairs, others = scenes(10), scenes(10, seed=7)
    target = write(others[:6] + pairs[2:4], "target") / "frame"
    report = check_data(write(pairs), "depth", target)
    found = finding(report, "overlap")
    assert found.state == "note"
    assert [Path(name).stem for name in found.names] == ["002", "003"]
    assert (
        states(check_data(write(pairs, "again"), "depth", write(others, "other") / "frame"))["overlap"]
        == "ok"
    )


@pytest.mark.slow
def test_times_between_the_halves_come_from_the_recording(write: Callable[..., Path]) -> None:
    folder = write(scenes(6))
    lines = [
        json.dumps({"number": n, "time": n / 10, "file": f"frame/{n:03d}.png", "skew_ms": 45.0 - n})
        for n in range(6)
    ]
    (folder / "frames.jsonl").write_text("\n".join(lines) + '\n{"cut of')
    found = finding(check_data(folder, "depth"), "times")
    assert found.state == "note"
    assert found.figures == {"median_ms": 42.5, "most_ms": 45.0}


@pytest.mark.slow
def test_the_command_prints_findings_and_ends_with_3_where_something_is_to_mend(
    write: Callable[..., Path],
) -> None:
    good = write(scenes(8))
    done = CliRunner().invoke(app, ["data", "check", str(good), "--sensor", "depth"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("ok    files           all 8 can be read and fit the sensor\n")
    bad = write([(moved(rgb, 1, 1, 14, 0), depth) for rgb, depth in scenes(8)], "bad")
    done = CliRunner().invoke(app, ["data", "check", str(bad), "--sensor", "depth", "--json"])
    assert done.exit_code == 3
    report = json.loads(done.stdout)
    assert report["state"] == "fix"
    (alignment,) = [one for one in report["findings"] if one["question"] == "alignment"]
    assert alignment["figures"]["right"] == pytest.approx(-14 / 320, abs=0.01)
    done = CliRunner().invoke(app, ["data", "check", str(good / "rgb"), "--sensor", "depth"])
    assert done.exit_code == 2


def test_the_page_shows_named_pairs_first_and_the_edges_before_and_after(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    pairs = [(moved(rgb, 1, 1, 14, 0), depth) for rgb, depth in scenes(20)]
    pairs[17] = (pairs[17][0] * 0, pairs[17][1])
    check_data(write(pairs, "a<b"), "depth", page=tmp_path / "look.html")
    text = (tmp_path / "look.html").read_text()
    assert "a&lt;b" in text
    assert "a<b" not in text
    names = re.findall(r"<h2>(.*?)</h2>", text)
    assert len(names) == 12
    assert "017.png" in names[0] + names[1]
    assert text.count("edges, once aligned") == 12
    assert '<td class="fix">fix</td><th>alignment</th>' in text
    assert not re.search(r"(src|href)=['\"](?!data:)", text)  # it needs no other file
    red = []
    for data in re.findall(r"src='data:image/jpeg;base64,(.*?)'", text)[:4]:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (240, 320, 3)
        red.append(int(((image[..., 2] > 180) & (image[..., :2] < 110).all(-1)).sum()))
    assert min(red[2:]) > 500


@pytest.mark.slow
def test_adapt_notes_what_its_quick_look_sees(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    spec = PRESETS["depth"]
    good = load_pairs(write(scenes(12)), spec, 128)
    nothing = Frames(np.zeros((0, 128, 128), np.uint16), ())
    note_quickly(good, nothing, "pairs")
    assert caplog.text == ""
    bad = load_pairs(write([(moved(rgb, 1, 1, 14, 0), depth) for rgb, depth in scenes(12)], "bad"), spec, 128)
    note_quickly(bad, nothing, "bad")
    assert (
        "`paired=bad`: photographs fit their frames when enlarged by +0%, then moved by -4% of the width"
        in caplog.text
    )
    caplog.clear()
    note_quickly(good, Frames(good.codes[:3], ("a", "b", "c")), "pairs")
    assert "`paired=pairs`: 3 of 12 frames are also target frames, or nearly" in caplog.text


def test_thumbnails_find_the_nearest() -> None:
    codes = np.stack([np.full((64, 64), value, np.uint16) for value in (0, 30000, 30100, 65535)])
    thumbs = thumbnails(codes)
    index, distance = nearest(thumbs)
    assert index[1:].tolist() == [0, 1, 2]
    np.testing.assert_allclose(distance[1:], [30000 / 65535, 100 / 65535, 35435 / 65535], atol=1e-6)
    assert np.isinf(distance[0])
    assert nearest(thumbs[:1], thumbs[2:])[0].tolist() == [0]


@pytest.mark.slow
def test_real_aligned_pairs_are_aligned_and_a_real_displacement_is_found(data_dir: Path) -> None:
    """NYU Depth v2: registered by its authors. Moved by 5 of 160 pixels, that is what is measured."""
    rgb_files = sorted((data_dir / "nyuv2/rgb").glob("*"))[::120]
    assert len(rgb_files) >= 10
    photographs, frames = [], []
    for file in rgb_files:
        (depth_file,) = (data_dir / "nyuv2/depth").glob(f"{file.stem}.*")
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        depth = cv2.imread(str(depth_file), cv2.IMREAD_UNCHANGED)
        assert grey is not None
        assert depth is not None
        photographs.append(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32))
        frames.append(
            np.log1p(cv2.resize(depth, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32))
        )
    found = measure_alignment(photographs, frames, thorough=False)
    assert not found.off
    assert max(abs(found.right), abs(found.below)) <= 1 / SIDE
    assert found.score > 0.25
    found = measure_alignment([warped(image, 1, 1, 5, 0) for image in photographs], frames, thorough=False)
    assert found.off
    assert found.right == pytest.approx(-5 / SIDE, abs=1 / SIDE)
    quarter = len(frames) // 4 + 1
    assert not measure_alignment(photographs, frames[quarter:] + frames[:quarter], thorough=False).off


def test_pairs_too_few_to_measure_are_said_so(write: Callable[..., Path]) -> None:
    report = check_data(write(scenes(3)), "depth")
    assert finding(report, "alignment").state == "note"
    assert "3 pairs are too few" in finding(report, "alignment").text
    assert "belonging" not in states(report)


def test_a_set_in_memory_of_no_pairs_is_no_trouble() -> None:
    none = Pairs(np.zeros((0, 32, 32, 3), np.uint8), np.zeros((0, 32, 32), np.uint16), ())
    note_quickly(none, Frames(np.zeros((2, 32, 32), np.uint16), ("a", "b")), "none")
