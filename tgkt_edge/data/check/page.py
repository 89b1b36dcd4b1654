"""A page on which a person sees what ``data check`` found: pairs with the frame's edges over the RGB image."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.check.alignment import Alignment
from tgkt_edge.data.check.edges import compressed, edge_map, warped
from tgkt_edge.data.check.findings import Finding
from tgkt_edge.data.check.gather import Pair
from tgkt_edge.data.loading import spread
from tgkt_edge.io.atomic import write_text

SHOWN = 12
"""Pairs on a page: those that a finding names first, then evenly spread ones."""

_EDGE = 1.2  # deviations from which an edge is drawn
_RED = (40, 40, 255)  # BGR

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Pairs: what was found</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
body { color: #1c1e21; background: #fff }
td, th { padding: .35rem .7rem .35rem 0; vertical-align: top; text-align: left }
.fix { color: #a3151c; font-weight: 600 } .note { color: #7a5200; font-weight: 600 } .ok { color: #1d6b37 }
figure { display: inline-block; margin: 0 .6rem .6rem 0 } figcaption { font-size: 12px; color: #555 }
img { display: block; width: 240px; image-rendering: auto } section { margin: 1.2rem 0 }
h2 { font-size: 14px; overflow-wrap: anywhere; margin: 0 0 .3rem }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #17191c } .fix { color: #ff8f8f }
.note { color: #ffd27a } .ok { color: #7fd69b } figcaption { color: #aaa } }
</style></head><body>
"""


def write_page(
    path: Path, what: str, findings: Sequence[Finding], pairs: Sequence[Pair], alignment: Alignment | None
) -> None:
    """Write the page, one file without any other.

    Args:
        what: what was looked at, for the heading. pairs: those that are shown.
    """
    rows = "".join(
        f'<tr><td class="{one.state}">{one.state}</td><th>{escape(one.question)}</th><td>{escape(one.text)}</td></tr>\n'
        for one in findings
    )
    off = alignment if alignment is not None and alignment.off else None
    shown = "".join(_section(pair, off) for pair in pairs)
    legend = "Red: edges of the frame, over the RGB image" + (
        " as it is, and as it should lie." if off else "."
    )
    write_text(
        path,
        f"{_HEAD}<h1>{escape(what)}</h1>\n<table>\n{rows}</table>\n<p>{legend}</p>\n{shown}</body></html>\n",
    )


def chosen(findings: Sequence[Finding], names: Sequence[str]) -> list[int]:
    """Which of the pairs that are called ``names`` a page shows: see :data:`SHOWN`."""
    place = {name: i for i, name in enumerate(names)}
    named = [place[name] for one in findings for name in one.names if name in place]
    return list(dict.fromkeys([*named[: SHOWN // 2], *spread(len(names), SHOWN)]))[:SHOWN]


def _section(pair: Pair, off: Alignment | None) -> str:
    import cv2

    rgb_image = np.ascontiguousarray(pair.rgb[..., ::-1])
    grey = (pair.half.codes >> 8).astype(np.uint8)
    frame = cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)
    frame[~pair.half.solid] = (56, 46, 48)
    pictures = [("RGB image", rgb_image), ("frame", frame), ("edges", _overlaid(rgb_image, pair))]
    if off is not None:
        side = len(rgb_image)
        moved = np.stack(
            [
                warped(
                    rgb_image[..., channel].astype(np.float32),
                    off.across,
                    off.down,
                    off.right * side,
                    off.below * side,
                )
                for channel in range(3)
            ],
            axis=2,
        ).astype(np.uint8)
        pictures.append(("edges, once aligned", _overlaid(moved, pair)))
    figures = "".join(
        f"<figure><img alt='' src='{_uri(image, pair.half.size)}'><figcaption>{name}</figcaption></figure>"
        for name, image in pictures
    )
    return f"<section><h2>{escape(pair.name)}</h2>{figures}</section>\n"


def _overlaid(rgb_image: NDArray[Any], pair: Pair) -> NDArray[Any]:
    drawn = rgb_image.copy()
    drawn[edge_map(compressed(pair.half.codes), pair.half.solid) > _EDGE] = _RED
    return drawn


def _uri(bgr: NDArray[Any], size: tuple[int, int]) -> str:
    """A JPEG in the frame's own proportions, as a data URI."""
    import cv2

    shown = cv2.resize(bgr, (320, max(1, round(320 * size[1] / size[0]))), interpolation=cv2.INTER_LINEAR)
    _, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
