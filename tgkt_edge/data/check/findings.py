"""From what was measured to what to do: one finding a question, each "ok", "note" (look at it) or "fix"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from tgkt_edge.data.check.alignment import MIN_PAIRS, VISIBLE, Alignment
from tgkt_edge.data.check.belonging import Belonging
from tgkt_edge.data.check.copies import nearly_equal
from tgkt_edge.data.check.gather import Bad, Half, Pair
from tgkt_edge.data.check.gray import GRAY
from tgkt_edge.data.names import abbreviate
from tgkt_edge.data.value_checks import check_values
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import SensorSpec

State = Literal["ok", "note", "fix"]

MANY_HOLES, NEARLY_NOTHING = 0.5, 0.9
"""Mean share of pixels without a measurement that is noted; of one frame, from which it shows nothing."""

SHOWS_NOTHING = 0.6
"""Share of an RGB image at an end of its range from which it is too dark, or too bright."""

CHANCE = 0.7
"""Mean share of other frames that fit less well than the own, at and below which pairs hardly belong together."""

FEW_STRANGERS = 0.05
"""Share of pairs whose halves fit no better than strangers' that an honest set may have: dull scenes."""

REDUNDANT = 0.3
"""Share of near copies that is noted."""

SKEW_MS = 33.0
"""Time between the halves of a pair, from which people who walk are elsewhere: a frame at 30 a second."""


@dataclass(frozen=True)
class Finding:
    """The answer to one question.

    Attributes:
        question: a word: "alignment", "copies", ... state: "ok"; "note": look at it; "fix": must be fixed.
        text: what was found, and what to do. figures: the numbers behind it. names: examples.
    """

    question: str
    state: State
    text: str
    figures: Mapping[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "figures": dict(self.figures), "names": list(self.names)}


def on_files(total: int, bad: Sequence[Bad], question: str = "files") -> Finding:
    """Can all files be used?"""
    if not bad:
        return Finding(question, "ok", f"all {total} can be read and fit the sensor")
    first = bad[0].reason
    return Finding(
        question,
        "fix",
        f"{len(bad)} of {total + len(bad)} cannot be used, the first: {first}",
        {"bad": len(bad)},
        tuple(one.name for one in bad),
    )


def on_alignment(found: Alignment, size: tuple[int, int]) -> Finding:
    """Do the halves show the same pixels? ``size``: width and height of frames."""
    figures = {key: round(value, 4) for key, value in asdict(found).items()}
    right, below = round(found.right * size[0]), round(found.below * size[1])
    if found.pairs < MIN_PAIRS:
        return Finding("alignment", "note", f"{found.pairs} pairs are too few to measure it", figures)
    if found.score < VISIBLE:
        return Finding(
            "alignment",
            "note",
            f"edges of RGB images and frames have so little in common ({found.score:.2f}) that it cannot be measured",
            figures,
        )
    if not found.off:
        return Finding(
            "alignment",
            "ok",
            f"no displacement that can be seen (edges correlate by {found.as_is:.2f})",
            figures,
        )
    larger = f"{(found.across - 1):+.0%} across and {(found.down - 1):+.0%} down"
    return Finding(
        "alignment",
        "fix",
        f"RGB images fit when enlarged by {larger}, then moved by {right:+d} pixels to the right and {below:+d} down "
        f"(of {size[0]}x{size[1]}): edges correlate by {found.score:.2f} instead of {found.as_is:.2f}. Register colour "
        f"to the frames in the camera's own software, or crop and move the RGB images so.",
        figures,
    )


def on_belonging(found: Belonging, pairs: Sequence[Pair]) -> Finding:
    """Do the halves of a pair belong together?"""
    strangers = found.strangers
    figures = {"better": round(found.better, 4), "step": found.step, "strangers": len(strangers)}
    if found.step:
        return Finding(
            "belonging",
            "fix",
            f"each RGB image fits the frame {abs(found.step)} place{'s' if abs(found.step) > 1 else ''} "
            f"{'below' if found.step > 0 else 'above'} its own: one list has an entry too many at its beginning, or "
            f"the clocks of the cameras differ. Match them by time again.",
            figures,
        )
    if found.better <= CHANCE:
        return Finding(
            "belonging",
            "fix",
            f"an RGB image fits its own frame hardly better than another's (better than {found.better:.0%} of them; "
            f"chance is 50%): the pairs do not belong together, or the two cameras see different places.",
            figures,
        )
    names = tuple(pairs[i].name for i in strangers)
    if len(strangers) > FEW_STRANGERS * len(pairs):
        return Finding(
            "belonging",
            "fix" if len(strangers) > 2 * FEW_STRANGERS * len(pairs) else "note",
            f"{len(strangers)} of {len(pairs)} pairs fit no better than strangers do: look at them, and take out those "
            f"that do not belong together: {abbreviate(names)}",
            figures,
            names,
        )
    return Finding(
        "belonging",
        "ok",
        f"an RGB image fits its own frame better than {found.better:.0%} of others",
        figures,
        names,
    )


def on_gray(pairs: Sequence[Pair]) -> Finding:
    """Are frames their RGB images in gray?"""
    names = tuple(pair.name for pair in pairs if pair.explained >= GRAY)
    middle = float(np.median([pair.explained for pair in pairs]))
    figures = {"copies": len(names), "explained": round(middle, 4)}
    if not names:
        return Finding(
            "gray", "ok", f"RGB images explain {middle:.0%} of what differs within their frames", figures
        )
    return Finding(
        "gray",
        "fix" if len(names) > FEW_STRANGERS * len(pairs) else "note",
        f"{len(names)} of {len(pairs)} frames are their RGB image in gray ({GRAY:.1%} and more explained by red, green "
        f"and blue): no sensor took them, and they teach nothing of it. Bring what the sensor saw: {abbreviate(names)}",
        figures,
        names,
    )


def on_copies(halves: Sequence[Half], names: Sequence[str], what: str) -> Finding:
    """Are frames there twice?"""
    first: dict[tuple[int, tuple[int, int]], int] = {}
    equal = [i for i, half in enumerate(halves) if first.setdefault((half.crc32, half.size), i) != i]
    near = int(nearly_equal(np.stack([half.thumb for half in halves])).sum())
    figures = {"equal": len(equal), "near": near, "frames": len(halves)}
    if equal:
        copies = tuple(names[i] for i in equal)
        return Finding(
            f"copies ({what})",
            "note",
            f"{len(equal)} of {len(halves)} frames are exact copies of earlier ones, which teach nothing new: "
            f"{abbreviate(copies)}",
            figures,
            copies,
        )
    if near > REDUNDANT * len(halves):
        scenes = "1 scene counts" if len(halves) - near == 1 else f"{len(halves) - near} scenes count"
        return Finding(
            f"copies ({what})",
            "note",
            f"{near} of {len(halves)} frames hardly differ from an earlier one (a camera that stood still): "
            f"{scenes}. Record with a longer `interval`, or move the camera.",
            figures,
        )
    return Finding(f"copies ({what})", "ok", f"{len(halves) - near} of {len(halves)} frames differ", figures)


def on_holes(halves: Sequence[Half], names: Sequence[str], what: str) -> Finding:
    """How much was measured?"""
    holes = np.array([half.holes for half in halves])
    empty = tuple(names[int(i)] for i in np.flatnonzero(holes >= NEARLY_NOTHING))
    figures = {
        "mean": round(float(holes.mean()), 4),
        "most": round(float(holes.max()), 4),
        "empty": len(empty),
    }
    text = f"{holes.mean():.0%} of the pixels hold no measurement, {holes.max():.0%} in the worst frame"
    if empty:
        text += f"; {len(empty)} frames show nearly nothing: {abbreviate(empty)}"
    state: State = "note" if holes.mean() > MANY_HOLES or empty else "ok"
    if state == "note":
        text += ". Is the scene within reach of the sensor, the lens clean, the sun out of view?"
    return Finding(f"holes ({what})", state, text, figures, empty)


def on_range(halves: Sequence[Half], names: Sequence[str], spec: SensorSpec, what: str) -> Finding:
    """Do the values fit the SensorSpec's range and unit?"""
    levels = np.stack([half.levels for half in halves])
    try:
        check_values(levels, spec, what, tuple(names))
    except DataError as error:
        return Finding(f"range ({what})", "fix", str(error).removeprefix(f"{what}: "))
    known = levels[np.isfinite(levels).all(1)]
    unit = spec.quantity.unit
    low, high = (float(np.median(known[:, column])) for column in (0, 6))
    return Finding(
        f"range ({what})",
        "ok",
        f"most values are {low:.4g} to {high:.4g} {unit}, of {spec.range[0]:g} to {spec.range[1]:g}",
        {"low": round(low, 4), "high": round(high, 4)},
    )


def on_exposure(pairs: Sequence[Pair]) -> Finding:
    """Do the RGB images show anything?"""
    dark = [pair.name for pair in pairs if pair.dark >= SHOWS_NOTHING]
    bright = [pair.name for pair in pairs if pair.bright >= SHOWS_NOTHING]
    figures = {"dark": len(dark), "bright": len(bright)}
    if not dark and not bright:
        return Finding("exposure", "ok", "no RGB image is black or white for the most part", figures)
    return Finding(
        "exposure",
        "fix" if len(dark) + len(bright) > FEW_STRANGERS * len(pairs) else "note",
        f"of {len(pairs)} RGB images {len(dark)} are black and {len(bright)} white for the most part, and teach "
        f"nothing: {abbreviate([*dark, *bright])}. Light the scene, or remove them.",
        figures,
        (*dark, *bright),
    )


def on_sizes(pairs: Sequence[Pair]) -> Finding:
    """Are the two pictures of one shape?"""
    shapes = Counter((pair.rgb_size, pair.half.size) for pair in pairs)
    (rgb, frame), _ = shapes.most_common(1)[0]
    ratio = (rgb[0] / rgb[1]) / (frame[0] / frame[1])
    text = f"RGB images of {rgb[0]}x{rgb[1]}, frames of {frame[0]}x{frame[1]}"
    figures = {"kinds": len(shapes), "ratio": round(ratio, 4)}
    if abs(ratio - 1) > 0.03:
        return Finding(
            "sizes",
            "note",
            f"{text}: one is wider than the other, and both are squeezed into a square. They show the same place only "
            f"if the cameras see so; else crop them to one view.",
            figures,
        )
    return Finding(
        "sizes", "ok", text if len(shapes) == 1 else f"{text}, and {len(shapes) - 1} other kinds", figures
    )


def on_overlap(pairs: Sequence[Half], target: Sequence[Half], names: Sequence[str]) -> Finding:
    """Do pairs show the scenes of the task?"""
    equal = {half.crc32 for half in target}
    close = nearly_equal(np.stack([half.thumb for half in pairs]), np.stack([half.thumb for half in target]))
    same = [i for i, half in enumerate(pairs) if half.crc32 in equal]
    near = [int(i) for i in np.flatnonzero(close)]
    figures = {"equal": len(same), "near": len(near)}
    found = tuple(names[i] for i in sorted({*same, *near}))
    if not found:
        return Finding("overlap", "ok", "no frame of the pairs is also a target frame", figures)
    return Finding(
        "overlap",
        "note",
        f"{len(found)} frames of the pairs are also target frames, or nearly: what is measured on them is not what "
        f"other scenes would give. Pairs are meant to be of other scenes than the task's: {abbreviate(found)}",
        figures,
        found,
    )


def on_times(skews_ms: Sequence[float]) -> Finding:
    """Were the halves taken at one time? ``skews_ms``: as ``record`` wrote them down."""
    away = np.abs(skews_ms)
    figures = {"median_ms": round(float(np.median(away)), 2), "most_ms": round(float(away.max()), 2)}
    text = f"halves lie {np.median(away):.1f} ms apart, {away.max():.1f} at most"
    if np.quantile(away, 0.9) > SKEW_MS:
        return Finding(
            "times", "note", f"{text}: what moves is elsewhere. Record with a smaller `max_skew_ms`.", figures
        )
    return Finding("times", "ok", text, figures)
