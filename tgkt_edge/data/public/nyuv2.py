"""NYU Depth v2's labelled set (Silberman et al., ECCV 2012): the authors' .mat, or a folder of its images.

The .mat is HDF5 as MATLAB 7.3 writes it: arrays are transposed and text lies behind references. Its images lie inside,
so they are written out as PNG: RGB as it is; depth in millimetres, rounded, 16 bit, where 0 is no measurement. That
rounding changes 0.5 mm at most, less than one step of the sensor from half a metre on. The folder holds ``labels.csv``
with columns image,depth,scene and 8-bit depth, 255 counts to 9.995 m.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.names import clean, locate
from tgkt_edge.data.public.scenes import Found, Pair, Split, contents
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import PRESETS

# Not the paper's: the five scenes of this project's benchmark against all others.
SPLIT = Split(
    task=("bathroom", "bedroom", "bookstore", "classroom", "kitchen"),
    other=(),
    origin="this project's split nyuv2-5, which is not the paper's",
    frames={"": 814},
    pairs=635,
)

DEPTH = {"filled": "depths", "raw": "rawDepths"}
_COLUMNS = ("image", "depth", "scene")


def looks_like(src: Path) -> bool:
    """Whether ``src`` is an HDF5 file, or a folder with labels.csv."""
    return _is_hdf5(src) or (src / "labels.csv").is_file()


def read(src: Path, depth: str, out: Path) -> Found:
    """Every image, in the set's order.

    Args:
        src: the .mat file, or the folder.
        depth: "filled" (depths) or "raw" (rawDepths), in the .mat; the folder has filled depth only.
        out: where images of the .mat are written: ``rgb/0000.png``, ``depth/0000.png``.

    Raises:
        DataError: neither; or other fields, shapes or values than the set has.
    """
    if _is_hdf5(src):
        return _read_mat(src, depth, out)
    table = src / "labels.csv"
    if not table.is_file():
        raise DataError(
            f"{src}: not NYU Depth v2: looked for nyu_depth_v2_labeled.mat (MATLAB 7.3), or a folder with labels.csv; "
            f"found {contents(src)}."
        )
    if depth == "raw":
        raise DataError(f"`depth=raw`: {src} holds filled depth only; the .mat file has both")
    found = Found([], PRESETS["nyuv2"])
    for entry in read_table(table, str(table), _COLUMNS, may_be_empty=_COLUMNS):
        line, row = entry.line, {name: clean(text) for name, text in entry.fields.items()}
        empty = [name for name in _COLUMNS if not row[name]]
        if empty:
            found.bad.append(f"{table}, line {line}: column {', '.join(empty)} is empty")
            continue
        image, frame = locate(src, entry.fields["image"]), locate(src, entry.fields["depth"])
        missing = [str(path) for path in (image, frame) if not path.is_file()]
        if missing:
            found.bad.append(f"{table}, line {line}: lists {' and '.join(missing)}, which is not there")
        else:
            found.pairs.append(Pair(image, frame, row["scene"]))
    return found


def _is_hdf5(path: Path) -> bool:
    """MATLAB 7.3 puts 512 bytes of its own before the HDF5 signature."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(520)
    return any(start[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in (0, 512))


def _read_mat(src: Path, depth: str, out: Path) -> Found:
    h5py = require("h5py", "data", "Reading NYU Depth v2's .mat file")
    cv2 = require("cv2", "cpu", "Writing images")
    # The far limit of the 8-bit copy: both give the network the same inputs, except for rounding.
    found = Found([], replace(PRESETS["depth"], far_m=PRESETS["nyuv2"].far_m))
    for folder in ("rgb", "depth"):
        (out / folder).mkdir()
    with _reading(src), h5py.File(src) as mat:
        lacking = [name for name in ("images", DEPTH[depth], "sceneTypes") if name not in mat]
        if lacking:
            raise DataError(
                f"{src}: has no {', '.join(lacking)}; it holds {', '.join(mat)}. Expected the labelled set, "
                f"nyu_depth_v2_labeled.mat."
            )
        images, depths = mat["images"], mat[DEPTH[depth]]
        scenes = [_text(mat[reference]) for reference in np.ravel(mat["sceneTypes"])]
        count = len(scenes)
        fits = images.ndim == 4 and images.dtype == np.uint8 and depths.ndim == 3
        if not fits or images.shape != (count, 3, *depths.shape[1:]) or len(depths) != count:
            raise DataError(
                f"{src}: images {images.shape} {images.dtype}, {DEPTH[depth]} {depths.shape}, {count} scene types: "
                f"expected (N, 3, width, height) uint8, (N, width, height) and N"
            )
        for i, scene in enumerate(scenes):
            rgb, frame = Path("rgb") / f"{i:04d}.png", Path("depth") / f"{i:04d}.png"
            bgr = np.ascontiguousarray(images[i].T[:, :, ::-1])  # (H, W, 3)
            for path, pixels in ((rgb, bgr), (frame, millimetres(depths[i].T, f"{src}, frame {i}"))):
                if not cv2.imwrite(str(out / path), pixels):
                    raise DataError(f"cannot write {out / path}: is the disk full?")
            found.pairs.append(Pair(rgb, frame, scene))
    found.notes.append(f"depth from {DEPTH[depth]}, in millimetres, rounded; 0 where there is no measurement")
    return found


@contextmanager
def _reading(src: Path) -> Iterator[None]:
    """Turn what h5py raises about a damaged file into DataError; which of these, it depends on where the damage is."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        words = error.args[0] if error.args else type(error).__name__
        raise DataError(
            f"{src}: cannot be read: damaged, or not all of it was copied: {words}. Download it again."
        ) from error


def _text(codes: Any) -> str:
    """MATLAB text: (length, 1) uint16 character codes."""
    return "".join(map(chr, np.ravel(codes).tolist()))


def millimetres(metres: NDArray[np.floating[Any]], name: str) -> NDArray[np.uint16]:
    """(H, W) metres to millimetres, rounded, uint16; no measurement (0, NaN) is 0.

    Raises:
        DataError: less than 0, or more than 65.535 m, which no 16-bit frame can hold.
    """
    known = np.where(np.isnan(metres), 0, metres).astype(np.float64)
    if known.min() < 0 or known.max() > 65.535:
        raise DataError(f"{name}: depth from {known.min()} m to {known.max()} m: expected 0 to 65.535 m")
    counts = np.round(known * 1000)
    return np.ascontiguousarray(counts.astype(np.uint16))
