"""What ``--align`` does to pairs: on rendered scenes, where the truth is known, and on real frames as far as they tell.

    python benchmarks/alignment.py [--data DIR] [--scenes N]

The demo's scenes, seen by a depth camera (640x480, 70 degrees) and by a color camera 55 mm beside it that is turned by
a degree and sees 64 degrees (960x720), as RGB-D cameras are built. Depth is what the simulated sensor delivers: noise
that grows with distance, steps, shadows, holes. A minute. Columns:

- where the color of a pixel is looked for, against where the color camera truly has that point: median, 99 of 100
  pixels, pixels of the color picture; of exact depth, and of the sensor's;
- share of all pixels whose color is another than that of the point which the depth camera sees (over 40 of 255 in a
  channel, of pictures without noise): as the pictures are (the color picture resized), and aligned;
- where ``data check`` sees the RGB images, share of the side: as they are, and aligned;
- milliseconds of a core that aligning a pair takes, median of all: as it is, and where the color lens distorts.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.alignment.warp import ColorAligner, describe_shares, mean_shares
from tgkt_edge.data.check.alignment import Alignment, measure_alignment
from tgkt_edge.data.check.edges import SIDE
from tgkt_edge.demo.geometry import Camera
from tgkt_edge.demo.raycast import Hits, cast
from tgkt_edge.demo.scenes import OTHER_CLASSES, _build, _rng, _shoot
from tgkt_edge.io.images import read_frame, read_rgb
from tgkt_edge.sensor import PRESETS, Extrinsics, Intrinsics

DEPTH, COLOR = (640, 480), (960, 720)
SPEC = PRESETS["depth"]
DISTORTION = (0.1, -0.2, 0.001, 0.001, 0.05)


def lens(camera: Camera, size: tuple[int, int]) -> Intrinsics:
    focal = camera.focal_px(size[0])
    return Intrinsics(focal, focal, (size[0] - 1) / 2, (size[1] - 1) / 2)


def cameras(depth: Camera) -> tuple[Camera, Camera, Rig]:
    """A depth camera, a color camera beside it, and both as they would be calibrated."""
    depth = dataclasses.replace(depth, hfov=math.radians(70))
    aside = np.array(depth.position) + 0.055 * depth.rotation()[0].astype(float)
    x, y, z = (float(value) for value in aside)
    color = dataclasses.replace(
        depth, position=(x, y, z), yaw=depth.yaw + math.radians(1), hfov=math.radians(64)
    )
    turn = color.rotation().astype(float) @ depth.rotation().astype(float).T
    offset = color.rotation().astype(float) @ (np.array(depth.position) - np.array(color.position))
    return depth, color, Rig(lens(depth, DEPTH), lens(color, COLOR), Extrinsics.of(turn, offset))


def true_places(hits: Hits, color: Camera) -> NDArray[Any]:
    points = color.rotation().astype(float) @ (hits.point - np.array(color.position)[:, np.newaxis])
    places: NDArray[Any] = points[:2] / points[2] * color.focal_px(COLOR[0])
    return places + (np.array(COLOR)[:, np.newaxis] - 1) / 2


def painted(hits: Hits, size: tuple[int, int], paints: int) -> NDArray[np.uint8]:
    """Each material in a color of its own, and in tiles of 15 cm of it: pictures without light and noise."""
    colors = np.random.default_rng(1).integers(30, 256, (paints, 3)).astype(np.uint8)
    picture: NDArray[np.uint8] = colors[hits.material]
    picture[np.floor(hits.uv / 0.15).sum(0) % 2 == 1] //= 2
    return picture.reshape(size[1], size[0], 3)


def apart(one: NDArray[Any], other: NDArray[Any], among: NDArray[Any]) -> float:
    return float((np.abs(one.astype(int) - other).max(-1) > 40)[among].mean())


def small(
    picture: NDArray[Any], frame: NDArray[np.uint16]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Luminance, depth on a scale on which steps compare, and where it was measured, as ``data check`` has them."""
    side = (SIDE, SIDE)
    grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), side, interpolation=cv2.INTER_AREA)
    seen = cv2.resize((frame > 0).astype(np.float32), side, interpolation=cv2.INTER_AREA)
    metres = cv2.resize(frame.astype(np.float32), side, interpolation=cv2.INTER_AREA) / np.maximum(seen, 1e-3)
    return grey.astype(np.float32), np.log(np.maximum(metres, 1.0)), seen > 0.5


def seen_at(triples: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]) -> str:
    greys, depths, solid = zip(*triples, strict=True)
    return describe(measure_alignment(greys, depths, solid))


def describe(found: Alignment) -> str:
    where = f"{found.right:+.1%} right, {found.below:+.1%} below"
    size = f"{found.across - 1:+.0%} wide, {found.down - 1:+.0%} high"
    return f"{where}, {size} (edges agree by {found.score:.2f}, as they are by {found.as_is:.2f})"


def rendered(count: int) -> None:
    exact: list[NDArray[Any]] = []
    sensed: list[NDArray[Any]] = []
    before, after, shares, plain, aligned, straight, bent = [], [], [], [], [], [], []
    for number in range(count):
        name = OTHER_CLASSES[number % len(OTHER_CLASSES)]
        builder, solids = _build(name, 500_000 + number, 0, *DEPTH)
        depth, color, rig = cameras(builder.camera)
        hits = cast(depth, builder.room, solids, *DEPTH)
        frames = _shoot(builder, solids, depth, _rng(0, name, number, 1), *DEPTH)
        image = _shoot(builder, solids, color, _rng(0, name, number, 1), *COLOR).rgb
        truth = true_places(hits, color)
        aligner = ColorAligner(rig, SPEC, "benchmark")
        millimetres = (
            np.clip(np.rint(hits.z * 1000), 0, 65535).astype(np.uint16).reshape(frames.depth_mm.shape)
        )
        inside = (truth > 0).all(0) & (truth[0] < COLOR[0] - 1) & (truth[1] < COLOR[1] - 1)
        for frame, errors in ((millimetres, exact), (frames.depth_mm, sensed)):
            known = inside & (frame.ravel() > 0)
            errors.append(np.hypot(*(aligner.places(frame).reshape(2, -1) - truth))[known])
        paints = len(builder.paints) + 1
        picture = painted(cast(color, builder.room, solids, *COLOR), COLOR, paints)
        wanted = painted(hits, DEPTH, paints)
        found = aligner.align(picture, frames.depth_mm)
        among = inside.reshape(frames.depth_mm.shape)
        before.append(apart(cv2.resize(picture, DEPTH, interpolation=cv2.INTER_AREA), wanted, among))
        after.append(apart(found.pixels, wanted, among))
        shares.append(found.to_dict())
        plain.append(small(image, frames.depth_mm))
        aligned.append(small(aligner.align(image, frames.depth_mm).pixels, frames.depth_mm))
        straight.append(seconds(aligner, image, frames.depth_mm))
        assert rig.color is not None
        distorted = dataclasses.replace(rig.color, distortion=DISTORTION)
        distorting = ColorAligner(dataclasses.replace(rig, color=distorted), SPEC, "benchmark")
        bent.append(seconds(distorting, image, frames.depth_mm))
    for what, errors in (("exact depth", exact), ("the sensor's depth", sensed)):
        values = np.concatenate(errors)
        middle, most = np.quantile(values, (0.5, 0.99))
        print(f"| reprojection, {what}, pixels: median, 99 % | {middle:.3f}, {most:.3f} |")
    print(f"| pixels of another color, as they are | {np.mean(before):.1%} |")
    print(f"| pixels of another color, aligned | {np.mean(after):.1%} |")
    mean = mean_shares(shares)
    assert mean is not None
    print(f"| {count} scenes | {describe_shares(mean)} |")
    print(f"| milliseconds a pair | {1e3 * np.median(straight):.1f}, {1e3 * np.median(bent):.1f} |")
    print(f"| `data check`, as they are | {seen_at(plain)} |")
    print(f"| `data check`, aligned | {seen_at(aligned)} |")


def seconds(aligner: ColorAligner, image: NDArray[Any], frame: NDArray[Any]) -> float:
    """Of one core, the second time: the first one computes the depth camera's rays."""
    aligner.align(image, frame)
    began = time.process_time()
    aligner.align(image, frame)
    return time.process_time() - began


def real(folder: Path) -> None:
    if not folder.is_dir():
        print(f"\n{folder} is not there: real frames are left out")
        return
    names = sorted(path.name for path in (folder / "rgb").iterdir())
    pairs = [(read_rgb(folder / "rgb" / name), read_frame(folder / "depth" / name)) for name in names]
    print(f"| {folder.name}, {len(pairs)} pairs, as they are | {seen_at([small(*pair) for pair in pairs])} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = os.environ.get("TGKT_EDGE_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--scenes", type=int, default=24)
    arguments = parser.parse_args()
    print("| | |\n|---|---|")
    rendered(arguments.scenes)
    real(arguments.data / "sensor16")


if __name__ == "__main__":
    main()
