"""SUN RGB-D (Song et al., CVPR 2015) as its authors' archive unpacks.

``SUNRGBD/{kv1,kv2,realsense,xtion}/.../SAMPLE/`` holds ``scene.txt``, ``image/*.jpg``, ``depth/*.png`` (the sensor's)
and ``depth_bfx/*.png`` (holes filled by the authors); samples lie at various depths below a camera's folder.
"""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.data.public.scenes import Found, Pair, Split, contents, folders, only_file
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import natural_key
from tgkt_edge.sensor import PRESETS

DOMAINS = ("kv1", "kv2", "realsense", "xtion")
"""Folders of the four cameras: Kinect v1 and v2, Intel RealSense, Asus Xtion."""

# The paper's appendix C.1, with the spelling of scene.txt where it differs by more than a blank ("book store").
SPLIT = Split(
    task=(
        "bathroom", "classroom", "computer_room", "conference_room", "corridor", "discussion_area", "home_office",
        "idk", "kitchen", "lab", "living_room", "office", "office_kitchen", "printer_room", "reception_room",
        "rest_space", "study_space",
    ),
    other=(
        "basement", "bedroom", "bookstore", "cafeteria", "coffee_room", "dancing_room", "dinette", "dining_area",
        "dining_room", "exhibition", "furniture_store", "gym", "home", "study", "hotel_room", "indoor_balcony",
        "laundromat", "lecture_theatre", "library", "lobby", "mail_room", "music_room", "office_dining", "playroom",
        "reception", "recreation_room", "stairs", "storage_room",
    ),
    origin="the paper's Table 1",
    frames={"kv1": 1258, "kv2": 2250, "realsense": 727, "xtion": 2528},
    pairs=3572,
)  # fmt: skip

DEPTH = {"filled": "depth_bfx", "raw": "depth"}


def _root(src: Path) -> Path:
    return src / "SUNRGBD" if (src / "SUNRGBD").is_dir() else src


def looks_like(src: Path) -> bool:
    """Whether ``src`` has a camera's folder."""
    return any((_root(src) / domain).is_dir() for domain in DOMAINS)


def read(src: Path, depth: str) -> Found:
    """Every sample of every camera that is there, in natural order of paths.

    Args:
        src: the folder SUNRGBD, or the one it lies in.
        depth: "filled" or "raw".

    Raises:
        DataError: no camera's folder, or no scene.txt below them.
    """
    root = _root(src)
    found = Found([], PRESETS["sunrgbd"])
    samples = 0
    for domain in DOMAINS:
        for sample in sorted(_samples(root / domain), key=natural_key):
            samples += 1
            scene = (sample / "scene.txt").read_text(encoding="utf-8", errors="replace").strip()
            image = only_file(sample / "image", (".jpg", ".jpeg", ".png"))
            frame = only_file(sample / DEPTH[depth], (".png",))
            missing = [
                what
                for what, there in (
                    ("no scene named in scene.txt", scene),
                    ("not exactly one picture in image/", image),
                    (f"not exactly one PNG in {DEPTH[depth]}/", frame),
                )
                if not there
            ]
            if missing or image is None or frame is None:
                found.bad.append(f"{sample}: {', '.join(missing)}")
            else:
                found.pairs.append(Pair(image, frame, scene, domain))
    if not samples:
        raise DataError(
            f"{src}: not SUN RGB-D: looked for {', '.join(f'{name}/' for name in DOMAINS)} with samples that hold "
            f"scene.txt, here or in SUNRGBD/ below; found {contents(root)}. Unpack the authors' SUNRGBD.zip."
        )
    other = "raw" if depth == "filled" else "filled"
    found.notes.append(
        f"depth from {DEPTH[depth]}/; `depth={other}` takes {DEPTH[other]}/. The paper does not say which it used."
    )
    return found


def _samples(folder: Path) -> list[Path]:
    """Folders with scene.txt below ``folder``; nothing below a sample is searched."""
    samples = []
    for place, below, files in folders(folder):
        if "scene.txt" in files:
            samples.append(place)
            below.clear()
    return samples
