"""Materials of the rendered scenes: colour in RGB, albedo in NIR, texture, and how a depth sensor fares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tgkt_edge.demo.geometry import F32

RGB = tuple[int, int, int]


class Column(IntEnum):
    """Columns of a paint: one scene's draw of a material, a row of float32."""

    RED, GREEN, BLUE, NIR = 0, 1, 2, 3
    RED2, GREEN2, BLUE2, NIR2 = 4, 5, 6, 7
    SIZE_U, SIZE_V, STAGGER, CELLS, CHECKER, LINE, GLOSS, GLOW = 8, 9, 10, 11, 12, 13, 14, 15


N_COLUMNS = len(Column)


@dataclass(frozen=True)
class Material:
    """colours: sRGB colours to draw from. nir: albedo in [0, 1].

    second: the second colour of the texture, as a factor on the first (second_nir likewise on nir).
    size: (u, v) extent of one texture cell, metres. stagger: shift of every other row, in cells.
    cells, checker, line: weights in [0, 1] of random cells, alternating cells, and the width of the lines
    between cells as a share of a cell. gloss: share of mirror-like returns, which a depth sensor loses.
    glow: emitted light. spread: how much the brightness varies from scene to scene, as its logarithm.
    """

    colours: tuple[RGB, ...]
    nir: float
    second: float = 1.0
    second_nir: float = 1.0
    size: tuple[float, float] = (1.0, 1.0)
    stagger: float = 0.0
    cells: float = 0.0
    checker: float = 0.0
    line: float = 0.0
    gloss: float = 0.0
    glow: float = 0.0
    spread: float = 0.1

    def draw(self, rng: np.random.Generator) -> F32:
        """One paint: (N_COLUMNS,) float32."""
        base = self.colours[int(rng.integers(len(self.colours)))]
        # Colours vary around the palette's, in brightness more than in hue.
        brightness, red, green, blue, infrared, size = rng.standard_normal(6).tolist()
        hue = (brightness + red / 2, brightness + green / 2, brightness + blue / 2)
        linear = [(c / 255) ** 2.2 * math.exp(self.spread * h) for c, h in zip(base, hue, strict=True)]
        nir = self.nir * math.exp(0.12 * infrared)
        stretch = math.exp(0.1 * size)
        row = [*linear, nir, *(c * self.second for c in linear), nir * self.second_nir]
        row += [self.size[0] * stretch, self.size[1] * stretch, self.stagger]
        row += [self.cells, self.checker, self.line, self.gloss, self.glow]
        out = np.array(row, np.float32)
        out[:8] = np.clip(out[:8], 0.01, 0.95)
        return out


def _wood(*colours: RGB) -> Material:
    return Material(
        colours, 0.55, second=0.55, second_nir=0.85, size=(1.2, 0.13), stagger=0.37, cells=0.7, line=0.03
    )


def _cloth(*colours: RGB) -> Material:
    # Dyes are mostly transparent in NIR: cloth is bright there whatever its colour.
    return Material(colours, 0.75, second=0.75, size=(0.06, 0.06), cells=0.6, spread=0.2)


def _tiles(size: float, *colours: RGB) -> Material:
    return Material(
        colours, 0.6, second=0.5, second_nir=0.7, size=(size, size), cells=0.12, line=0.05, gloss=0.12
    )


MATERIALS: dict[str, Material] = {
    "plaster": Material(((225, 220, 208), (212, 212, 205), (205, 200, 190)), 0.7),
    "plaster_cool": Material(((200, 208, 210), (215, 218, 215), (190, 200, 190), (214, 206, 180)), 0.68),
    "plaster_warm": Material(((222, 196, 170), (205, 180, 190), (190, 196, 214), (226, 214, 180)), 0.7),
    "ceiling": Material(((232, 232, 228), (222, 222, 220)), 0.75),
    "ceiling_tiles": Material(
        ((224, 224, 220),), 0.72, second=0.7, second_nir=0.8, size=(0.6, 0.6), cells=0.1, line=0.05
    ),
    "concrete": Material(((140, 138, 132), (156, 152, 148)), 0.42, second=0.75, size=(0.7, 0.7), cells=0.5),
    "concrete_wall": Material(
        ((168, 166, 160), (150, 152, 152)), 0.45, second=0.8, size=(1.2, 0.6), cells=0.4, line=0.02
    ),
    "brick": Material(
        ((150, 80, 62), (168, 104, 80), (176, 150, 120)),
        0.5,
        second=1.5,
        size=(0.3, 0.1),
        stagger=0.5,
        cells=0.4,
        line=0.1,
    ),
    "lino": Material(
        ((150, 160, 150), (120, 138, 150), (170, 160, 136)),
        0.4,
        second=0.8,
        size=(0.6, 0.6),
        checker=0.7,
        gloss=0.08,
    ),
    "carpet": Material(
        ((72, 84, 108), (92, 92, 98), (80, 98, 92), (110, 84, 80)),
        0.6,
        second=0.75,
        size=(0.5, 0.5),
        checker=0.3,
        cells=0.5,
    ),
    "parquet": _wood((168, 120, 76), (150, 100, 62), (186, 146, 104)),
    "wood": _wood((150, 106, 66), (120, 80, 50), (176, 138, 96)),
    "wood_light": _wood((206, 178, 136), (214, 190, 156)),
    "tiles_floor": _tiles(0.33, (196, 184, 166), (176, 120, 90), (150, 150, 148)),
    "tiles_wall": _tiles(0.15, (226, 228, 226), (180, 208, 214), (204, 216, 190)),
    "door": Material(((120, 84, 56), (96, 120, 148), (178, 150, 110), (150, 156, 160)), 0.5),
    "frame": Material(((90, 90, 92), (200, 198, 192)), 0.5),
    "lamp": Material(((255, 252, 240),), 0.7, glow=2.2, spread=0.05),
    "window": Material(
        ((190, 214, 240), (210, 220, 232)), 0.25, second=0.5, size=(0.7, 1.2), line=0.06, gloss=0.75, glow=0.9
    ),
    "screen": Material(((40, 60, 100), (26, 28, 34), (70, 110, 130)), 0.05, gloss=0.35, glow=0.25),
    "black_plastic": Material(((38, 38, 42), (52, 52, 56)), 0.12, gloss=0.1),
    "desk": Material(((206, 200, 188), (186, 156, 116), (226, 224, 220)), 0.62),
    "office_cloth": _cloth((46, 60, 96), (50, 50, 56), (96, 46, 46), (46, 88, 80)),
    "bedding": _cloth((222, 218, 212), (150, 168, 200), (200, 150, 150), (120, 130, 160), (170, 190, 150)),
    "pillow": _cloth((238, 236, 230), (214, 204, 196)),
    "rug": _cloth((150, 70, 60), (90, 100, 130), (196, 180, 150)),
    "curtain": Material(
        ((170, 130, 110), (130, 140, 170), (200, 190, 170)),
        0.78,
        second=0.7,
        second_nir=0.9,
        size=(0.14, 9.0),
        checker=1.0,
    ),
    "sofa": _cloth((120, 110, 100), (90, 100, 120), (140, 90, 70)),
    "cabinet": Material(
        ((228, 226, 220), (160, 190, 176), (176, 128, 84), (120, 140, 160)),
        0.62,
        second=0.55,
        second_nir=0.8,
        size=(0.5, 0.7),
        line=0.05,
    ),
    "worktop": Material(
        ((70, 68, 66), (150, 130, 110), (186, 184, 180)),
        0.35,
        second=0.7,
        size=(0.05, 0.05),
        cells=0.6,
        gloss=0.1,
    ),
    "steel": Material(((176, 180, 184), (156, 160, 166)), 0.5, gloss=0.4),
    "enamel": Material(((236, 238, 238), (226, 228, 226)), 0.65, gloss=0.12),
    "mirror": Material(((150, 160, 166),), 0.15, gloss=0.95),
    "books": Material(
        ((170, 110, 80), (110, 130, 150), (160, 150, 120)),
        0.55,
        second=0.3,
        second_nir=0.6,
        size=(0.05, 0.34),
        cells=1.0,
        line=0.08,
    ),
    "stair": Material(
        ((160, 156, 150), (128, 126, 124), (186, 176, 158)), 0.45, second=0.7, size=(0.5, 0.5), cells=0.5
    ),
    "rail": Material(((60, 60, 64), (176, 60, 50), (190, 190, 192)), 0.3, gloss=0.25),
    "rack": Material(((36, 72, 140), (46, 100, 90), (90, 96, 104)), 0.35),
    "beam": Material(((226, 110, 40), (220, 160, 50)), 0.6),
    "carton": Material(
        ((178, 138, 92), (160, 120, 78), (192, 156, 112)),
        0.66,
        second=0.7,
        second_nir=0.85,
        size=(0.5, 0.4),
        cells=0.3,
        line=0.05,
    ),
    "wrap": Material(
        ((150, 170, 190), (60, 90, 130), (200, 200, 200)),
        0.55,
        second=0.8,
        size=(0.4, 0.3),
        cells=0.5,
        gloss=0.25,
    ),
    "sheet_metal": Material(
        ((160, 168, 172), (120, 136, 150), (190, 186, 172)),
        0.5,
        second=0.75,
        second_nir=0.85,
        size=(0.25, 99.0),
        checker=1.0,
    ),
    "car": Material(
        ((150, 30, 34), (36, 60, 120), (200, 200, 202), (50, 54, 58), (90, 110, 80)),
        0.4,
        gloss=0.3,
        spread=0.2,
    ),
    "glass": Material(((60, 76, 84),), 0.08, gloss=0.6),
    "rubber": Material(((34, 34, 34),), 0.06),
    "foliage": Material(
        ((60, 104, 48), (80, 120, 56), (100, 120, 50)),
        0.85,
        second=0.45,
        second_nir=0.75,
        size=(0.09, 0.09),
        cells=1.0,
    ),
    "grass": Material(
        ((86, 126, 60), (110, 136, 72)), 0.8, second=0.7, second_nir=0.85, size=(0.2, 0.2), cells=1.0
    ),
    "paving": Material(
        ((166, 156, 146), (150, 140, 128)), 0.48, second=0.7, size=(0.4, 0.4), cells=0.4, line=0.06
    ),
    "sand": Material(((206, 184, 140),), 0.62, second=0.85, size=(0.15, 0.15), cells=0.8),
    "toy": Material(((214, 50, 44), (240, 196, 40), (44, 110, 190), (60, 160, 80)), 0.6),
    "sky": Material(((150, 190, 236), (196, 208, 222)), 0.3, glow=1.4, gloss=1.0),
}


def texture(paint: F32, uv: F32, footprint: F32) -> F32:
    """Weight of the second colour at each pixel: (P,) float32 in [0, 1].

    paint: (N_COLUMNS, P) float32. uv: (2, P) float32, metres. footprint: (P,) float32, metres a pixel covers.
    """
    size_u, size_v = paint[Column.SIZE_U], paint[Column.SIZE_V]
    v = uv[1] / size_v
    row = np.floor(v)
    u = uv[0] / size_u + row * paint[Column.STAGGER]
    column = np.floor(u)
    i, j = column.astype(np.int32), row.astype(np.int32)
    mixed = i * np.int32(374761393) + j * np.int32(668265263)
    mixed = (mixed ^ (mixed >> 13)) * np.int32(1274126177)
    random = ((mixed >> 8) & 255).astype(np.float32) / 255
    line = paint[Column.LINE]
    # Lines are as wide in metres along both directions, so that long planks do not get broad ends.
    narrow = line * np.minimum(size_u, size_v)
    on_line = ((u - column) * size_u < narrow) | ((v - row) * size_v < narrow)
    weight = paint[Column.CELLS] * random + paint[Column.CHECKER] * ((i + j) & 1)
    weight = np.where(on_line, np.float32(1), weight)
    mean = (paint[Column.CELLS] + paint[Column.CHECKER]) / 2 + line
    # Cells smaller than a pixel show their mean, as a lens would; without it far floors sparkle.
    sharp = np.minimum(np.minimum(size_u, size_v) / (2 * footprint + 1e-6), 1)
    blended: F32 = np.clip(mean + sharp * (weight - mean), 0, 1).astype(np.float32, copy=False)
    return blended
