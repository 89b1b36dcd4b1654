"""Writes rendered scenes as the files a user would bring: labelled RGB, unlabelled sensor frames, pairs, a clip."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.demo.scenes import OTHER_CLASSES, TASK_CLASSES, Frames, render, render_clip

# Each part of the data draws its scenes from a range of its own, so that no scene is in two of them.
# render_clip has its own, too.
_FIRST_INDEX = {"source": 0, "target": 100_000, "paired": 200_000}
_MAX_PER_CLASS = 100_000
# In the clip: few, so that many scenes are in it and no single one decides the accuracy.
_CLIP_FRAMES_PER_SCENE = 5

Sensor = Literal["depth", "nir"]


def write_demo_data(
    folder: Path,
    *,
    seed: int = 0,
    source_per_class: int = 60,
    target_per_class: int = 40,
    pairs_per_class: int = 30,
    clip_frames: int = 120,
    sensor: Sensor = "depth",
    others: tuple[str, ...] = OTHER_CLASSES,
    width: int = 160,
    height: int = 120,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a data set into `folder`, which must not exist; its parents are made where missing.

    source/<class>/<id>.png      RGB, 8 bits a channel, in a folder a class (TASK_CLASSES)
    target/<id>.png              one channel of 16 bits, shuffled, nothing in the names tells the class
    target_labels.csv            header frame,label; paths relative to the CSV; for evaluation only
    paired/rgb/<id>.png and
    paired/frame/<id>.png        one scene in RGB and by the sensor under one name (others)
    clip/000000.png ...          sensor frames in time order, a slow walk through one scene after the other
    clip_labels.csv              like target_labels.csv

    Sensor frames hold millimetres with 0 for no reading (depth) or 10-bit counts, 64..1023 (nir); they are
    width x height pixels, and so is the RGB. No scene appears in two of the parts.

    others: classes of the pairs, of OTHER_CLASSES and NEAR_CLASSES.
    seed: from 0; the same arguments give the same files. source_per_class, target_per_class,
    pairs_per_class: scenes a class, 1..100,000. clip_frames: frames of the clip in all, at least one a class.
    progress: called with (scenes rendered, scenes in all), from (0, n) to (n, n).

    The data are written beside `folder` and renamed at the end, so a run that fails or is interrupted leaves
    no half-written folder. Raises FileExistsError if `folder` exists, ValueError for a count, a size, a seed
    or a sensor out of range, and OSError where writing fails.
    """
    folder = Path(folder)
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder} already exists")
    for name, count in (
        ("source_per_class", source_per_class),
        ("target_per_class", target_per_class),
        ("pairs_per_class", pairs_per_class),
    ):
        if not 1 <= count <= _MAX_PER_CLASS:
            raise ValueError(f"{name} must be in 1..{_MAX_PER_CLASS}, got {count}")
    if clip_frames < len(TASK_CLASSES):
        raise ValueError(f"clip_frames must be at least {len(TASK_CLASSES)}, got {clip_frames}")
    if sensor not in ("depth", "nir"):
        raise ValueError(f"sensor must be 'depth' or 'nir', got {sensor!r}")
    counts = (source_per_class, target_per_class, pairs_per_class)
    total = len(TASK_CLASSES) * (source_per_class + target_per_class)
    total += len(others) * pairs_per_class + clip_frames

    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    part.mkdir()
    try:
        steps = _write(part, seed, counts, clip_frames, sensor, others, width, height)
        if progress is not None:
            progress(0, total)
        for done, _ in enumerate(steps, start=1):
            if progress is not None:
                progress(done, total)
        part.rename(folder)
    except BaseException:  # also Ctrl-C
        shutil.rmtree(part, ignore_errors=True)
        raise


def _write(
    folder: Path,
    seed: int,
    counts: tuple[int, int, int],
    clip_frames: int,
    sensor: Sensor,
    others: tuple[str, ...],
    width: int,
    height: int,
) -> Iterator[None]:
    """Write everything; yields once a scene or clip frame."""
    source, target, pairs = counts
    for sub in ("target", "paired/rgb", "paired/frame", "clip", *(f"source/{name}" for name in TASK_CLASSES)):
        (folder / sub).mkdir(parents=True)

    def frames(part: str, name: str, number: int) -> Frames:
        return render(name, _FIRST_INDEX[part] + number, seed=seed, width=width, height=height)

    for name in TASK_CLASSES:
        for number in range(source):
            _save_rgb(folder / "source" / name / f"{number:06d}.png", frames("source", name, number).rgb)
            yield

    labels = []
    for position, (name, number) in enumerate(_shuffled(TASK_CLASSES, target, seed, 1)):
        path = f"target/{position:06d}.png"
        _save_frame(folder / path, frames("target", name, number), sensor)
        labels.append((path, name))
        yield
    _save_labels(folder / "target_labels.csv", labels)

    for position, (name, number) in enumerate(_shuffled(others, pairs, seed, 2)):
        pair = frames("paired", name, number)
        _save_rgb(folder / "paired" / "rgb" / f"{position:06d}.png", pair.rgb)
        _save_frame(folder / "paired" / "frame" / f"{position:06d}.png", pair, sensor)
        yield

    labels = []
    scenes = max(1, clip_frames // (len(TASK_CLASSES) * _CLIP_FRAMES_PER_SCENE))
    walk = [name for name, _ in _shuffled(TASK_CLASSES, scenes, seed, 3)]
    # Where the frames do not share out evenly, the walk goes on in further scenes.
    clip = render_clip(cycle(walk), clip_frames // len(walk), seed=seed, width=width, height=height)
    for position, (name, shot) in enumerate(islice(clip, clip_frames)):
        path = f"clip/{position:06d}.png"
        _save_frame(folder / path, shot, sensor)
        labels.append((path, name))
        yield
    _save_labels(folder / "clip_labels.csv", labels)


def _shuffled(names: tuple[str, ...], per_class: int, seed: int, stream: int) -> list[tuple[str, int]]:
    scenes = [(name, number) for name in names for number in range(per_class)]
    order = np.random.default_rng([seed, stream]).permutation(len(scenes))
    return [scenes[i] for i in order.tolist()]


def _save_rgb(path: Path, rgb: NDArray[np.uint8]) -> None:
    _save(path, np.ascontiguousarray(rgb[..., ::-1]))  # OpenCV keeps blue first


def _save_frame(path: Path, frames: Frames, sensor: Sensor) -> None:
    _save(path, frames.depth_mm if sensor == "depth" else frames.nir)


def _save(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    import cv2

    # cv2.imwrite cannot write to every path on Windows, and says only True or False.
    ok, data = cv2.imencode(".png", image)
    if not ok:
        raise OSError(f"cannot encode {path}")
    path.write_bytes(data.tobytes())


def _save_labels(path: Path, rows: list[tuple[str, str]]) -> None:
    lines = ["frame,label", *(f"{frame},{label}" for frame, label in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
