"""``frames:DIR``: which frames are kept, never beyond the budget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgkt_edge
from tests.support.cli import run_cli
from tests.support.frames_sink import bytes_in, lines, message, noise_frames, opened
from tests.support.images import make_frames, save_frames
from tests.support.sinks import INFO
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import UsageError
from tgkt_edge.io.images import read_frame
from tgkt_edge.runtime.events import NamedCamera, UpdateEvent
from tgkt_edge.runtime.sinks import Message, open_sink
from tgkt_edge.runtime.sinks.frames.part import Part
from tgkt_edge.runtime.sinks.frames.policy import digest_of, draw
from tgkt_edge.sensor import PRESETS

DEPTH = PRESETS["depth"]


def test_frames_are_kept_bit_for_bit_with_their_decision_as_record_keeps_them(tmp_path: Path) -> None:
    frames = make_frames(5)
    sink = opened(tmp_path / "d", "policy=random:1")
    for number, frame in enumerate(frames):
        sink.write(message(number, frame))
    sink.close()
    part = tmp_path / "d" / "random"
    for line, frame in zip(lines(part), frames, strict=True):
        np.testing.assert_array_equal(read_frame(part / line["file"]), frame)
        assert line["decision"]["label"] == "a"
        assert line["decision"]["frame"] == line["number"] == line["time"]
    loaded, spec = load_frames(part, DEPTH, 32)  # what `adapt --target DIR/random` reads
    assert (len(loaded), spec.size) == (5, (64, 48))


def test_adapt_and_audit_read_the_whole_folder_as_it_is(tmp_path: Path) -> None:
    sink = opened(tmp_path / "d", "spacing=0&budget_mb=1")
    for number, frame in enumerate(make_frames(90)):
        sink.write(message(number, frame, lead=(number % 10) / 10))
    sink.close()
    parts = [len(lines(tmp_path / "d" / name)) for name in ("random", "uncertain", "novel")]
    assert all(parts), parts
    loaded, _ = load_frames(tmp_path / "d", DEPTH, 32)
    assert len(loaded) == sum(parts) == len({codes.tobytes() for codes in loaded.codes})


@pytest.mark.slow
def test_a_run_keeps_frames_and_they_can_be_replayed(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path / "f", make_frames(8))
    target = tmp_path / "home"
    done = run_cli("run", depth_bundle.path, "--camera", folder, "--sink", f"frames:{target}?policy=random:1")
    assert done.code == 0, done.stderr
    kept = lines(target / "random")
    assert len(kept) >= 4  # a fast run does not wait for this sink
    with (tmp_path / "again.jsonl").open("w+") as out:
        tgkt_edge.run(depth_bundle.path, str(target / "random"), out=out, live=False)
        out.seek(0)
        again = [json.loads(line) for line in out][1:]
    for line, record in zip(kept, again, strict=True):
        assert line["bundle"] == depth_bundle.digest
        assert (line["decision"]["label"], line["decision"]["probability"]) == (
            record["label"],
            record["probability"],
        )
        assert round(line["time"], 6) == record["time"]


@pytest.mark.slow
def test_the_budget_is_never_exceeded_and_what_is_least_useful_goes_first(tmp_path: Path) -> None:
    sink = opened(tmp_path / "d", "budget_mb=3&spacing=0")
    most, scores = 0, []
    for number, frame in enumerate(noise_frames(300)):
        lead = float(np.random.default_rng(number).uniform())
        scores.append(1 - lead)
        sink.write(message(number, frame, lead))
        most = max(most, bytes_in(tmp_path / "d"))
    sink.close()
    assert 2_000_000 < most <= 3_000_000
    kept = [line["score"] for line in lines(tmp_path / "d" / "uncertain")]
    assert len(kept) > 20
    assert (
        min(kept) > sorted(scores)[-90]
    )  # the most uncertain, less those that chance gave to the random part
    files = {path.name for path in (tmp_path / "d" / "uncertain" / "frame").iterdir()}
    assert files == {Path(line["file"]).name for line in lines(tmp_path / "d" / "uncertain")}


@pytest.mark.slow
def test_the_random_part_is_all_that_was_drawn_above_its_floor(tmp_path: Path) -> None:
    """So it is a uniform sample, whatever the frames' difficulty, order, repeats and the program's restarts."""
    frames = noise_frames(250)
    for begin in range(0, 250, 50):  # started five times
        sink = opened(tmp_path / "d", "budget_mb=2&policy=random:0.5,uncertain:0.5&spacing=0")
        for number in range(begin, begin + 50):
            sink.write(message(number, frames[number], lead=number / 250))
            sink.write(message(number, frames[number // 2], lead=0.5))  # seen before
        sink.close()
    state = json.loads((tmp_path / "d" / "policy.json").read_text())
    salt, floor = state["salt"], state["floor"]
    expected = {n for n in range(250) if draw(salt, digest_of(frames[n])) > floor}
    kept = [line["decision"]["frame"] for line in lines(tmp_path / "d" / "random")]
    assert sorted(kept) == sorted(expected)
    assert len(kept) > 15
    assert state["random_share_of_frames"] == pytest.approx(len(kept) / 250, abs=0.08)
    assert "uniform sample" in state["how"]
    uncertain = {line["digest"] for line in lines(tmp_path / "d" / "uncertain")}
    assert not uncertain & {line["digest"] for line in lines(tmp_path / "d" / "random")}


def test_equal_frames_are_kept_once_and_a_still_scene_is_not_new(tmp_path: Path) -> None:
    frame = make_frames(1)[0]
    sink = opened(tmp_path / "d", "policy=random:0.5,novel:0.5&spacing=0")
    rng = np.random.default_rng(0)
    for number in range(20):
        sink.write(message(number, frame))
    assert len(lines(tmp_path / "d" / "random")) == 1
    sink.close()
    sink = opened(tmp_path / "e", "policy=novel:1&spacing=0")
    for number in range(20):  # the sensor's noise
        sink.write(message(number, frame + rng.integers(0, 20, frame.shape).astype(np.uint16)))
    sink.write(message(20, make_frames(2)[1]))
    sink.close()
    assert [line["decision"]["frame"] for line in lines(tmp_path / "e" / "novel")] == [0, 20]


def test_of_uncertain_frames_close_together_the_most_uncertain_is_kept(tmp_path: Path) -> None:
    sink = opened(tmp_path / "d", "policy=uncertain:1&spacing=10")
    frames = make_frames(30)
    for number, frame in enumerate(frames):
        sink.write(message(number, frame, lead=0.3 if number in (4, 15, 27) else 0.5))
    sink.close()
    assert [line["decision"]["frame"] for line in lines(tmp_path / "d" / "uncertain")] == [4, 15, 27]


@pytest.mark.slow
def test_a_smaller_budget_is_kept_from_the_start(tmp_path: Path) -> None:
    for budget in (3, 1):
        sink = opened(tmp_path / "d", f"budget_mb={budget}&policy=random:1")
        for number, frame in enumerate(noise_frames(100)):
            sink.write(message(number, frame))
            assert bytes_in(tmp_path / "d") <= budget * 1_000_000
        sink.close()


def test_a_part_gives_up_the_oldest_of_equal_frames(tmp_path: Path) -> None:
    part = Part(tmp_path, 10 * 45_000)
    for number, frame in enumerate(noise_frames(30)):
        part.add(frame, DEPTH, 0.5, str(number), {"time": 0.0})
    numbers = [line["number"] for line in lines(tmp_path)]
    assert numbers == list(range(30 - len(numbers), 30))


def test_cameras_with_names_have_a_folder_each_and_share_the_budget(tmp_path: Path) -> None:
    cameras = tuple(NamedCamera(name, name, PRESETS["depth"]) for name in ("door", "hall"))
    sink = open_sink(f"frames:{tmp_path / 'd'}?policy=random:1&budget_mb=4")
    sink.open(replace(INFO, cameras=cameras))
    for number, frame in enumerate(noise_frames(6, seed=3)):
        name = "door" if number % 2 else "hall"
        record: Any = message(number, frame).record
        sink.write(Message(replace(record, camera=name), frame))
    sink.close()
    for name, expected in (("door", [1, 3, 5]), ("hall", [0, 2, 4])):
        lines = (tmp_path / "d" / name / "random" / "frames.jsonl").read_text().splitlines()
        assert [json.loads(line)["decision"]["frame"] for line in lines] == expected
        policy = json.loads((tmp_path / "d" / name / "policy.json").read_text())
        assert policy["budget_bytes"] == 2_000_000


def test_frames_after_an_update_name_the_bundle_that_answered_them(tmp_path: Path) -> None:
    sink = open_sink(f"frames:{tmp_path / 'd'}?policy=random:1&budget_mb=4")
    sink.open(replace(INFO, bundle="a" * 64))
    frames = noise_frames(3, seed=5)
    sink.write(message(0, frames[0]))
    sink.write(Message(UpdateEvent(1.0, "refused", "c" * 64, "a" * 64, "x", "damaged")))
    sink.write(message(1, frames[1]))
    sink.write(Message(UpdateEvent(1.0, "accepted", "b" * 64, "a" * 64, "y")))
    sink.write(message(2, frames[2]))
    sink.close()
    lines = (tmp_path / "d" / "random" / "frames.jsonl").read_text().splitlines()
    assert [json.loads(line)["bundle"][0] for line in lines] == ["a", "a", "b"]


def test_what_no_camera_of_the_run_wrote_is_not_hidden_from_the_budget(tmp_path: Path) -> None:
    def run_with(*names: str) -> None:
        cameras = tuple(NamedCamera(name, name, PRESETS["depth"]) for name in names)
        sink = open_sink(f"frames:{tmp_path / 'd'}?policy=random:1&budget_mb=4")
        sink.open(replace(INFO, cameras=cameras))
        sink.close()

    run_with("door", "hall")
    run_with("hall", "door")
    run_with("door", "hall", "yard")
    for names, there in ((("door", "hall"), "yard"), (("a", "b"), "door, hall, yard")):
        with pytest.raises(
            UsageError, match=f"holds {there}, of no camera of this run.* would not be counted"
        ):
            run_with(*names)
    (tmp_path / "d" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds notes\.txt, of no camera"):
        run_with("door", "hall", "yard")
    with pytest.raises(UsageError, match="holds other things"):
        run_with()
    assert (tmp_path / "d" / "notes.txt").read_text() == "mine"
