"""How each class of scene is laid out. A layout fills a builder: room, furniture, lights and camera.

The camera stands near y = 0 and looks into the room; where it stands exactly, and where it looks, is random.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tgkt_edge.demo import furniture as f
from tgkt_edge.demo.builder import Builder

Layout = Callable[[Builder], None]


def corridor(b: Builder) -> None:
    """A long narrow passage with doors on both sides."""
    w, length, h = b.u(1.6, 2.4), b.u(9, 22), b.u(2.3, 2.9)
    b.shell(
        w, length, h, b.pick("lino", "lino", "carpet"), "plaster_cool", b.pick("ceiling", "ceiling_tiles")
    )
    for wall in ("left", "right"):
        y = b.u(0.8, 2.5)
        while y < min(length - 0.6, 14):
            b.against(wall, y)
            (f.door if b.chance(0.75) else f.picture)(b)
            y += b.u(1.6, 3.4)
    b.against("back", 0.0)
    (f.door if b.chance(0.6) else lambda b: f.window(b, 0.9, 1.3, 0.9))(b)
    lamp, y = b.paint("lamp"), b.u(0.8, 2)
    while y < length:
        b.at(0, y)
        b.box(0, 0, h - 0.04, 0.35, 1.0, 0.03, lamp)
        if len(b.lights) < 3:
            b.light(0, y, h - 0.2, 0.8, 2.2)
        y += b.u(2.4, 5.5)
    for _ in range(b.n(0, 2)):
        b.against(b.pick("left", "right"), b.u(2, min(length, 7)))
        b.pick_piece(
            f.plant, f.bench, lambda b: b.cylinder(0, 0.25, 0, 0.16, 0.6, b.paint("steel", "black_plastic"))
        )
    b.look((b.u(-0.22, 0.22) * w, b.u(0.4, 1.6), b.u(1.2, 1.6)), (b.u(-0.2, 0.2) * w, 6, 1.2), 0.15)


def office(b: Builder) -> None:
    """Desks with monitors and chairs, windows, bookcases."""
    w, length, h = b.u(4.5, 7), b.u(5.0, 7.5), b.u(2.5, 3.1)
    b.shell(w, length, h, b.pick("carpet", "carpet", "parquet"), "plaster", "ceiling_tiles")
    lamp = b.paint("lamp")
    for x in (-w / 4, w / 4):
        for y in (length * 0.35, length * 0.7):
            b.at(x, y)
            b.box(0, 0, h - 0.03, 0.6, 0.6, 0.02, lamp)
    b.light(0, length / 2, h - 0.3)
    for x in (-w / 4, w / 4)[: b.n(1, 2)]:
        b.against("back", x + b.u(-0.3, 0.3))
        f.window(b, b.u(1.0, 1.6), b.u(1.1, 1.5), 0.95)
    rows = [length - 1.1, length - 3.1] if length > 5 else [length - 1.2]
    columns = [-w / 4, w / 4] if w > 4.5 else [b.u(-0.4, 0.4)]
    spots = [(x, y) for y in rows for x in columns]
    for x, y in spots:
        x, y, away = x + b.u(-0.25, 0.25), y + b.u(-0.3, 0.3), b.chance(0.5)
        turn = (math.pi if away else 0.0) + b.u(-0.06, 0.06)
        b.at(x, y, turn)
        f.desk(b)
        b.at(x + b.u(-0.2, 0.2), y + (-1 if away else 1) * b.u(1.0, 1.3), turn + math.pi + b.u(-0.6, 0.6))
        f.chair(b, "office_cloth")
    for wall in ("left", "right"):
        if b.chance(0.6):
            b.against(wall, b.u(1.8, length - 0.9))
            b.pick_piece(f.bookcase, f.bookcase, f.wardrobe, f.plant, f.picture)
    b.look((b.u(-0.3, 0.3) * w, b.u(0.4, 0.9), b.u(1.2, 1.6)), (b.u(-0.1, 0.1) * w, length * 0.7, 0.9), 0.15)


def bedroom(b: Builder) -> None:
    """A bed, bedside tables, a wardrobe, a window with curtains."""
    w, length, h = b.u(2.9, 4.8), b.u(3.4, 5.2), b.u(2.3, 2.9)
    b.shell(
        w,
        length,
        h,
        b.pick("parquet", "parquet", "carpet"),
        b.pick("plaster_warm", "plaster_warm", "plaster_warm", "plaster"),
        "ceiling",
    )
    b.light(b.u(-0.5, 0.5), length / 2, h - 0.4, 0.8, 2.5)
    wall = b.pick("back", "back", "left", "right")
    b.against(wall, b.u(-0.5, 0.5) if wall == "back" else b.u(length * 0.55, length - 1.1))
    f.bed(b)
    others = [side for side in ("left", "right", "back") if side != wall]
    if b.chance(0.8):
        side = others[b.n(0, 1)]
        b.against(side, b.u(-0.6, 0.6) if side == "back" else b.u(length * 0.4, length * 0.8))
        f.window(b, b.u(0.9, 1.5), b.u(1.0, 1.3), 0.9, curtains=b.chance(0.8))
    if b.chance(0.75):
        side = others[b.n(0, 1)]
        b.against(side, b.u(-0.25, 0.25) * w if side == "back" else b.u(1.0, 2.2))
        f.wardrobe(b)
    if b.chance(0.5):
        b.at(b.u(-0.4, 0.4), length * 0.45, b.u(-0.2, 0.2))
        b.box(0, 0, 0, b.u(1.2, 2.0), b.u(0.9, 1.5), 0.012, b.paint("rug"))
    for _ in range(b.n(0, 2)):
        b.against(b.pick(*others), b.u(-0.8, 0.8) if wall != "back" else b.u(1, length - 1))
        b.pick_piece(f.picture, f.plant, lambda b: f.chair(b, "bedding"))
    b.at(0, length / 2)
    b.sphere(0, 0, h - 0.35, b.u(0.12, 0.2), b.paint("lamp"))
    b.look((b.u(-0.3, 0.3) * w, b.u(0.3, 0.7), b.u(1.2, 1.6)), (b.u(-0.1, 0.1) * w, length * 0.75, 0.6), 0.15)


def kitchen(b: Builder) -> None:
    """Units along one to three walls with cupboards above, a fridge, a table or an island."""
    w, length, h = b.u(2.3, 3.4), b.u(3.0, 4.2), b.u(2.3, 2.8)
    b.shell(
        w,
        length,
        h,
        b.pick("tiles_floor", "tiles_floor", "parquet"),
        b.pick("plaster", "plaster_warm"),
        "ceiling",
    )
    b.light(b.u(-0.4, 0.4), length / 2, h - 0.3, 0.9, 2.5)
    walls = ("back", b.pick("left", "right"))
    for wall in walls:
        run = (w - 0.1 if wall == "back" else length - 1.5) * b.u(0.85, 1.0)
        b.against(wall, b.u(-0.1, 0.1) if wall == "back" else length - run / 2 - 0.05)
        f.counter(b, run, upper=True)
    b.against("left" if "right" in walls else "right", length - b.u(1.0, 1.4))
    f.fridge(b)
    if w > 2.8 and b.chance(0.3):
        b.at(b.u(-0.3, 0.3), length * 0.5, b.n(0, 1) * math.pi / 2)
        if b.chance(0.4):
            b.box(0, 0, 0, 1.2, 0.6, 0.88, b.paint("cabinet"))
            b.box(0, 0, 0.88, 1.3, 0.7, 0.04, b.paint("worktop"))
        else:
            f.table(b, b.u(0.9, 1.3), 0.75, 0.75, b.pick("wood", "wood_light"))
    b.at(0, length / 2)
    b.cylinder(0, 0, h - 0.6, 0.16, 0.2, b.paint("lamp", "steel"))
    b.look((b.u(-0.2, 0.2) * w, b.u(0.3, 0.6), b.u(1.25, 1.6)), (b.u(-0.15, 0.15) * w, length, 0.95), 0.15)


def staircase(b: Builder) -> None:
    """One flight of steps, seen from below or from above, with a railing."""
    n, rise, run = b.n(7, 13), b.u(0.155, 0.19), b.u(0.25, 0.31)
    w, start, landing = b.u(1.4, 2.6), b.u(1.1, 1.9), b.u(1.2, 2.4)
    flight, top = w * b.u(0.7, 1.0), n * rise
    length, h = start + n * run + landing, n * rise + b.u(2.3, 2.9)
    b.shell(
        w,
        length,
        h,
        b.pick("stair", "lino", "tiles_floor"),
        b.pick("plaster", "concrete_wall", "concrete_wall"),
        "ceiling",
    )
    x = b.pick_float(-1, 1) * (w - flight) / 2
    steps, rail = b.paint("stair", "stair", "wood"), b.paint("rail", "wood")
    b.at(x, start)
    for i in range(n):
        b.box(0, (i + 0.5) * run, 0, flight, run, (i + 1) * rise, steps)
    b.box(0, n * run + landing / 2, 0, flight, landing, top, steps)
    if w > flight + 0.3 or b.chance(0.4):
        side = -1 if x > 0 else 1
        b.at(x, start)
        for i in range(0, n, 2):
            b.cylinder(side * (flight / 2 - 0.05), (i + 0.5) * run, (i + 1) * rise, 0.02, 0.85, rail)
            b.box(
                side * (flight / 2 - 0.05), (i + 1) * run, (i + 1.5) * rise + 0.82, 0.06, 2 * run, 0.06, rail
            )
    b.light(0, start * 0.7, h - 0.5, 0.8, 3)
    b.light(0, length - 0.8, h - 0.3, 0.8, 3)
    b.against("back", x)
    b.box(0, 0.02, top, 0.9, 0.05, 2.0, b.paint("door", "window"))
    b.look((b.u(-0.2, 0.2) * w, b.u(0.3, 0.5), b.u(1.2, 1.6)), (x, start + n * run * 0.7, top * 0.6), 0.12)


def warehouse(b: Builder) -> None:
    """A high hall with loaded racking along the aisles and pallets on the floor."""
    w, length, h = b.u(7, 12), b.u(9, 16), b.u(4.5, 7)
    b.shell(
        w,
        length,
        h,
        "concrete",
        b.pick("sheet_metal", "concrete_wall"),
        b.pick("sheet_metal", "concrete_wall"),
    )
    aisle, levels, fill = b.u(2.8, 4.0), b.n(3, 4), b.u(0.7, 0.95)
    run = min(b.u(5, 9), length - 2.5)
    for side in (-1, 1):
        b.at(side * (aisle / 2 + 1.05), b.u(1.2, 2.2) + run / 2, side * math.pi / 2)
        f.rack(b, run, levels, fill)
    if length > 11 and b.chance(0.5):
        b.against("back", 0.0)
        f.rack(b, w * 0.7, levels, fill)
    for _ in range(b.n(0, 3)):
        b.at(b.u(-0.5, 0.5) * aisle, b.u(2.8, 8), b.u(0, 3))
        b.box(0, 0, 0, 1.2, 0.8, 0.14, b.paint("wood"))
        if b.chance(0.7):
            b.box(0, 0, 0.14, b.u(0.7, 1.15), 0.75, b.u(0.3, 1.1), b.paint("carton", "wrap"))
    lamp = b.paint("lamp")
    for y in (4.0, 9.0):
        b.at(0, y)
        b.box(0, 0, h - 0.3, 0.4, 1.6, 0.1, lamp)
        b.light(0, y, h - 0.4, 1.5, 6)
    b.look(
        (b.u(-0.2, 0.2) * aisle, b.u(0.5, 1.2), b.u(1.2, 1.7)),
        (b.u(-0.2, 0.2) * aisle, 7, b.u(1.2, 1.9)),
        0.2,
    )


TASK_LAYOUTS: dict[str, Layout] = {
    "bedroom": bedroom,
    "corridor": corridor,
    "kitchen": kitchen,
    "office": office,
    "staircase": staircase,
    "warehouse": warehouse,
}
