"""RGB-NIR Scene (Brown and Suesstrunk, CVPR 2011): class folders with ``ID_rgb.tiff`` beside ``ID_nir.tiff``.

Copies of it hold JPEG or PNG instead. How many bits a NIR image has is read from the images, not assumed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tgkt_edge.data.public.scenes import Found, Pair, Split, contents, files_in
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import SUFFIXES, natural_key, read_frame
from tgkt_edge.io.system_names import is_system_folder
from tgkt_edge.sensor import PRESETS, SensorSpec

# The paper's appendix C.3.
SPLIT = Split(
    task=("country", "field", "indoor", "mountain", "street", "water"),
    other=("forest", "oldbuilding", "urban"),
    origin="the paper's Table 1",
    frames={"": 315},
    pairs=162,
)


def looks_like(src: Path) -> bool:
    """Whether there are class folders with ``*_rgb`` images."""
    return bool(_named(src, "_rgb"))


def read(src: Path, depth: str) -> Found:
    """Every pair of the class folders in ``src``, in natural order. ``depth`` means nothing here.

    Raises:
        DataError: no such images; NIR images of several kinds, or with three channels.
    """
    photos = _named(src, "_rgb")
    if not photos:
        raise DataError(
            f"{src}: not RGB-NIR Scene: looked for class folders with ID_rgb.tiff and ID_nir.tiff (or .jpg, .png); "
            f"found {contents(src)}. Unpack the authors' nirscene1.zip."
        )
    pairs, bad = [], []
    frames = dict.fromkeys(_named(src, "_nir"))
    for photo in photos:
        frame = photo.with_name(f"{photo.stem.removesuffix('_rgb')}_nir{photo.suffix}")
        frames.pop(frame, None)
        if frame.is_file():
            pairs.append(Pair(photo, frame, photo.parent.name))
        else:
            bad.append(f"{photo}: has no {frame.name} beside it")
    for frame in frames:
        photo = frame.with_name(f"{frame.stem.removesuffix('_nir')}_rgb{frame.suffix}")
        bad.append(f"{frame}: has no {photo.name} beside it")
    return Found(pairs, _sensor(pairs), bad)


def _named(src: Path, end: str) -> list[Path]:
    """Images of the class folders whose names end with ``end``, in natural order."""
    below = src.iterdir() if src.is_dir() else ()
    classes = [path for path in below if path.is_dir() and not is_system_folder(path.name)]
    found = [path for folder in classes for path in files_in(folder, SUFFIXES) if path.stem.endswith(end)]
    return sorted(found, key=natural_key)


def _sensor(pairs: list[Pair]) -> SensorSpec:
    """8 or 16 bits over their whole range, as the first image of every class says."""
    kinds: dict[str, Path] = {}
    for frame in {pair.scene: pair.frame for pair in reversed(pairs)}.values():
        pixels = read_frame(frame)
        if pixels.ndim != 2:
            raise DataError(
                f"{frame}: shape {pixels.shape}: a NIR image has one channel. Nothing is copied or converted here: "
                f"write the images with one channel first."
            )
        kinds.setdefault(str(pixels.dtype), frame)
    if len(kinds) > 1:
        raise DataError(
            "NIR images of several kinds: " + ", ".join(f"{kind} ({frame})" for kind, frame in kinds.items())
        )
    if list(kinds) == [str(np.dtype(np.uint16))]:
        return SensorSpec("nir", "uint16", black=0, white=65535, size="any")
    return PRESETS["nir8"]  # adapt refuses, by name, frames that are something else again
