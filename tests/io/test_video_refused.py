"""Videos that are not read exactly are refused by their names, with the command that helps."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.videos import FRAMES, decoded, encode, ffmpeg, needs_ffmpeg
from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.video import ExactVideo, pixel_format_name
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS

REFUSED = [
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "gray10le"), "pixel format gray10le"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "gray12le"), "pixel format gray12le"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv420p"), r"pixel format yuv420p.*16\.\.235"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv422p"), "pixel format yuv422p"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p16le"), "pixel format yuv444p16le"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "yuva420p"), "pixel format yuva420p"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "bgr0"), "pixel format bgr0"),
    ("mkv", ("-c:v", "ffv1", "-pix_fmt", "gbrp16le"), "pixel format gbrp16le"),
    ("mov", ("-c:v", "png", "-pix_fmt", "gray16be"), "gray16be.*Its 16 bits are all there"),
    ("mkv", ("-c:v", "png", "-pix_fmt", "rgb24"), "pixel format rgb24"),
    ("mkv", ("-c:v", "png", "-pix_fmt", "monob"), "pixel format"),
    ("mov", ("-c:v", "rawvideo", "-pix_fmt", "gray16be"), "b16g.*Nothing of it is lost"),
    ("mov", ("-c:v", "rawvideo", "-pix_fmt", "gray"), "encoded as raw RGB"),
    ("avi", ("-c:v", "rawvideo", "-pix_fmt", "gray16le"), "encoded as 'RGB of 16 bits'"),
    ("avi", ("-c:v", "rawvideo", "-pix_fmt", "monow"), "encoded as 'RGB of 1 bits'"),
    ("avi", ("-c:v", "rawvideo", "-pix_fmt", "pal8"), "encoded as 'RGB of 8 bits'"),
    ("avi", ("-c:v", "rawvideo", "-pix_fmt", "yuyv422"), "encoded as raw yuyv422"),
    ("mkv", ("-c:v", "rawvideo", "-pix_fmt", "nv12"), "encoded as raw nv12"),
    ("mov", ("-c:v", "rawvideo", "-pix_fmt", "uyvy422"), "encoded as raw uyvy422"),
    ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le"), "encoded as H.264"),
    ("mkv", ("-c:v", "libx264", "-pix_fmt", "gray"), "encoded as H.264"),
    ("mp4", ("-c:v", "libx265", "-pix_fmt", "gray"), "encoded as H.265"),
    ("mkv", ("-c:v", "libx265", "-pix_fmt", "gray12le"), "encoded as H.265"),
    ("mov", ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"), "encoded as ProRes"),
    ("avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), "encoded as MJPEG"),
    ("mkv", ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p"), "encoded as MJPEG"),
    ("mp4", ("-c:v", "mpeg4", "-pix_fmt", "yuv420p"), "encoded as MPEG-4"),
    ("mkv", ("-c:v", "jpeg2000", "-pix_fmt", "gray16le"), "encoded as JPEG 2000"),
    ("mkv", ("-c:v", "libvpx-vp9", "-pix_fmt", "yuv444p"), "encoded as VP9"),
    ("avi", ("-c:v", "huffyuv", "-pix_fmt", "rgb24"), "encoded as HuffYUV"),
]


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize(("suffix", "words", "told"), REFUSED, ids=lambda value: str(value)[:60])
def test_everything_else_is_refused_by_its_name(
    suffix: str, words: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    try:
        encode(path, (FRAMES >> 8).astype(np.uint8), *words)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this ffmpeg cannot write it: {error.stderr[-200:]!r}")
    with pytest.raises(SourceLostError, match=rf"a\.{suffix}: .*{told}.*ffmpeg -i IN .*-c:v ffv1 OUT\.mkv"):
        open_source(str(path), PRESETS["nir8"])


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_the_command_that_a_refusal_gives_keeps_every_count(suffix: str, tmp_path: Path) -> None:
    """Big-endian 16 bits, as an Azure Kinect records them: nothing is lost."""
    codec = "rawvideo" if suffix == "mov" else "png"
    path = encode(tmp_path / f"IN.{suffix}", FRAMES, "-c:v", codec, "-pix_fmt", "gray16be")
    with pytest.raises(DataError) as refused:
        ExactVideo(path)
    command = str(refused.value)[str(refused.value).index("ffmpeg -i IN") :]
    ffmpeg(*command.replace("IN ", f"{path} ", 1).replace("OUT.mkv", str(tmp_path / "OUT.mkv")).split()[1:])
    for (frame, _), truth in zip(decoded(tmp_path / "OUT.mkv"), FRAMES, strict=True):
        np.testing.assert_array_equal(frame, truth)


@pytest.mark.slow
@needs_ffmpeg
def test_the_command_for_ten_bits_keeps_every_count(tmp_path: Path) -> None:
    ten = FRAMES >> 6
    path = encode(tmp_path / "IN.mkv", ten, "-c:v", "ffv1", pixels="gray10le")
    with pytest.raises(DataError) as refused:
        ExactVideo(path)
    command = str(refused.value)[str(refused.value).index("ffmpeg -i IN") :].replace("WxH", "64x48")
    command = command.replace("-i IN ", f"-i {path} ").replace("OUT.mkv", str(tmp_path / "OUT.mkv"))
    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    for (frame, _), truth in zip(decoded(tmp_path / "OUT.mkv"), ten, strict=True):
        np.testing.assert_array_equal(frame, truth)


@pytest.mark.slow
@needs_ffmpeg
def test_several_tracks_are_refused_with_their_names(tmp_path: Path) -> None:
    """FFmpeg would take the largest without a word."""
    one = encode(tmp_path / "one.mkv", FRAMES, "-c:v", "ffv1")
    other = encode(tmp_path / "other.mkv", FRAMES, "-c:v", "ffv1")
    path = tmp_path / "IN.mkv"
    ffmpeg("-i", one, "-i", other, "-map", "0", "-map", "1", "-c", "copy",
           "-metadata:s:v:0", "title=COLOR", "-metadata:s:v:1", "title=DEPTH", path)  # fmt: skip
    with pytest.raises(DataError, match=r"holds 2 video tracks: 0 COLOR \((V_)?FFV1\), 1 DEPTH .*-map 0:v:N"):
        ExactVideo(path)


CONTENTS = {
    "a.hdr": (b"#?RADIANCE\n", "a Radiance HDR"),
    "a.gif": (b"GIF89a" + bytes(99), "a GIF"),
    "a.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99), "a JPEG 2000"),
    "a.m3u8": (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "a playlist"),
    "a.ffconcat": (b"ffconcat version 1.0\nfile /etc/passwd\n", "neither an image"),
    "a.sdp": (b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", "neither an image"),
    "a.y4m": (b"YUV4MPEG2 W64 H48 F5:1 Cmono\nFRAME\n" + bytes(64 * 48), "a Y4M video"),
    "a.ts": (b"G" + bytes(187), "neither an image"),
    "a.raw": (bytes(640 * 480 * 2), "neither an image"),
    "a.mkv": (b"something else " * 9, "neither an image"),
    "empty.mkv": (b"", "neither an image"),
    "nothing": (b"x", "neither an image"),
    "cut.mkv": (b"\x1a\x45\xdf\xa3\x9f", "holds no video|damaged"),
    "cut.avi": (b"RIFF\0\0\0\0AVI LIST", "holds no video"),
    "cut.mp4": (b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\0\1\0mdat", "holds no video"),
}


@pytest.mark.slow
def test_files_of_any_name_and_content_end_with_a_word(tmp_path: Path) -> None:
    """In a process of its own: what OpenCV and FFmpeg make of some of these ends the process."""
    for name, (content, _) in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    program = """if True:
        import json, sys
        from tgkt_edge.errors import SourceLostError
        from tgkt_edge.runtime.sources import open_source
        from tgkt_edge.sensor import PRESETS
        told = {}
        for name in sys.argv[1:]:
            try:
                open_source(name, PRESETS["nir"])
            except SourceLostError as error:
                told[name] = str(error)
        print(json.dumps(told))
    """
    done = subprocess.run(
        [sys.executable, "-c", program, *CONTENTS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for name, (_, expected) in CONTENTS.items():
        assert re.match(f"{re.escape(name)}: .*({expected})", told[name]), told[name]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (b"Y1\0\x0a", "gray10le"),
        (b"\x10\x001Y", "gray16be"),
        (b"Y3\x0b\x0a", "yuv420p10le"),
        (b"Y4\x00\x08", "yuva444p"),
        (b"G3\0\x10", "gbrp16le"),
        (b"NV12", "nv12"),
        (bytes(4), "one without a name"),
        (b"\xff\xff\xff\xff", r"code b'\xff\xff\xff\xff'"),
    ],
)
def test_pixel_formats_have_ffmpeg_s_names(code: bytes, name: str) -> None:
    assert pixel_format_name(int.from_bytes(code, "little")) == name


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ((-1.0, 0.0, 0.0, 1.0), "mirrored"),
        ((0.0, 1.0, 1.0, 0.0), "mirrored"),
        ((0.7071, 0.7071, -0.7071, 0.7071), "turned by another angle"),
    ],
)
def test_a_view_that_is_no_turn_by_quarters_is_refused_with_a_command_that_keeps_every_count(
    matrix: tuple[float, ...], words: str, tmp_path: Path
) -> None:
    """FFmpeg in OpenCV turns mirrored films by half a circle."""
    path, out = encode(tmp_path / "a.mov", FRAMES, "-c:v", "ffv1"), tmp_path / "OUT.mkv"
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (round(value * 65536) for value in matrix)
    struct.pack_into(">5i", data, at, a, b, 0, c, d)
    path.write_bytes(data)
    with pytest.raises(DataError, match=words) as caught:
        ExactVideo(path)
    command = re.search(r"ffmpeg (-noautorotate .*? OUT\.mkv)", str(caught.value))
    assert command is not None
    ffmpeg(*(str({"IN": path, "OUT.mkv": out}.get(word, word)) for word in command.group(1).split()))
    np.testing.assert_array_equal(decoded(out)[0][0], FRAMES[0])
