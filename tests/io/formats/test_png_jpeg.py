"""PNG and JPEG: counts as the file's bytes say, damage named, harmless company left alone."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame, read_rgb

RANDOM = np.random.default_rng(3)
NOISE16 = RANDOM.integers(0, 65536, (37, 53)).astype(np.uint16)
NOISE8 = (NOISE16 >> 8).astype(np.uint8)
BLOCKS = np.kron(RANDOM.integers(0, 255, (24, 32, 3)), np.ones((20, 20, 1))).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    image: NDArray[Any], bits: int, colour: int = 0, extra: bytes = b"", interlaced: bool = False
) -> bytes:
    """A PNG whose samples are ``image``'s, written by the letter of the standard."""
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    rows = b""
    for left, top, across, down in passes if interlaced else ((0, 0, 1, 1),):
        for row in image[top::down, left::across]:
            digits = "".join(format(int(value), f"0{bits}b") for value in row.ravel())
            digits += "0" * (-len(digits) % 8)
            rows += b"\0" + int(digits or "0", 2).to_bytes(len(digits) // 8, "big") if digits else b""
    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], bits, colour, 0, 0, interlaced)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            extra,
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        )
    )


def jpeg(image: NDArray[Any], **how: Any) -> bytes:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "JPEG", quality=90, **how)
    return held.getvalue()


def file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


EXTRAS = {
    "none": b"",
    "gamma": chunk(b"gAMA", struct.pack(">I", 45455)),
    "12 significant bits": chunk(b"sBIT", b"\x0c"),
    "a transparent count": chunk(b"tRNS", struct.pack(">H", int(NOISE16[0, 0]))),
    "background": chunk(b"bKGD", b"\0\1"),
    "sRGB": chunk(b"sRGB", b"\0"),
    "PQ": chunk(b"cICP", b"\x09\x10\0\1"),
    "a broken colour profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")),
    "a broken text": chunk(b"tEXt", b"a\0b")[:-1] + b"!",
}


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("interlaced", [False, True])
def test_no_other_chunk_of_a_png_changes_a_count(extra: str, interlaced: bool, tmp_path: Path) -> None:
    frame = read_frame(file(tmp_path / "a.png", png(NOISE16, 16, extra=EXTRAS[extra], interlaced=interlaced)))
    assert frame.dtype == np.uint16
    np.testing.assert_array_equal(frame, NOISE16)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("extra", [b"", chunk(b"tRNS", b"\0\1")], ids=["plain", "transparent"])
def test_grey_of_few_bits_keeps_its_counts_and_a_photograph_its_brightness(
    bits: int, extra: bytes, tmp_path: Path
) -> None:
    image = (NOISE8 % (1 << bits)).astype(np.uint8)
    path = file(tmp_path / "a.png", png(image, bits, extra=extra))
    np.testing.assert_array_equal(read_frame(path), image)
    np.testing.assert_array_equal(read_rgb(path)[..., 1], image * (255 // ((1 << bits) - 1)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_grey_palette_is_grey_and_a_coloured_one_colour(bits: int, tmp_path: Path) -> None:
    indices = (NOISE16 % (1 << bits)).astype(np.uint8)
    greys = (np.arange(1 << bits) * 7 % 256).astype(np.uint8)
    path = file(tmp_path / "a.png", png(indices, bits, 3, chunk(b"PLTE", np.repeat(greys, 3).tobytes())))
    np.testing.assert_array_equal(read_frame(path), greys[indices])
    colours = RANDOM.integers(0, 256, (1 << bits, 3)).astype(np.uint8)
    path = file(tmp_path / "b.png", png(indices, bits, 3, chunk(b"PLTE", colours.tobytes())))
    assert read_frame(path).shape == (37, 53, 3)  # the SensorSpec refuses it
    np.testing.assert_array_equal(read_rgb(path), colours[indices])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [None, 0, 200])
def test_equal_channels_with_constant_alpha_are_one_channel(
    bits: int, alpha: int | None, tmp_path: Path
) -> None:
    grey = NOISE8 if bits == 8 else NOISE16
    layers = [grey] * 3 + ([] if alpha is None else [np.full_like(grey, alpha)])
    frame = read_frame(file(tmp_path / "a.png", png(np.stack(layers, -1), bits, 2 if alpha is None else 6)))
    assert frame.dtype == grey.dtype
    np.testing.assert_array_equal(frame, grey)
    if alpha is not None:
        two = np.stack([grey, layers[3]], -1)
        np.testing.assert_array_equal(read_frame(file(tmp_path / "b.png", png(two, bits, 4))), grey)


def test_channels_that_differ_in_one_pixel_or_a_varying_alpha_stay(tmp_path: Path) -> None:
    nearly = np.stack([NOISE8] * 3, -1)
    nearly[5, 6, 2] ^= 1
    assert read_frame(file(tmp_path / "a.png", png(nearly, 8, 2))).shape == (37, 53, 3)
    assert read_frame(file(tmp_path / "b.png", png(np.stack([NOISE8] * 4, -1), 8, 6))).shape == (37, 53, 4)


def test_that_equal_channels_are_taken_for_one_is_noted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.png", "b.png"):
        read_frame(file(tmp_path / name, png(np.stack([NOISE8] * 3, -1), 8, 2)))
    assert caplog.messages == [f"{tmp_path}: grey stored as equal channels is read as one channel"]


WHOLE = {".png": png(NOISE16, 16), ".jpg": jpeg(BLOCKS)}


@pytest.mark.parametrize(
    "tail",
    [bytes(8192), b"\0\0\0\x18ftypmp42" + RANDOM.bytes(50_000), b"\r\n", b"\xff" * 99],
    ids=["zeros", "film", "line", "ff"],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_follows_a_whole_picture_is_left_alone(suffix: str, tail: bytes, tmp_path: Path) -> None:
    """Motion photos, cameras that pad to a block, downloads with a tail."""
    alone = read_rgb(file(tmp_path / f"a{suffix}", WHOLE[suffix]))
    np.testing.assert_array_equal(read_rgb(file(tmp_path / f"b{suffix}", WHOLE[suffix] + tail)), alone)


@pytest.mark.parametrize("filling", [b"\0" * 500, b"\xff" * 500, b"\0"], ids=["zeros", "ff", "one"])
def test_a_jpeg_that_is_padded_before_its_end_mark_is_whole(filling: bytes, tmp_path: Path) -> None:
    whole = WHOLE[".jpg"]
    alone = read_rgb(file(tmp_path / "a.jpg", whole))
    np.testing.assert_array_equal(
        read_rgb(file(tmp_path / "b.jpg", whole[:-2] + filling + whole[-2:])), alone
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_second_picture_behind_the_first_is_no_tail(suffix: str, tmp_path: Path) -> None:
    """Else a film of single pictures would give one answer."""
    with pytest.raises(DataError, match="holds several pictures"):
        read_frame(file(tmp_path / f"a{suffix}", WHOLE[suffix] * 2))


def test_previews_that_cameras_append_are_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(BLOCKS).save(path, "MPO", save_all=True, append_images=[Image.fromarray(BLOCKS)])
    assert read_rgb(path).shape == BLOCKS.shape


def test_an_animation_is_refused_by_the_number_of_its_frames(tmp_path: Path) -> None:
    still = Image.fromarray(NOISE8)
    still.save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(NOISE8 ^ 1)] * 2)
    with pytest.raises(DataError, match="holds 3 frames"):
        read_frame(tmp_path / "a.png")


KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "4:4:4": {"subsampling": 0},
    "4:2:0": {"subsampling": 2},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_jpeg_is_decoded_as_pillow_does(kind: str, tmp_path: Path) -> None:
    path = file(tmp_path / "a.jpg", jpeg(BLOCKS, **KINDS[kind]))
    with Image.open(path) as image:
        np.testing.assert_allclose(read_rgb(path).astype(int), np.asarray(image).astype(int), atol=1)
    path = file(tmp_path / "b.jpg", jpeg(BLOCKS[..., 0], **{**KINDS[kind], "subsampling": -1}))
    with Image.open(path) as image:
        np.testing.assert_allclose(read_frame(path).astype(int), np.asarray(image).astype(int), atol=1)


def test_zeros_that_decode_to_pixels_are_no_padding(tmp_path: Path) -> None:
    """Of a picture of much detail, zeros hold more than the same number of its own bytes."""
    noise = RANDOM.integers(0, 256, (240, 320), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(noise).save(held, "JPEG", quality=100)
    data = held.getvalue()
    half = len(data) // 2
    with pytest.raises(DataError, match="is damaged"):
        read_frame(file(tmp_path / "a.jpg", data[:half] + bytes(len(data) - half - 2) + b"\xff\xd9"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("damage", ["4 KiB of zeros", "2 kB lost", "cut and closed", "zeros to the end mark"])
def test_a_jpeg_with_missing_pixels_is_named_as_damaged(
    kind: str, share: float, damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenCV fills them with grey; only libjpeg's complaint tells."""
    data = jpeg(BLOCKS, **KINDS[kind])
    at = int(share * len(data))
    damaged = {
        "4 KiB of zeros": data[:at] + bytes(4096) + data[at + 4096 :],
        "2 kB lost": data[:at] + data[at + 2000 :],
        "cut and closed": data[:at] + b"\xff\xd9",
        "zeros to the end mark": data[:at] + bytes(len(data) - at - 2) + b"\xff\xd9",
    }[damage]
    with pytest.raises(DataError, match=r"a\.jpg: is (damaged|truncated)"):
        read_rgb(file(tmp_path / "a.jpg", damaged))
    assert capfd.readouterr().err == ""  # libjpeg's word without a file's name


def test_complaints_of_many_threads_reach_the_right_file(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    whole = jpeg(BLOCKS)
    half = len(whole) // 2
    bad = whole[:half] + bytes(4096) + whole[half + 4096 :]
    paths = [file(tmp_path / f"{i}.jpg", bad if i % 5 == 0 else whole) for i in range(60)]

    def outcome(path: Path) -> str:
        try:
            return str(read_rgb(path).shape)
        except DataError as error:
            return str(error).split(":")[1]

    expected = [" is damaged" if i % 5 == 0 else "(480, 640, 3)" for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outcome, paths)) == expected


@pytest.mark.parametrize(
    ("marker", "words"),
    [(0xC3, "lossless"), (0xC5, "hierarchical"), (0xC9, "arithmetic-coded"), (0xCA, "arithmetic-coded")],
)
def test_kinds_of_jpeg_that_are_not_read_are_named(marker: int, words: str, tmp_path: Path) -> None:
    data = jpeg(BLOCKS).replace(b"\xff\xc0\x00\x11", bytes((0xFF, marker, 0, 17)))
    with pytest.raises(DataError, match=words):
        read_rgb(file(tmp_path / "a.jpg", data))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c", "a JPEG of 12 bits"),
        (b"\xff\xc0\x00\x11\x08\x01\xe0", b"\xff\xc0\x00\x11\x08\0\0", "its height at its end"),
        (
            b"\xff\xc0\x00\x11\x08\x01\xe0\x02\x80",
            b"\xff\xc0\x00\x11\x08\x20\0\x20\0",
            "cannot hold 8192x8192",
        ),
        (b"\xff\xd8", b"\xff\xd8\xff\xfe\x00\x0bCS=ITU601", "squeezed to 16..235"),
    ],
)
def test_headers_that_change_what_counts_mean_are_refused(
    old: bytes, new: bytes, words: str, tmp_path: Path
) -> None:
    data = jpeg(BLOCKS)
    assert old in data
    with pytest.raises(DataError, match=words):
        read_frame(file(tmp_path / "a.jpg", data.replace(old, new, 1)))


@pytest.mark.parametrize("kind", ["a flipped bit", "zeros", "rows are missing", "no header", "no end mark"])
def test_a_damaged_png_is_named(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = WHOLE[".png"]
    short = png(NOISE16[:30], 16).replace(struct.pack(">II", 53, 30), struct.pack(">II", 53, 37))
    head = short[12:29]
    damaged = {
        "a flipped bit": whole[:1000] + bytes((whole[1000] ^ 1,)) + whole[1001:],
        "zeros": whole[:500] + bytes(500) + whole[1000:],
        "rows are missing": short[:29] + struct.pack(">I", zlib.crc32(head)) + short[33:],
        "no header": whole[:8] + whole[33:],
        "no end mark": whole[:-12],
    }[kind]
    for read in (read_frame, read_rgb):
        with pytest.raises(DataError, match=r"a\.png: is (damaged|truncated)"):
            read(file(tmp_path / "a.png", damaged))
    assert capfd.readouterr().err == ""  # libpng's word without a file's name
