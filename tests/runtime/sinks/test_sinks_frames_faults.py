"""``frames:DIR``: power cuts, full disks, bad options and folders that are refused."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.frames_sink import lines, message, noise_frames, opened
from tests.support.images import make_frames
from tests.support.sinks import INFO, write
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.sinks import open_sink
from tgkt_edge.sensor import PRESETS

DEPTH = PRESETS["depth"]


def test_a_power_cut_at_any_moment_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    sink = opened(tmp_path / "d", "policy=random:1&budget_mb=1")
    for number, frame in enumerate(noise_frames(12)):
        sink.write(message(number, frame))
    sink.close()
    part = tmp_path / "d" / "random"
    with (part / "frames.jsonl").open("a") as index:
        index.write('{"number": 99, "ti')  # a cut line
    (part / "frame" / "000098.png").write_bytes(b"without a line")
    (part / "frame" / ".000097.png.tmp").write_bytes(b"half")
    (part / lines_ok(part)[3]["file"]).unlink()  # a line without its file
    loaded, _ = load_frames_of(part)
    sink = opened(tmp_path / "d", "policy=random:1&budget_mb=1")
    sink.write(message(50, noise_frames(1, seed=9)[0]))
    sink.close()
    held = lines(part)
    assert {Path(line["file"]).name for line in held} == {path.name for path in (part / "frame").iterdir()}
    assert len(held) == loaded + 1
    assert len({line["number"] for line in held}) == len(held)


def lines_ok(part: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (part / "frames.jsonl").read_text().splitlines()[:-1]]


def load_frames_of(part: Path) -> tuple[int, None]:
    return sum((part / line["file"]).exists() for line in lines_ok(part)), None


def test_a_full_disk_is_said_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = opened(tmp_path / "d", "policy=uncertain:1&spacing=0")
    frames = make_frames(4)
    assert write(sink, message(0, frames[0], lead=0.1)) == ""
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    for number in (1, 2):  # also a frame that is not worth keeping: nothing is known to work again
        assert "the disk is nearly full" in write(
            sink, message(number, frames[number], lead=0.1 if number == 1 else 1)
        )
    monkeypatch.undo()
    assert write(sink, message(3, frames[3], lead=0.1)) == ""
    sink.close()
    assert [line["decision"]["frame"] for line in lines(tmp_path / "d" / "uncertain")] == [0, 3]


def test_a_disk_that_refuses_in_the_middle_leaves_whole_frames(tmp_path: Path) -> None:
    sink = opened(tmp_path / "d", "policy=random:1")
    small = make_frames(3)
    sink.write(message(0, small[0]))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, before[1]))
    try:
        said = write(sink, message(1, small[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.strerror(errno.EFBIG) in said
    assert write(sink, message(2, small[2])) == ""
    sink.close()
    part = tmp_path / "d" / "random"
    assert [line["decision"]["frame"] for line in lines(part)] == [0, 2]
    assert sorted(path.name for path in (part / "frame").iterdir()) == ["000000.png", "000001.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("policy=rondom:1", "unknown part 'rondom'. Did you mean 'random'?"),
        ("policy=random:0.8,novel:0.4", "shares of 1.2 together"),
        ("policy=random:0.2,random:0.2", "'random' is given twice"),
        ("policy=random", "expected PART:SHARE"),
        ("policy=random:nan", "expected PART:SHARE"),
        ("policy=random:-1", "expected PART:SHARE"),
        ("policy=", "'policy' is empty"),
        ("budget_mb=0", "budget_mb=0: expected a number from 1"),
        ("budget=5", "Did you mean 'budget_mb'?"),
        ("spacing=x", "expected a number"),
    ],
)
def test_bad_options(tmp_path: Path, options: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_sink(f"frames:{tmp_path / 'd'}?{options}")
    assert words in str(caught.value)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    def refused(folder: Path, options: str = "", **info: Any) -> str:
        with pytest.raises(UsageError) as caught:
            open_sink(f"frames:{folder}?{options}".rstrip("?")).open(replace(INFO, **info))
        return str(caught.value)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert "holds other things" in refused(tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    assert "cannot be written" in refused(tmp_path / "file")
    sized = replace(DEPTH, size=(640, 480))
    assert "Give at least budget_mb=4" in refused(tmp_path / "small", "budget_mb=1", sensor=sized)
    sink = opened(tmp_path / "d", "policy=novel:1")
    sink.write(message(0, make_frames(1)[0]))
    assert "another run is writing it" in refused(tmp_path / "d", "policy=novel:1")
    sink.close()
    assert "a part 'novel', which the policy does not name" in refused(tmp_path / "d", "policy=random:1")
    assert "frames of another sensor" in refused(tmp_path / "d", sensor=PRESETS["nir"])
    assert "frames of another sensor" in refused(tmp_path / "d", sensor=sized)
    (tmp_path / "d" / "policy.json").write_text("{")
    assert "policy.json is damaged" in refused(tmp_path / "d")
