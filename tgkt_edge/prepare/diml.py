"""DIML/CVL RGB-D (Cho et al., 2021): the indoor sample of 1609 + 503 = 2112 pairs, which is the paper's number.

``indoor/{train,test}/{HR,LR}/SCENE/{color,depth_filled}/``: ``NAME_c.png`` beside ``NAME_depth_filled.png``, 16 bit,
millimetres; SCENE is numbered ("12. Livingroom"). The layout is known from public readers of the set, not from the set.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tgkt_edge.errors import DataError
from tgkt_edge.images import natural_key
from tgkt_edge.prepare.scenes import Found, Pair, Split, contents, folders
from tgkt_edge.sensor import PRESETS

# The paper's appendix C.2.
SPLIT = Split(
    task=("bathroom", "classroom", "computer_room", "corridor", "kitchen", "living_room"),
    other=(
        "bedroom", "billiard_hall", "bookstore", "cafe", "church", "hospital", "laboratory", "library",
        "meeting_room", "restaurant", "store", "warehouse",
    ),
    origin="the paper's Table 1",
    frames={"": 693},
    pairs=1419,
)  # fmt: skip


def looks_like(src: Path) -> bool:
    """Whether a folder somewhere below has ``color/`` and ``depth_filled/``."""
    return bool(_scenes(src))


def read(src: Path, depth: str) -> Found:
    """Every pair below ``src``; of HR and LR, where both are there, LR (288 pixels high, more than training reads).

    Raises:
        DataError: no such folder below; or ``depth`` is "raw", which the sample does not hold.
    """
    scenes = _scenes(src)
    if not scenes:
        full = [place for place, below, _ in folders(src) if {"col", "up_png"} <= set(below)]
        more = (
            f" This is the full set ({full[0]} has col/ and up_png/); the paper used its indoor sample."
            if full
            else ""
        )
        raise DataError(
            f"{src}: not the DIML indoor sample: looked for SCENE/color and SCENE/depth_filled below; found "
            f"{contents(src)}.{more}"
        )
    if depth == "raw":
        raise DataError(f"--depth raw: {src} holds filled depth only (depth_filled/)")
    sizes = {"LR": [s for s in scenes if "LR" in s.parts], "HR": [s for s in scenes if "HR" in s.parts]}
    # Sizes may differ between train and test of other copies; each frame is resized on its own anyway.
    found = Found([], replace(PRESETS["depth"], size="any"))
    chosen = scenes
    if sizes["LR"] and sizes["HR"]:
        chosen = sizes["LR"]
        found.notes.append("took the images of LR/ and left those of HR/, which are the same ones, larger")
    for folder in sorted(chosen, key=natural_key):
        for image in sorted((folder / "color").glob("*.png"), key=natural_key):
            stem = image.stem.removesuffix("_c")
            frame = folder / "depth_filled" / f"{stem}_depth_filled.png"
            if frame.is_file():
                found.pairs.append(Pair(image, frame, folder.name))
            else:
                found.bad.append(f"{image}: has no {frame.name} in depth_filled/")
    return found


def _scenes(src: Path) -> list[Path]:
    return [place for place, below, _ in folders(src) if {"color", "depth_filled"} <= set(below)]
