"""MJPEG over HTTP from servers that send what real cameras send: halves, wrong lengths, odd boundaries, passwords."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.http_camera import MULTIPART, http_camera, jpeg, part
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime.sources import open_colour, open_source
from tgkt_edge.runtime.sources.network import open_network
from tgkt_edge.sensor import PRESETS

NIR8 = PRESETS["nir8"]


def picture(seed: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(seed).integers(0, 255, (12, 16))
    return np.kron(blocks, np.ones((20, 20))).astype(np.uint8)


def frames_of(uri: str) -> list[Any]:
    """All that comes until the camera ends the stream."""
    found = []
    with open_source(uri, NIR8) as source:
        try:
            while True:
                found.append(source.read())
        except SourceLostError:
            return found


PICTURES = [picture(seed) for seed in range(6)]
WHOLE = [jpeg(image) for image in PICTURES]
HALF = WHOLE[3][: len(WHOLE[3]) // 2]

HALVES = {
    "cut, with its own length": part(HALF),
    "cut, with the length of the whole": part(HALF, len(WHOLE[3])),
    "cut, without a length": part(HALF, None),
    "cut and closed with an end mark": part(HALF + b"\xff\xd9"),
    "zeros in its middle": part(HALF[:-2000] + bytes(2000) + WHOLE[3][len(HALF) :]),
    "nothing": part(b""),
    "no JPEG": part(b"<html>busy</html>"),
}


@pytest.mark.parametrize("half", HALVES)
def test_half_a_picture_is_an_error_and_never_completed_from_the_one_before(half: str) -> None:
    sent = [part(data) for data in WHOLE]
    sent[3] = HALVES[half]
    with http_camera(sent) as uri:
        found = frames_of(uri)
    assert [captured.frame is not None for captured in found] == [True, True, True, False, True, True]
    assert [captured.number for captured in found] == list(range(6))
    assert re.search(r"/stream\.mjpg: frame 3 is (truncated|damaged|no JPEG)", found[3].error)
    for captured, image in zip(found, PICTURES, strict=True):
        if captured.frame is not None:
            assert np.abs(captured.frame.astype(int) - image).max() <= 12


@pytest.mark.parametrize(
    ("length", "boundary", "kind"),
    [
        (None, "--frame", MULTIPART),
        (-1, "--frame", 'multipart/x-mixed-replace;boundary="--frame"'),
        (-1, "--myboundary", "multipart/mixed; boundary=other"),
        (-1, "--ipcamera", "video/x-motion-jpeg"),
        (None, "--frame", "application/octet-stream"),
    ],
)
def test_cameras_that_are_no_model_pupils_are_read(length: int | None, boundary: str, kind: str) -> None:
    sent = [part(data, length, boundary=boundary) for data in WHOLE]
    with http_camera([*sent, boundary.encode() + b"\r\n"], kind) as uri:
        assert [captured.frame is not None for captured in frames_of(uri)] == [True] * 6


def test_parts_that_are_no_pictures_are_skipped() -> None:
    sent = [one for data in WHOLE for one in (part(data), part(b"<e/>", kind="application/xml"))]
    with http_camera(sent) as uri:
        assert len(frames_of(uri)) == 6


@pytest.mark.slow
def test_a_stream_that_begins_with_halves_opens_with_its_first_whole_picture() -> None:
    with http_camera([part(HALF)] * 3 + [part(data) for data in WHOLE]) as uri:
        found = frames_of(uri)
    assert [captured.frame is not None for captured in found] == [True] * 6
    with (
        http_camera([part(HALF)] * 30) as uri,
        pytest.raises(SourceLostError, match=r"frame 0 is truncated"),
    ):
        open_source(uri, NIR8)


def test_single_pictures_are_no_stream() -> None:
    with (
        http_camera(WHOLE, "image/jpeg") as uri,
        pytest.raises(SourceLostError, match=r"sends single JPEGs|not with a video"),
    ):
        open_source(uri, NIR8)


def test_grey_pictures_are_colour_for_who_asks_for_colour() -> None:
    with http_camera([part(data) for data in WHOLE]) as uri, open_colour(uri) as source:
        captured = source.read()
    assert captured is not None
    assert captured.frame is not None
    assert captured.frame.shape == (240, 320, 3)


def basic(request: Any) -> str | None:
    expected = "Basic " + base64.b64encode(b"me:ge/h@m").decode()
    return None if request.headers.get("Authorization") == expected else 'Basic realm="camera"'


def digest(request: Any) -> str | None:
    fields = dict(re.findall(r'(\w+)="?([^",]*)"?', request.headers.get("Authorization") or ""))
    if fields:
        md5 = [
            hashlib.md5(text.encode()).hexdigest() for text in ("me:camera:ge/h@m", f"GET:{fields['uri']}")
        ]
        middle = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:auth"
        if fields["response"] == hashlib.md5(f"{md5[0]}:{middle}:{md5[1]}".encode()).hexdigest():
            return None
    return 'Digest realm="camera", nonce="abc", qop="auth", algorithm=MD5'


@pytest.mark.parametrize("admit", [basic, digest])
def test_a_password_opens_the_stream_and_is_never_shown(admit: Callable[[Any], str | None]) -> None:
    with http_camera([part(data) for data in WHOLE], admit=admit) as uri:
        found = frames_of(uri.replace("://", "://me:ge%2Fh%40m@"))
        assert len(found) == 6
        assert "ge%2Fh" not in found[0].name
        for wrong in (uri, uri.replace("://", "://me:other@")):
            with pytest.raises(SourceLostError, match=r"answers on port .*, but not with a video") as refused:
                open_source(wrong, NIR8)
            assert "other" not in str(refused.value)


@pytest.mark.slow
def test_a_stream_that_falls_silent_is_lost_in_time() -> None:
    quiet = threading.Event()

    def admit(request: Any) -> str | None:
        request.send_response(200)
        request.send_header("Content-Type", MULTIPART)
        request.end_headers()
        request.wfile.write(part(WHOLE[0]) + part(WHOLE[1])[:500])
        request.wfile.flush()
        quiet.wait(20)
        raise ConnectionAbortedError

    with http_camera([], admit=admit) as uri, open_network(uri, NIR8, open_ms=2000, read_ms=500) as source:
        assert source.read() is not None
        with pytest.raises(SourceLostError, match=r"stopped delivering after 1 frames.*0\.5 s"):
            source.read()
        quiet.set()
