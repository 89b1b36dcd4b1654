"""The film of a run: real files, read back by OpenCV; killed, rotated, and on a full disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cli import cli_environment
from tgkt_edge.errors import MissingDependency, UsageError
from tgkt_edge.runtime.events import HealthEvent, NamedCamera
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink, video
from tgkt_edge.runtime.sinks.annotate import STRIP, annotate, canvas_size
from tgkt_edge.runtime.sinks.colormaps import colourise
from tgkt_edge.sensor import PRESETS

INFO = RunInfo("v4l2:///dev/video0", "cpu", ("bedroom", "kitchen"), PRESETS["depth"], 32, 1.0)
NOON = 1_790_000_000.0


def decision(number: int, seconds: float, metres: float = 2.0, shape: tuple[int, int] = (48, 64)) -> Message:
    record = Decision("bedroom", 0.8, time=NOON + seconds, frame=number, source="0")
    return Message(record, np.full(shape, round(metres * 1000), np.uint16))


def of(camera: str, message: Message) -> Message:
    record: Any = message.record
    return Message(replace(record, camera=camera), message.frame)


def film(path: Path) -> list[NDArray[np.uint8]]:
    reader = cv2.VideoCapture(str(path))
    pictures: list[NDArray[np.uint8]] = []
    while True:
        more, picture = reader.read()
        if not more:
            return pictures
        pictures.append(np.asarray(picture, np.uint8))


def opened(uri: str) -> Any:
    sink = open_sink(uri)
    sink.open(INFO)
    return sink


def film_of(sink: Any) -> Any:
    """The sink of the only film: there is one camera, without a name."""
    return sink.sinks[""]


@pytest.mark.parametrize("suffix", ["mkv", "avi"])
def test_the_film_shows_each_frame_in_its_colours_with_a_strip_below(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"a.{suffix}"
    metres = [1.0, 5.0, 9.0]
    with closing(opened(f"video:{path}?fps=10&width=320&colours=turbo")) as sink:
        for number, distance in enumerate(metres):
            sink.write(decision(number, number / 10 + 0.01, distance))
        sink.write(Message(BadFrame("broken", time=1.0, frame=3, source="0")))
        sink.write(Message(HealthEvent(1.0, "x", True, 1.0, 0.5)))
        sink.close()
    pictures = film(path)
    assert [picture.shape for picture in pictures] == [(240 + STRIP, 320, 3)] * 3
    for picture, distance in zip(pictures, metres, strict=True):
        rgb = colourise(np.full((1, 1), round(distance * 1000), np.uint16), INFO.sensor, "turbo")[0, 0]
        middle = picture[60:180, 80:240].reshape(-1, 3).mean(axis=0)[::-1]
        assert np.abs(middle - rgb).max() < 12  # what the compression leaves
        assert picture[240:].max() > 180  # words
    assert os.listdir(path.parent) == [path.name]


def test_a_film_runs_at_the_pace_of_the_frames_and_long_silences_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with closing(opened(f"video:{path}?fps=10&width=160")) as sink:
        for number in range(31):  # a second of 30 frames a second: every third
            sink.write(decision(number, number / 30 + 1e-4))
        assert film_of(sink).written == 11
        sink.write(decision(31, 2.0))  # a second of nothing: shown as it was
        assert film_of(sink).written == 21
        sink.write(decision(32, 3600.0))  # an hour of nothing
        assert film_of(sink).written == 22
        sink.write(decision(33, 3600.1001))
        sink.write(decision(34, 5.0))  # the clock was set back
        sink.write(decision(35, 5.1001))
        assert film_of(sink).written == 25
    assert len(film(path)) == 25
    with closing(opened(f"video:{tmp_path}/b.avi?pace=frames&width=160")) as sink:
        for number in range(31):
            sink.write(decision(number, number / 300))
    assert len(film(tmp_path / "b.avi")) == 31


def test_frames_of_another_shape_are_fitted_in(tmp_path: Path) -> None:
    with closing(opened(f"video:{tmp_path}/a.avi?pace=frames&width=160")) as sink:
        for number, shape in enumerate([(48, 64), (64, 48), (10, 200), (1, 1)]):
            sink.write(decision(number, 0, 5.0, shape))
    assert len(film(tmp_path / "a.avi")) == 4


KILLED = """
import sys, numpy as np, time
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink
from tgkt_edge.sensor import PRESETS
sink = open_sink(sys.argv[1])
sink.open(RunInfo("0", "cpu", ("a",), PRESETS["depth"], 32, 1.0))
noise = np.random.default_rng(0)
for number in range(60):
    frame = noise.integers(0, 10000, (240, 320), dtype=np.uint16)
    sink.write(Message(Decision("a", 0.5, time=1.0, frame=number), frame))
print("written", flush=True)
time.sleep(120)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mkv", "avi"])
def test_a_killed_run_leaves_a_film_that_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, f"video:{path}?pace=frames"],
        env=cli_environment(),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.communicate()
    assert len(film(path)) > 40
    with closing(opened(f"video:{path}?width=160")) as sink:  # the next run takes nothing away
        sink.write(decision(0, 0))
    assert len(film(path)) == 1
    assert len(film(tmp_path / f"a.1.{suffix}")) > 40


@pytest.mark.slow
def test_full_files_are_rotated(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    with closing(opened(f"video:{tmp_path}/a.avi?pace=frames&max_mb=0.3&keep=2")) as sink:
        for number in range(160):
            frame = noise.integers(0, 10000, (240, 320), dtype=np.uint16)
            sink.write(Message(decision(number, 0).record, frame))
    assert sorted(os.listdir(tmp_path)) == ["a.1.avi", "a.2.avi", "a.avi"]
    assert len(film(tmp_path / "a.1.avi")) == 32


@pytest.mark.slow
def test_pictures_that_are_repeated_over_the_end_of_a_file_go_on_in_the_next(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0)
    with closing(opened(f"video:{tmp_path}/a.avi?fps=10&max_mb=0.3&keep=9")) as sink:
        for number in range(40):  # 2 fps: each is shown five times
            frame = noise.integers(0, 10000, (240, 320), dtype=np.uint16)
            sink.write(Message(decision(number, number / 2 + 1e-4).record, frame))
        written = film_of(sink).written
    assert written == 39 * 5 + 1
    assert len(os.listdir(tmp_path)) > 2
    assert sum(len(film(tmp_path / name)) for name in os.listdir(tmp_path)) == written
    assert capfd.readouterr().err == ""  # OpenCV complains of what is no picture


def test_a_full_disk_ends_the_file_in_order_and_a_new_one_begins_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 100_000_000
    monkeypatch.setattr(video, "_free", lambda _: free)
    with closing(opened(f"video:{tmp_path}/a.avi?pace=frames&width=160&reserve_mb=64")) as sink:
        sink.write(decision(0, 0))
        free = 63_000_000
        for number in range(1, 4):
            with pytest.raises(OSError, match="63 MB are free, 64 MB are reserved") as caught:
                sink.write(decision(number, 0))
            assert caught.value.errno == errno.ENOSPC
        assert len(film(tmp_path / "a.avi")) == 1  # whole already
        free = 70_000_000  # not enough to begin again: it would end at once
        with pytest.raises(OSError, match="70 MB"):
            sink.write(decision(4, 0))
        free = 90_000_000
        sink.write(decision(5, 0))
    assert len(film(tmp_path / "a.avi")) == len(film(tmp_path / "a.1.avi")) == 1


def test_the_real_disk_is_asked(tmp_path: Path) -> None:
    sink = opened(f"video:{tmp_path}/a.avi?reserve_mb=1000000")  # a terabyte
    with closing(sink), pytest.raises(OSError, match="1000000 MB are reserved"):
        sink.write(decision(0, 0))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "x", "name with \u00fcml\u00e4uts", "long_" * 50])
@pytest.mark.parametrize("width", [160, 640])
def test_any_label_fits(text: str, width: int) -> None:
    frame = np.zeros((48, 64), np.uint16)
    record = Decision(text, 1.0, health=("input_drift",), time=NOON, frame=1)
    size = canvas_size(frame, width)
    picture = annotate(frame, record, INFO.sensor, "viridis", size, "stalled")
    assert picture.shape == (size[1], size[0], 3)
    assert (picture[-STRIP:, -6:] == picture[-1, -1]).all()  # nothing runs out of the picture
    bare = annotate(frame, Decision("", 0.0, time=-1.0), INFO.sensor, "viridis", size)
    assert bare.shape == picture.shape


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("", "expected a path that ends in .mkv or .avi"),
        ("a.mp4", "An .mp4 that was cut off cannot be played"),
        ("a.txt", "expected a path that ends in .mkv or .avi"),
        ("a.mkv?fps=0", "fps=0"),
        ("a.mkv?pase=time", "Did you mean 'pace'"),
        ("a.mkv?pace=fast", "expected time or frames"),
        ("a.mkv?colours=jet", "expected viridis, turbo, grey"),
        ("/proc/none/a.mkv", "cannot write there"),
    ],
)
def test_bad_uris_exit_2(rest: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        opened(f"video:{rest}")


def test_an_older_film_is_never_lost(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"dear")
    with pytest.raises(UsageError, match="it exists, and keep=0 would lose it"):
        opened(f"video:{tmp_path}/a.mkv?keep=0")
    with closing(opened(f"video:{tmp_path}/a.mkv")):
        assert (tmp_path / "a.1.mkv").read_bytes() == b"dear"


def test_a_missing_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingDependency, match=r"pip install .*\[cpu\]'"):
        open_sink("video:a.mkv")


def test_cameras_with_names_have_a_film_each_in_their_own_shape(tmp_path: Path) -> None:
    cameras = tuple(NamedCamera(name, f"{name}.mkv", PRESETS["depth"]) for name in ("door", "hall"))
    sink = open_sink(f"video:{tmp_path}/run.avi?pace=frames&width=160")
    sink.open(replace(INFO, source="door=a, hall=b", cameras=cameras))
    with closing(sink):
        for number in range(3):
            message = decision(number, number)
            sink.write(of("door", message))
        message = decision(0, 0, shape=(64, 48))
        sink.write(of("hall", message))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-door.avi", "run-hall.avi"]
    door, hall = film(tmp_path / "run-door.avi"), film(tmp_path / "run-hall.avi")
    assert (len(door), len(hall)) == (3, 1)
    assert door[0].shape[0] < hall[0].shape[0]
