"""DIML/CVL RGB-D (Cho et al., 2021): the indoor sample of 1609 + 503 = 2112 pairs, which is the paper's number.

``indoor/{train,test}/{HR,LR}/SCENE/{color,depth_filled}/``: ``NAME_c.png`` beside ``NAME_depth_filled.png``, 16 bit,
millimetres; SCENE is numbered ("12. Livingroom"). The layout is known from public readers of the set, not from the set.
Colour may have another format, as it may in copies of the other sets.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tgkt_edge.data.public.scenes import Found, Pair, Split, contents, files_in, folders
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import SUFFIXES, natural_key
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
    """Every pair below ``src``; where a folder is in HR/ and in LR/, LR (288 pixels high, more than training reads).

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
        raise DataError(f"`depth=raw`: {src} holds filled depth only (depth_filled/)")
    # Sizes may differ between train and test of other copies; each frame is resized on its own anyway.
    found = Found([], replace(PRESETS["depth"], size="any"))
    twins = _twins(src, scenes)
    if twins:
        found.notes.append(
            f"took LR/ and left HR/, the same images, larger, of {len(twins)} folders that are there in both sizes"
        )
    chosen = [folder for folder in scenes if folder not in twins]
    for large, small in twins.items():
        there, expected = (len(files_in(folder / "color", SUFFIXES)) for folder in (small, large))
        if there < expected:
            found.bad.append(
                f"{small}: holds {there} colour images, but {large} {expected}: was all of it copied?"
            )
    for folder in sorted(chosen, key=natural_key):
        frames = {path.name: path for path in files_in(folder / "depth_filled", (".png",))}
        for image in files_in(folder / "color", SUFFIXES):
            stem = image.stem.removesuffix("_c")
            frame = frames.pop(f"{stem}_depth_filled.png", None)
            if frame is not None and frame.is_file():
                found.pairs.append(Pair(image, frame, folder.name))
            else:
                found.bad.append(f"{image}: has no {stem}_depth_filled.png of its own in depth_filled/")
        found.bad.extend(f"{frame}: has no colour image of its name in color/" for frame in frames.values())
    return found


def _scenes(src: Path) -> list[Path]:
    return [place for place, below, _ in folders(src) if {"color", "depth_filled"} <= set(below)]


def _twins(src: Path, scenes: list[Path]) -> dict[Path, Path]:
    """Of every folder in HR/ that is there in LR/, too, the one in LR/. A folder above ``src`` may have any name."""
    at = {folder.relative_to(src).parts: folder for folder in scenes}
    twins = {at[parts]: at.get(tuple("LR" if part == "HR" else part for part in parts)) for parts in at}
    return {folder: twin for folder, twin in twins.items() if twin is not None and twin != folder}
