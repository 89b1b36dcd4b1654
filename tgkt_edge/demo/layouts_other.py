"""Layouts of the classes outside the task: same pieces and materials, other scenes."""

from __future__ import annotations

import math

from tgkt_edge.demo import furniture as f
from tgkt_edge.demo.builder import Builder
from tgkt_edge.demo.layouts import Layout


def bathroom(b: Builder) -> None:
    """A small tiled room with a tub, a basin under a mirror, a toilet."""
    w, length, h = b.u(1.8, 3.2), b.u(2.2, 3.6), b.u(2.3, 2.7)
    b.shell(w, length, h, "tiles_floor", b.pick("tiles_wall", "tiles_wall", "plaster"), "ceiling")
    b.light(0, length / 2, h - 0.3, 0.8, 2.5)
    white = b.paint("enamel")
    b.against("back", b.u(-0.1, 0.1))
    tub = min(w - 0.1, 1.8)
    if b.chance(0.7):
        for y in (0.05, 0.7):
            b.box(0, y, 0, tub, 0.08, 0.55, white)
        for side in (-1, 1):
            b.box(side * (tub / 2 - 0.04), 0.38, 0, 0.08, 0.7, 0.55, white)
        b.box(0, 0.38, 0, tub, 0.7, 0.15, white)
    else:
        b.box(0, 0.8, 0, tub * 0.6, 0.03, 1.95, b.paint("glass"))
    wall = b.pick("left", "right")
    b.against(wall, b.u(0.45, 0.6) * length)
    b.box(0, 0.24, 0.3, b.u(0.5, 0.9), 0.48, 0.55, b.paint("cabinet", "enamel"))
    b.box(0, 0.02, 1.1, b.u(0.5, 0.8), 0.03, 0.8, b.paint("mirror"))
    b.against("left" if wall == "right" else "right", b.u(0.45, 0.6) * length)
    b.cylinder(0, 0.42, 0, 0.19, 0.4, white)
    b.box(0, 0.1, 0.35, 0.4, 0.18, 0.42, white)
    b.look((b.u(-0.25, 0.25) * w, b.u(0.3, 0.5), b.u(1.3, 1.7)), (b.u(-0.2, 0.2) * w, length, 0.7), 0.25)


def garage(b: Builder) -> None:
    """A car or an empty bay, shelves of cartons along the walls."""
    w, length, h = b.u(3.4, 6.5), b.u(5.0, 7.5), b.u(2.3, 3.0)
    b.shell(
        w,
        length,
        h,
        "concrete",
        b.pick("concrete_wall", "brick", "plaster"),
        b.pick("ceiling", "concrete_wall"),
    )
    b.light(0, length / 2, h - 0.3, 0.9, 2.8)
    b.against("back", 0.0)
    if b.chance(0.5):
        b.box(0, 0.04, 0, min(w - 0.4, 2.6), 0.08, 2.1, b.paint("sheet_metal"))
    if b.chance(0.75):
        b.at(b.u(-0.12, 0.12) * w, length - b.u(4.5, 4.9), b.u(-0.05, 0.05))
        f.car(b)
    for wall in ("left", "right"):
        for _ in range(b.n(0, 2)):
            b.against(wall, b.u(1.6, length - 0.8))
            b.pick_piece(f.bookcase, f.wardrobe, lambda b: f.rack(b, b.u(1.2, 2.0), 1, 1.0))
    for _ in range(b.n(0, 3)):
        b.at(b.u(-0.4, 0.4) * w, b.u(2, length - 0.5), b.u(0, 3))
        b.box(0, 0, 0, b.u(0.3, 0.6), b.u(0.3, 0.6), b.u(0.3, 0.6), b.paint("carton"))
    b.look((b.u(-0.35, 0.35) * w, b.u(0.3, 0.8), b.u(1.2, 1.7)), (b.u(-0.2, 0.2) * w, length, 0.9), 0.3)


def courtyard(b: Builder) -> None:
    """An open yard between buildings, with trees and benches."""
    w, length, h = b.u(5, 9), b.u(6, 8), b.u(5, 8)
    b.outdoor = True
    b.shell(w, length, h, b.pick("paving", "grass"), b.pick("brick", "plaster", "concrete_wall"), "sky")
    b.light(b.u(-5, 5), b.u(0, 5), h - 0.2, 2.0, 12)
    for wall in ("left", "right", "back"):
        for z in (0.9, 3.6):
            for k in (0.3, 0.7):
                b.against(wall, (k - 0.5) * w if wall == "back" else k * length)
                f.window(b, 1.1, 1.4, z)
    for _ in range(b.n(1, 4)):
        b.at(b.u(-0.4, 0.4) * w, b.u(2.5, length - 1))
        f.tree(b)
    for _ in range(b.n(1, 3)):
        b.at(b.u(-0.35, 0.35) * w, b.u(2, 6), b.u(-3.1, 3.1))
        f.bench(b)
    b.look((b.u(-0.3, 0.3) * w, b.u(0.5, 1.5), b.u(1.3, 1.8)), (b.u(-0.2, 0.2) * w, length, 0.6), 0.3)


def meeting_room(b: Builder) -> None:
    """A long table with chairs around it, a screen on the wall."""
    w, length, h = b.u(3.4, 5.5), b.u(4.5, 7), b.u(2.5, 3.0)
    b.shell(w, length, h, b.pick("carpet", "parquet"), b.pick("plaster", "plaster_cool"), "ceiling_tiles")
    b.light(0, length / 2, h - 0.3, 1.0, 3.0)
    d, top = b.u(2.0, 3.2), b.u(0.9, 1.3)
    middle = length / 2 + b.u(0.2, 0.6)
    b.at(0, middle - d / 2)
    f.table(b, top, d, 0.75, b.pick("wood", "wood_light", "desk"))
    for side in (-1, 1):
        for k in range(round(d / 0.75)):
            if b.chance(0.85):
                b.at(
                    side * (top / 2 + b.u(0.2, 0.5)),
                    middle - d / 2 + 0.4 + 0.75 * k,
                    side * 1.57 + b.u(-0.3, 0.3),
                )
                f.chair(b, "office_cloth")
    b.against("back", b.u(-0.2, 0.2))
    b.box(0, 0.04, 1.1, b.u(1.2, 1.9), 0.06, b.u(0.7, 1.1), b.paint("screen", "enamel"))
    b.against(b.pick("left", "right"), length * 0.6)
    f.window(b, b.u(1.2, 2.2), 1.3, 0.9)
    b.at(0, middle)
    b.box(0, 0, h - 0.03, 0.6, 1.6, 0.02, b.paint("lamp"))
    b.look((b.u(-0.35, 0.35) * w, b.u(0.3, 0.7), b.u(1.2, 1.7)), (0, length * 0.7, 0.8), 0.25)


def playground(b: Builder) -> None:
    """Coloured climbing blocks, a slide tower, a swing and trees on grass or sand."""
    w, length = b.u(14, 20), b.u(14, 20)
    b.outdoor = True
    b.shell(w, length, 12.0, b.pick("grass", "sand", "paving"), "sky", "sky")
    b.light(b.u(-6, 6), b.u(0, 8), 11, 2.0, 16)
    b.at(0, b.u(5.5, 8.0))
    b.box(0, 0, 0, w, 0.08, b.u(1.2, 2.8), b.paint("wood", "foliage", "rail"))
    b.at(b.u(-1.5, 1.5), b.u(3.0, 5.0), b.u(-3.1, 3.1))
    toy, other = b.paint("toy"), b.paint("toy")
    for i in range(6):
        b.box(0, i * 0.28, 0, 0.7, 0.28, 0.2 * (i + 1), toy)
    b.box(0, 2.2, 1.2, 1.1, 1.1, 0.08, other)
    for x in (-0.5, 0.5):
        for y in (1.7, 2.7):
            b.cylinder(x, y, 0, 0.05, 2.2, other)
    b.box(0, 2.2, 2.2, 1.3, 1.3, 0.1, toy)
    b.at(b.u(-3, 3), b.u(3.5, 7), b.u(-0.6, 0.6))
    post = b.paint("toy", "rail")
    for x in (-1.3, 1.3):
        b.cylinder(x, 0, 0, 0.06, 2.2, post)
    b.box(0, 0, 2.15, 2.8, 0.1, 0.1, post)
    for x in (-0.5, 0.5):
        b.box(x, 0, 0.45, 0.45, 0.2, 0.05, b.paint("rubber"))
        b.box(x, 0, 0.5, 0.03, 0.03, 1.7, post)
    for _ in range(b.n(1, 4)):
        b.at(b.u(-5, 5), b.u(2, 9))
        (f.tree if b.chance(0.6) else f.bench)(b)
    b.look((b.u(-1.5, 1.5), b.u(0.5, 1.0), b.u(1.2, 1.7)), (b.u(-1, 1), 4.5, 0.4), 0.3)


def dormitory(b: Builder) -> None:
    """Two to four beds along the walls, lockers between them."""
    w, length, h = b.u(3.6, 5.5), b.u(4.2, 6.0), b.u(2.4, 3.0)
    b.shell(
        w, length, h, b.pick("lino", "parquet"), b.pick("plaster", "plaster_warm", "plaster_cool"), "ceiling"
    )
    b.light(b.u(-0.5, 0.5), length / 2, h - 0.4, 0.9, 2.6)
    for wall in ("left", "right"):
        for y in (length - 0.9, length - 3.0)[: b.n(1, 2)]:
            b.against(wall, y + b.u(-0.2, 0.2))
            f.bed(b)
    b.against("back", b.u(-0.2, 0.2) * w)
    b.pick_piece(f.wardrobe, f.door, lambda b: f.window(b, b.u(0.9, 1.4), 1.2, 0.9, curtains=b.chance(0.5)))
    b.look((b.u(-0.3, 0.3) * w, b.u(0.3, 0.7), b.u(1.2, 1.7)), (b.u(-0.2, 0.2) * w, length * 0.75, 0.6), 0.15)


def laundry(b: Builder) -> None:
    """Washing machines below a worktop along two walls, cupboards above."""
    w, length, h = b.u(2.4, 4.0), b.u(3.0, 4.6), b.u(2.3, 2.8)
    b.shell(w, length, h, b.pick("tiles_floor", "lino"), b.pick("plaster", "tiles_wall"), "ceiling")
    b.light(b.u(-0.4, 0.4), length / 2, h - 0.3, 0.9, 2.5)
    for wall in ("back", b.pick("left", "right")):
        run = (w - 0.2 if wall == "back" else length - 1.6) * b.u(0.7, 1.0)
        b.against(wall, 0.0 if wall == "back" else length - run / 2 - 0.05)
        f.counter(b, run, upper=b.chance(0.7))
        for k in range(round(run / 0.8)):
            b.cylinder(-run / 2 + 0.4 + 0.8 * k, 0.62, 0.3, 0.2, 0.3, b.paint("steel", "glass"))
    b.at(b.u(-0.4, 0.4), length * 0.5, b.u(0, 3))
    b.box(0, 0, 0, b.u(0.4, 0.7), b.u(0.4, 0.6), b.u(0.5, 0.8), b.paint("carton", "enamel"))
    b.look((b.u(-0.25, 0.25) * w, b.u(0.3, 0.7), b.u(1.25, 1.7)), (b.u(-0.25, 0.25) * w, length, 0.9), 0.15)


def classroom(b: Builder) -> None:
    """Rows of desks with chairs before a board."""
    w, length, h = b.u(4.5, 7.5), b.u(5.5, 8.0), b.u(2.6, 3.2)
    b.shell(w, length, h, b.pick("lino", "parquet"), b.pick("plaster", "plaster_cool"), "ceiling_tiles")
    b.light(0, length / 2, h - 0.3, 1.1, 3.2)
    b.against("back", b.u(-0.1, 0.1))
    b.box(0, 0.03, 0.9, b.u(1.8, 3.0), 0.05, 1.2, b.paint("screen", "foliage", "enamel"))
    for y in (length - 2.0, length - 3.6, length - 5.2)[: b.n(2, 3)]:
        for x in (-w / 4, w / 4):
            b.at(x + b.u(-0.2, 0.2), y, b.u(-0.06, 0.06))
            f.desk(b)
            b.at(x + b.u(-0.2, 0.2), y - b.u(0.5, 0.8), b.u(-0.4, 0.4))
            f.chair(b, "office_cloth")
    b.against(b.pick("left", "right"), length * 0.6)
    f.window(b, b.u(1.2, 2.2), 1.4, 0.9)
    b.look((b.u(-0.3, 0.3) * w, b.u(0.3, 0.8), b.u(1.2, 1.7)), (b.u(-0.2, 0.2) * w, length * 0.7, 0.9), 0.15)


def library(b: Builder) -> None:
    """High shelves of books on both sides of an aisle."""
    w, length, h = b.u(6, 10), b.u(8, 14), b.u(3.6, 6.0)
    b.shell(w, length, h, b.pick("carpet", "parquet"), b.pick("plaster", "plaster_warm"), "ceiling_tiles")
    aisle = b.u(2.4, 3.8)
    for side in (-1, 1):
        y = b.u(1.6, 2.4)
        while y < length - 1.0:
            b.at(side * (aisle / 2 + 0.4), y, side * math.pi / 2)
            (f.bookcase if b.chance(0.3) else lambda b: f.rack(b, 1.8, b.n(2, 4), 0.9))(b)
            y += b.u(1.6, 2.4)
    for y in (3.0, 7.0):
        b.at(0, y)
        b.box(0, 0, h - 0.2, 0.4, 1.4, 0.1, b.paint("lamp"))
        b.light(0, y, h - 0.4, 1.2, 5)
    b.look((b.u(-0.3, 0.3) * aisle, b.u(0.4, 1.2), b.u(1.2, 1.8)), (b.u(-0.3, 0.3) * aisle, 6, 1.5), 0.2)


def tunnel(b: Builder) -> None:
    """A long subway with pipes along the walls and a few benches."""
    w, length, h = b.u(1.8, 3.4), b.u(7, 22), b.u(2.2, 3.2)
    b.shell(w, length, h, "concrete", b.pick("concrete_wall", "tiles_wall", "brick"), "concrete_wall")
    pipe = b.paint("steel", "rail")
    for wall in ("left", "right"):
        b.against(wall, min(length, 12) / 2)
        for _ in range(b.n(0, 3)):
            z = b.u(0.2, h - 0.3)
            b.box(0, 0.06, z, min(length, 12), 0.1, 0.1, pipe)
        if b.chance(0.4):
            b.against(wall, b.u(2, min(length, 8)))
            f.bench(b)
    y = b.u(1, 3)
    while y < length:
        b.at(0, y)
        b.box(0, 0, h - 0.05, 0.25, 0.8, 0.04, b.paint("lamp"))
        if len(b.lights) < 3:
            b.light(0, y, h - 0.2, 0.8, 2.2)
        y += b.u(3, 6)
    b.look((b.u(-0.25, 0.25) * w, b.u(0.4, 1.6), b.u(1.1, 1.7)), (b.u(-0.35, 0.35) * w, b.u(4, 6), 1.2), 0.15)


def grandstand(b: Builder) -> None:
    """Broad steps to sit on, in a hall, with railings."""
    n, rise, run = b.n(4, 9), b.u(0.17, 0.4), b.u(0.28, 0.7)
    w, start = b.u(2, 6), b.u(1.2, 2.2)
    length, h = start + n * run + b.u(0.5, 2), n * rise + b.u(2.4, 3.5)
    b.shell(w, length, h, b.pick("stair", "concrete", "paving"), b.pick("concrete_wall", "brick"), "ceiling")
    steps, rail, wide = b.paint("stair", "concrete", "wood"), b.paint("rail"), w * b.u(0.6, 1.0)
    b.at(b.u(-0.5, 0.5) * (w - wide), start)
    for i in range(n):
        b.box(0, (i + 0.5) * run, 0, wide, run, (i + 1) * rise, steps)
    for i in range(0, n, 2):
        b.cylinder(b.pick_float(-1, 1) * wide / 2.1, (i + 0.5) * run, (i + 1) * rise, 0.02, 0.85, rail)
    b.light(0, start, h - 0.4, 1.0, 3.5)
    b.look(
        (b.u(-0.3, 0.3) * w, b.u(0.3, 0.7), b.u(1.2, 1.7)), (0, start + n * run * 0.7, n * rise * 0.6), 0.2
    )


OTHER_LAYOUTS: dict[str, Layout] = {
    "bathroom": bathroom,
    "courtyard": courtyard,
    "garage": garage,
    "meeting_room": meeting_room,
    "playground": playground,
}

NEAR_LAYOUTS: dict[str, Layout] = {
    "dormitory": dormitory,
    "laundry": laundry,
    "classroom": classroom,
    "library": library,
    "tunnel": tunnel,
    "grandstand": grandstand,
}
"""Other scenes, too, but built of what the task's scenes are built of, as a recording in the same building is."""
