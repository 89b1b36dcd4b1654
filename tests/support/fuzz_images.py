"""Mutated files of every format that is read, thrown at what reads them. A program of its own, since a crash ends it.

``python fuzz_images.py FOLDER COUNT SEED`` ends with 0 and prints what became of COUNT files. Before each file is read
it is written to FOLDER/last, where a crash leaves it.
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import tifffile
from PIL import Image

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.images import decode_jpeg_frame, read_frame, read_rgb
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS

MEMORY = 6 << 30
SECONDS = 20.0
"""A file that takes more of either is a fault like a crash."""

INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 127, 128, 254, 255)
WORDS = (0, 1, 255, 256, 32767, 32768, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def saved(image: Any, form: str, mode: str | None = None, **how: Any) -> bytes:
    held = io.BytesIO()
    still = (
        Image.fromarray(image) if mode is None else Image.frombytes(mode, image.shape[1::-1], image.tobytes())
    )
    still.save(held, form, **how)
    return held.getvalue()


def seeds(folder: Path) -> dict[str, bytes]:
    """A small whole file of every kind that is read, and of some that are not."""
    noise = np.random.default_rng(0).integers(0, 65536, (24, 32)).astype(np.uint16)
    grey, colour = (
        (noise >> 8).astype(np.uint8),
        np.stack([noise >> 8, noise & 255, noise >> 4], -1).astype(np.uint8),
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {
        "16.png": saved(noise, "PNG"),
        "exif.png": saved(grey, "PNG", exif=exif),
        "colour.png": saved(colour, "PNG"),
        "palette.png": saved(grey, "PNG", bits=8),
        "animation.png": saved(grey, "PNG", save_all=True, append_images=[Image.fromarray(grey // 2)]),
        "grey.jpg": saved(grey, "JPEG", exif=exif),
        "colour.jpg": saved(colour, "JPEG", subsampling=2),
        "progressive.jpg": saved(colour, "JPEG", progressive=True),
        "restarts.jpg": saved(colour, "JPEG", restart_marker_rows=1),
        "cmyk.jpg": saved(np.dstack([colour, grey]), "JPEG", mode="CMYK"),
        "grey.bmp": saved(grey, "BMP"),
        "colour.bmp": saved(colour, "BMP"),
        "lossless.webp": saved(colour, "WEBP", lossless=True, exif=exif),
        "lossy.webp": saved(colour, "WEBP"),
        "binary.pgm": b"P5\n32 24\n65535\n" + noise.astype(">u2").tobytes(),
        "text.pgm": b"P2\n32 24\n255\n" + b" ".join(b"%d" % value for value in grey.ravel()),
        "colour.ppm": b"P6 32 24 255\n" + colour.tobytes(),
        "floats.pfm": b"Pf\n32 24\n-1.0\n" + noise.astype("<f4").tobytes(),
    }
    floats = noise.astype(np.float32) / 7
    for name, save in (("array.npy", np.save), ("one.npz", np.savez), ("packed.npz", np.savez_compressed)):
        held = io.BytesIO()
        save(held, floats)
        found[name] = held.getvalue()
    for name, packing in (("zip.exr", OpenEXR.ZIP_COMPRESSION), ("rle.exr", OpenEXR.RLE_COMPRESSION)):
        header = {"compression": packing, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"Z": floats, "A": np.round(floats)}).write(str(folder / "seed.exr"))
        found[name] = (folder / "seed.exr").read_bytes()
    predictor = [cv2.IMWRITE_TIFF_COMPRESSION, 8, cv2.IMWRITE_TIFF_PREDICTOR, 3]
    found["floats.tif"] = cv2.imencode(".tif", floats, predictor)[1].tobytes()
    for packing in ("raw", "tiff_lzw", "packbits", "tiff_deflate"):
        found[f"{packing}.tif"] = saved(noise, "TIFF", compression=packing)
    laid_out: tuple[tuple[str, dict[str, Any]], ...] = (
        ("tiles.tif", {"tile": (16, 16), "compression": "zlib", "predictor": True}),
        ("big.tif", {"bigtiff": True, "byteorder": ">"}),
        ("pages.tif", {}),
    )
    for name, how in laid_out:
        held = io.BytesIO()
        tifffile.imwrite(
            held, np.stack([noise] * 3) if name == "pages.tif" else noise, photometric="minisblack", **how
        )
        found[name] = held.getvalue()
    for suffix in ("mkv", "avi"):
        for depth in (np.uint8, np.uint16):
            path = folder / f"seed.{suffix}"
            options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U if depth == np.uint16 else cv2.CV_8U]
            options += [cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
            writer = cv2.VideoWriter(
                str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 5, (32, 24), options
            )
            for shift in range(3):
                writer.write((noise >> shift).astype(depth) if depth == np.uint16 else grey >> shift)
            writer.release()
            found[f"{np.dtype(depth).name}.{suffix}"] = path.read_bytes()
    return found


def mutate(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to five changes, of which half lie in the first 200 bytes. Of a PNG sometimes those are changed that its
    pixels are packed from, or its checksums are made right again."""
    if data.startswith(b"\x89PNG") and chance.random() < 0.4:
        start = data.index(b"IDAT")
        length = struct.unpack_from(">I", data, start - 4)[0]
        rows = changed(zlib.decompress(data[start + 4 : start + 4 + length]), chance, others)
        packed = zlib.compress(rows)
        return with_checksums(
            data[: start - 4] + struct.pack(">I", len(packed)) + b"IDAT" + packed + data[start + 4 + length :]
        )
    mutated = changed(data, chance, others)
    return with_checksums(mutated) if mutated.startswith(b"\x89PNG") and chance.random() < 0.5 else mutated


def changed(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """``data`` with one to five changes."""
    held = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        if not held:
            break
        at = chance.randrange(min(len(held), 200) if chance.random() < 0.5 else len(held))
        kind = chance.randrange(10)
        if kind == 0:
            held[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            held[at] = chance.choice(INTERESTING)
        elif kind == 2:
            word = struct.pack(chance.choice("<>") + "I", chance.choice(WORDS))
            held[at : at + 4] = word
        elif kind == 3:
            held[at : at + 2] = struct.pack(chance.choice("<>") + "H", chance.choice(WORDS) & 0xFFFF)
        elif kind == 4:
            del held[at : at + chance.randint(1, 64)]
        elif kind == 5:
            held[at:at] = chance.randbytes(chance.randint(1, 64))
        elif kind == 6:
            del held[at:]
        elif kind == 7:
            start, size = chance.randrange(len(held)), chance.randint(1, 64)
            held[at : at + size] = held[start : start + size]
        elif kind == 8:
            held += chance.randbytes(chance.randint(1, 64))
        else:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            held[at : at + 64] = other[start : start + 64]
    return bytes(held)


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums fit, so that what is behind them is reached."""
    held, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        length = struct.unpack_from(">I", data, position)[0]
        body = data[position + 4 : position + 8 + length]
        held += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return bytes(held)


def try_file(path: Path, data: bytes) -> str:
    """What became of it: the readers that returned pixels, or the kind of error."""
    outcomes = []
    for read in (read_frame, read_rgb):
        try:
            outcomes.append(f"{read(path).ndim} axes")
        except TgktEdgeError as error:
            outcomes.append(type(error).__name__)
    if data.startswith(b"\xff\xd8"):
        try:
            decode_jpeg_frame(data)
        except TgktEdgeError as error:
            outcomes.append(type(error).__name__)
    try:
        with open_source(str(path), PRESETS["nir"]) as source:
            count = sum(captured.frame is not None for captured in iter(source.read, None))
        outcomes.append(f"{min(count, 4)} frames")
    except TgktEdgeError as error:
        outcomes.append(type(error).__name__)
    return ", ".join(outcomes)


def main(folder: Path, count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    whole = seeds(folder)
    chance = random.Random(seed)
    names, others = list(whole), list(whole.values())
    outcomes: Counter[str] = Counter()
    last = folder / "last"
    for number in range(count):
        name = names[number % len(names)]
        data = mutate(whole[name], chance, others)
        path = (
            folder
            / f"last.{name.split('.')[1] if chance.random() < 0.7 else chance.choice(['pfm', 'mkv', 'png', 'x'])}"
        )
        last.write_bytes(data)
        path.write_bytes(data)
        began = time.monotonic()
        outcomes[f"{name.split('.')[1]}: {try_file(path, data)}"] += 1
        path.unlink()
        taken = time.monotonic() - began
        if taken > SECONDS:
            sys.exit(f"{name}: {taken:.0f} s for {len(data)} bytes")
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
