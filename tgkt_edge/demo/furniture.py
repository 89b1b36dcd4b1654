"""Pieces that the scenes share. Each stands at the builder's local origin with its back to local y = 0."""

from __future__ import annotations

from tgkt_edge.demo.builder import Builder


def legs(b: Builder, w: float, d: float, h: float, paint: int, thick: float = 0.05) -> None:
    """Four legs under a top of w by d, its back at y = 0."""
    for x in (-w / 2 + thick, w / 2 - thick):
        for y in (thick, d - thick):
            b.box(x, y, 0, thick, thick, h, paint)


def table(b: Builder, w: float, d: float, h: float, top: str) -> None:
    """A table: a top on four legs."""
    paint = b.paint(top)
    b.box(0, d / 2, h - 0.04, w, d, 0.04, paint)
    legs(b, w, d, h - 0.04, paint)


def chair(b: Builder, material: str) -> None:
    """A chair facing local +y: a seat, a back, one column."""
    paint = b.paint(material)
    b.box(0, 0.24, 0.42, 0.46, 0.46, 0.08, paint)
    b.box(0, 0.02, 0.48, 0.44, 0.06, b.u(0.38, 0.55), paint)
    b.cylinder(0, 0.24, 0.05, 0.04, 0.37, b.paint("black_plastic"))
    b.box(0, 0.24, 0.0, 0.5, 0.5, 0.05, b.paint("black_plastic"))


def desk(b: Builder) -> None:
    """A desk with a monitor or two, facing away from local y = 0."""
    w, top = b.u(1.2, 1.8), b.paint("desk")
    b.box(0, 0.38, 0.70, w, 0.76, 0.04, top)
    for side in (-1, 1):
        b.box(side * (w / 2 - 0.03), 0.38, 0, 0.05, 0.7, 0.7, top)
    screen, plastic = b.paint("screen"), b.paint("black_plastic")
    for x in (-0.32, 0.32) if b.chance(0.4) else (b.u(-0.3, 0.3),):
        b.box(x, 0.2, 0.74, 0.06, 0.06, 0.12, plastic)
        b.box(x, 0.2, 0.84, 0.54, 0.04, 0.33, plastic)
        b.box(x, 0.225, 0.86, 0.5, 0.02, 0.29, screen)


def bookcase(b: Builder) -> None:
    """Shelves of books."""
    w, h = b.u(0.8, 1.6), b.u(1.6, 2.1)
    wood, books = b.paint("wood", "wood_light", "desk"), b.paint("books")
    b.box(0, 0.12, 0, w, 0.24, h, books)
    for i in range(5):
        b.box(0, 0.15, i * (h - 0.03) / 4, w, 0.3, 0.03, wood)
    for side in (-1, 1):
        b.box(side * w / 2, 0.15, 0, 0.04, 0.3, h, wood)


def wardrobe(b: Builder) -> None:
    """A tall closed cupboard with doors."""
    w, h = b.u(1.0, 2.0), b.u(1.9, 2.25)
    b.box(0, 0.3, 0, w, 0.6, h, b.paint("cabinet", "wood", "wood_light"))


def bed(b: Builder) -> None:
    """A bed with its headboard to the wall and a bedside table on one or both sides."""
    w, length, wood = b.u(0.95, 1.9), b.u(1.95, 2.15), b.paint("wood", "wood_light")
    b.box(0, 0.04, 0, w + 0.1, 0.08, b.u(0.85, 1.2), wood)
    b.box(0, length / 2 + 0.05, 0.0, w, length, 0.28, wood)
    b.box(0, length / 2 + 0.05, 0.28, w - 0.04, length - 0.04, 0.2, b.paint("pillow"))
    cover = b.u(1.1, 1.5)
    b.box(0, length + 0.06 - cover / 2, 0.3, w + 0.04, cover, 0.22, b.paint("bedding"))
    pillow = b.paint("pillow")
    for x in (-w / 4, w / 4) if w > 1.35 else (0.0,):
        b.box(x, 0.32, 0.46, 0.55, 0.38, 0.14, pillow)
    for side in (-1, 1):
        if b.chance(0.75):
            x = side * (w / 2 + 0.32)
            b.box(x, 0.22, 0, 0.45, 0.4, 0.5, wood)
            if b.chance(0.7):
                b.cylinder(x, 0.22, 0.5, 0.03, 0.2, b.paint("frame"))
                b.cylinder(x, 0.22, 0.68, 0.13, 0.2, b.paint("lamp"))


def counter(b: Builder, w: float, upper: bool) -> None:
    """Kitchen units: doors below a worktop, a hob and a sink, and cupboards above if `upper`."""
    doors = b.paint("cabinet")
    b.box(0, 0.29, 0.08, w, 0.56, 0.8, doors)
    b.box(0, 0.31, 0.88, w, 0.62, 0.04, b.paint("worktop"))
    x = b.u(-w / 2 + 0.35, w / 2 - 0.35)
    if b.chance(0.6):
        b.box(x, 0.3, 0.1, 0.6, 0.57, 0.76, b.paint("black_plastic", "steel"))
        b.box(x, 0.31, 0.915, 0.58, 0.52, 0.015, b.paint("black_plastic"))
    else:
        b.box(x, 0.31, 0.915, 0.6, 0.45, 0.015, b.paint("steel"))
        b.cylinder(x, 0.1, 0.92, 0.02, 0.3, b.paint("steel"))
    for _ in range(b.n(0, 3)):
        b.cylinder(
            b.u(-w / 2, w / 2),
            b.u(0.15, 0.45),
            0.92,
            0.07,
            b.u(0.12, 0.32),
            b.paint("steel", "toy", "enamel"),
        )
    if upper:
        b.box(0, 0.005, 0.92, w, 0.01, 0.5, b.paint("tiles_wall"))
        gap = min(0.8, w / 3)
        for side in (-1, 1):
            b.box(side * (w + gap) / 4, 0.17, 1.42, (w - gap) / 2, 0.34, 0.72, doors)
        b.box(0, 0.22, 1.55, gap * 0.75, 0.44, 0.12, b.paint("steel"))


def fridge(b: Builder) -> None:
    """A tall fridge."""
    b.box(0, 0.33, 0, b.u(0.6, 0.85), 0.66, b.u(1.6, 2.0), b.paint("steel", "enamel"))


def window(b: Builder, w: float, h: float, sill: float, curtains: bool = False) -> None:
    """A window in a wall, with curtains at its sides if expected."""
    b.box(0, 0.01, sill - 0.06, w + 0.12, 0.05, h + 0.12, b.paint("frame"))
    b.box(0, 0.025, sill, w, 0.04, h, b.paint("window"))
    if curtains:
        cloth = b.paint("curtain")
        for side in (-1, 1):
            b.box(side * (w / 2 + 0.1), 0.1, 0.05, 0.45, 0.12, sill + h + 0.15, cloth)


def door(b: Builder) -> None:
    """A door in its frame."""
    w = b.u(0.8, 1.0)
    b.box(0, 0.03, 0, w + 0.16, 0.06, 2.1, b.paint("frame"))
    b.box(0, 0.045, 0, w, 0.06, 2.02, b.paint("door"))


def picture(b: Builder) -> None:
    """A picture or a notice board."""
    b.box(0, 0.02, b.u(1.2, 1.5), b.u(0.4, 1.1), 0.04, b.u(0.35, 0.7), b.paint("rug", "books", "bedding"))


def plant(b: Builder) -> None:
    """A plant in a pot."""
    r, h = b.u(0.13, 0.2), b.u(0.25, 0.4)
    b.cylinder(0, 0.3, 0, r, h, b.paint("brick", "enamel"))
    leaves = b.paint("foliage")
    for _ in range(3):
        b.sphere(b.u(-0.1, 0.1), 0.3 + b.u(-0.1, 0.1), h + b.u(0.1, 0.6), b.u(0.14, 0.25), leaves)


def tree(b: Builder) -> None:
    """A tree with a round crown."""
    h = b.u(1.5, 2.6)
    b.cylinder(0, 0, 0, b.u(0.08, 0.18), h, b.paint("wood"))
    leaves = b.paint("foliage")
    for _ in range(4):
        b.sphere(b.u(-0.5, 0.5), b.u(-0.5, 0.5), h + b.u(-0.1, 0.9), b.u(0.5, 0.95), leaves)


def bench(b: Builder) -> None:
    """A bench with a back."""
    wood = b.paint("wood")
    w = b.u(1.2, 1.8)
    b.box(0, 0.25, 0.4, w, 0.4, 0.06, wood)
    b.box(0, 0.05, 0.5, w, 0.05, 0.35, wood)
    for side in (-1, 1):
        b.box(side * (w / 2 - 0.1), 0.25, 0, 0.06, 0.4, 0.4, b.paint("rail"))


def rack(b: Builder, length: float, levels: int, fill: float) -> None:
    """Pallet racking along local x, open towards local +y, loaded to the share `fill`."""
    depth, step = 1.0, b.u(1.25, 1.7)
    post, beam, bays = b.paint("rack"), b.paint("beam"), max(1, round(length / 2.6))
    bay = length / bays
    for i in range(bays + 1):
        for y in (0.05, depth):
            b.box(-length / 2 + i * bay, y, 0, 0.1, 0.1, levels * step + 0.3, post)
    for level in range(levels):
        z = level * step
        if level:
            b.box(0, depth / 2, z - 0.12, length, depth, 0.12, beam)
        for i in range(bays):
            if b.chance(fill):
                w, h = b.u(0.6, 0.95) * bay, b.u(0.5, 0.85) * step
                x = -length / 2 + (i + 0.5) * bay + b.u(-0.1, 0.1)
                b.box(x, depth / 2 + b.u(-0.05, 0.1), z, w, 0.85, h, b.paint("carton", "carton", "wrap"))


def car(b: Builder) -> None:
    """A parked car, its tail at local y = 0."""
    body, glass, rubber = b.paint("car"), b.paint("glass"), b.paint("rubber")
    w, length = b.u(1.65, 1.85), b.u(3.7, 4.4)
    b.box(0, length / 2, 0.3, w, length, 0.5, body)
    b.box(0, length * 0.42, 0.8, w * 0.88, length * 0.55, 0.42, glass)
    b.box(0, length * 0.42, 1.22, w * 0.86, length * 0.45, 0.18, body)
    for side in (-1, 1):
        for y in (0.18, 0.8):
            b.box(side * w * 0.45, length * y, 0, 0.22, 0.6, 0.6, rubber)
