"""Cameras' H.264 and H.265 with packets lost on the way: no picture that FFmpeg completed is taken for a frame."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.rtsp_server import Loses, rtsp_camera
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS

STREAMS = Path(__file__).parent / "streams"  # testsrc2 in grey, 96x72, 60 pictures, every 15th needs no other
NIR8 = PRESETS["nir8"].with_size(96, 72)

LOSSES: dict[str, tuple[Loses, int]] = {
    "nothing": (lambda frame, packet, of: False, 60),
    "a whole picture": (lambda frame, packet, of: frame == 20, 30),
    "three pictures": (lambda frame, packet, of: frame in (20, 21, 22), 30),
    "the first packet": (lambda frame, packet, of: frame == 20 and packet == 0, 30),
    "the last packet": (lambda frame, packet, of: frame == 20 and packet == of - 1, 30),
    "a packet within": (lambda frame, packet, of: frame == 20 and packet == of // 2, 30),
    "a packet of a picture that others need": (
        lambda frame, packet, of: frame == 30 and packet == of // 2,
        45,
    ),
    "all of a picture that others need": (lambda frame, packet, of: frame == 30, 60),
}


@lru_cache
def truth(stream: Path) -> list[NDArray[Any]]:
    """Its pictures, decoded from the file."""
    capture, found = cv2.VideoCapture(str(stream), cv2.CAP_FFMPEG), []
    while (read := capture.read())[0]:
        found.append(np.ascontiguousarray(read[1][:, :, 1]))
    assert len(found) == 60
    return found


def frames(uri: str) -> list[Captured]:
    found: list[Captured] = []
    with pytest.raises(SourceLostError, match="stopped delivering"), open_source(uri, NIR8) as source:
        for _ in range(100):
            captured = source.read()
            assert captured is not None
            found.append(captured)
    return found


PARTS = [loss for loss in LOSSES if "packet" in loss]


@pytest.mark.parametrize(
    ("codec", "loss", "renumbered"),
    [
        (codec, loss, renumbered)
        for codec in ("h264", "h265")
        for loss in LOSSES
        for renumbered in (False, True)
        # Parts of an H.265 picture that a server lost and numbered over leave no trace; servers lose whole pictures.
        if not (codec == "h265" and renumbered and loss in PARTS)
    ],
)
def test_what_is_taken_for_a_frame_is_one(codec: str, loss: str, renumbered: bool) -> None:
    stream = STREAMS / f"moving.{codec}"
    loses, healed = LOSSES[loss]
    with rtsp_camera(stream, loses, renumbered) as uri:
        found = frames(uri)
    pictures = [sha256(picture.tobytes()).hexdigest() for picture in truth(stream)]
    taken = [captured for captured in found if captured.frame is not None]
    # Each is a picture of the camera, bit for bit, and they come in order.
    places = [
        pictures.index(sha256(captured.frame.tobytes()).hexdigest())
        for captured in taken
        if captured.frame is not None
    ]
    assert places == sorted(places)
    if loss == "nothing":
        assert len(taken) == 60
        return
    assert places[:18] == list(range(18))  # those before the loss
    # And those after the next picture that needs no other; unless that is the first that could be decoded at all.
    assert places[-14:] == list(range(46, 60)) or healed == 60
    assert not {*range(31, healed)} & {*places}
    refused = [captured.error or "" for captured in found if captured.frame is None]
    assert refused
    assert all("is damaged, or made from a damaged one" in error for error in refused), refused


@pytest.mark.parametrize(
    ("bad", "message"), [(1, ""), (9, "lost packets each of 3 times that it was opened")]
)
def test_packets_lost_while_the_stream_is_opened_begin_it_again(bad: int, message: str) -> None:
    """The pictures that were read meanwhile come later, and none of them says which is damaged."""
    times = 0

    def loses(frame: int, packet: int, of: int) -> bool:
        nonlocal times
        times += frame == packet == 0
        return times <= bad and frame == 0 and packet == 1

    with rtsp_camera(STREAMS / "moving.h264", loses) as uri:
        if message:
            with pytest.raises(SourceLostError, match=message):
                open_source(uri, NIR8)
            return
        taken = [captured for captured in frames(uri) if captured.frame is not None]
    assert len(taken) == 60
    assert times == 2


def test_a_stream_that_has_no_whole_picture_any_more_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tgkt_edge.runtime.sources.whole_pictures.PATIENCE_S", 0.0)
    with (
        rtsp_camera(STREAMS / "moving.h264", LOSSES["a whole picture"][0], fps=40) as uri,
        open_source(uri, NIR8) as source,
        pytest.raises(SourceLostError, match=r"127\.0.*no complete picture for 0 s"),
    ):
        for _ in range(40):
            source.read()


def in_a_process(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, timeout=120
    )


@pytest.mark.slow
def test_a_video_opened_after_and_beside_a_network_camera_is_heard(
    damaged_video: Callable[[], Path],
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.support.rtsp_server import rtsp_camera\n"
        "from tgkt_edge.io.video import ExactVideo\nfrom tgkt_edge.runtime import open_source\n"
        "from tgkt_edge.sensor import PRESETS\n"
        "def heard():\n    video = ExactVideo(Path(sys.argv[1]))\n"
        "    found = [bool(read[1]) for read in iter(video.read, None)]\n    video.close()\n"
        "    return found[0], found[-1]\n"
        "with rtsp_camera(Path(sys.argv[2]), lambda *_: False) as uri:\n"
        "    with open_source(uri, PRESETS['nir8'].with_size(96, 72)) as source:\n"
        "        print(heard(), source.read().error)\n"
        "print(heard())\n"
    )
    done = in_a_process(code, str(damaged_video()), str(STREAMS / "moving.h264"))
    assert done.stdout == "(False, True) None\n(False, True)\n"
    assert done.stderr == ""  # FFmpeg's own lines show addresses


@pytest.fixture
def damaged_video(tmp_path: Path) -> Callable[[], Path]:
    def write() -> Path:
        path = tmp_path / "a.mkv"
        options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 5, (160, 120), options
        )
        for frame in np.random.default_rng(5).integers(0, 4096, (9, 120, 160)).astype(np.uint16):
            writer.write(frame)
        writer.release()
        data = path.read_bytes()
        middle = len(data) * 2 // 3
        path.write_bytes(data[:middle] + bytes(256) + data[middle + 256 :])
        return path

    return write
