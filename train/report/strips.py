"""Frames with their translations, as the paper's Fig. 4, and held-out pairs with their true RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.preprocess import center_crop
from tgkt_edge.train.batches import Store, center_views
from tgkt_edge.train.nn.maps import class_maps
from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD, Translator, normalise
from tgkt_edge.train.report.images import evidence_uri, frame_uri, rgb_uri
from tgkt_edge.train.report.material import Answers, Findings, Material

SIDE = 160
"""Width and height of a picture, pixels."""

SHOWN = 8
"""Pictures in a strip at most."""


def held_strip(material: Material, findings: Findings) -> list[dict[str, Any]]:
    """Held-out pairs: RGB, frame, translation, and what is answered to each; see :func:`_figure`."""
    if findings.rgb is None:
        return []
    rows = _spread(len(material.held))
    figures = []
    for i, translated in zip(rows, _translations(material, material.held.codes, rows), strict=True):
        shots = [("RGB", rgb_uri(_crop(material, material.held.rgb[i]), SIDE))]
        shots.append(("frame", _frame(material, material.held.codes[i])))
        shots += [("translated", translated)] if translated else []
        answers = [("RGB", findings.rgb), *findings.held.items()]
        figures.append(_figure(shots, material.held.names[i], _lines(material, answers, i)))
    return figures


def target_strip(material: Material, findings: Findings) -> list[dict[str, Any]]:
    """Target frames of all predicted classes, with their translations where there is a T, and with the evidence for
    what the target network answers, where it has such maps; see :func:`_figure`."""
    by_class = np.argsort(findings.answers["target"].named, kind="stable")
    rows = by_class[_spread(len(by_class))]
    figures = []
    evidence = _evidence(material, rows)
    for i, translated in zip(rows, _translations(material, material.target.codes, rows), strict=True):
        shots = [("frame", _frame(material, material.target.codes[i]))]
        shots += [("translated", translated)] if translated else []
        shots += [evidence[int(i)]] if int(i) in evidence else []
        answers = list(findings.answers.items())
        figures.append(_figure(shots, material.target.names[i], _lines(material, answers, i)))
    return figures


def _spread(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, SHOWN)).round().astype(np.int64))


def _crop(material: Material, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return center_crop(image, material.config.image_size)


def _crop_codes(codes: NDArray[np.uint16], size: int) -> NDArray[np.uint16]:
    return center_crop(codes, size)


def _frame(material: Material, codes: NDArray[np.uint16]) -> str:
    return frame_uri(_crop_codes(codes, material.config.image_size), material.sensor.kind, SIDE)


def _translations(material: Material, codes: NDArray[np.uint16], rows: NDArray[np.int64]) -> list[str]:
    """Pictures of T's output for these rows; empty texts where the run has no T."""
    translators = [m.translator for m in material.models.values() if m.translator is not None]
    if not translators:
        return [""] * len(rows)
    images = translated(translators[0], codes[rows], material.config.image_size, material.device)
    return [rgb_uri(image, SIDE) for image in images]


def _evidence(material: Material, rows: NDArray[np.int64]) -> dict[int, tuple[str, str]]:
    """(title, picture) of the target network's evidence for its answer, by row; none where the network has no maps."""
    model = material.models["target"]
    if model.translator is not None:
        return {}
    size, codes = material.config.image_size, material.target.codes
    store = Store(codes[rows], material.device)
    frames = store.take(center_views(np.arange(len(rows)), store.side, size), size)
    maps = class_maps(model.network, normalise(frames))
    if maps is None:
        return {}
    found = {}
    for i, one in zip(rows, maps.float().cpu().numpy(), strict=True):
        answer = int(one.mean((1, 2)).argmax())
        picture = evidence_uri(_crop_codes(codes[i], size), one[answer], SIDE)
        found[int(i)] = (f"evidence for {material.classes[answer]}", picture)
    return found


@torch.no_grad()
def translated(
    translator: Translator, codes: NDArray[np.uint16], size: int, device: torch.device
) -> NDArray[np.uint8]:
    """T's output for (n, R, R) codes, central crops, as (n, size, size, 3) uint8 RGB."""
    store = Store(codes, device)
    frames = store.take(center_views(np.arange(len(codes)), store.side, size), size)
    out = translator(normalise(frames)).float()
    mean, std = (out.new_tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    unit = (out * std + mean).clamp(0, 1).mul(255).round().to(torch.uint8)
    rgb: NDArray[np.uint8] = unit.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return rgb


def _lines(material: Material, by_model: Sequence[tuple[str, Answers]], i: int) -> list[str]:
    lines = []
    for name, answers in by_model:
        p = answers.probabilities[i]
        lines.append(f"{name}: {material.classes[int(p.argmax())]} {p.max():.0%}")
    return lines


def _figure(shots: Sequence[tuple[str, str]], name: str, answers: Sequence[str]) -> dict[str, Any]:
    """What the template draws: (title, picture as a data address) of each shot, a short name, a line an answer."""
    return {"shots": shots, "name": "/".join(Path(name).parts[-2:]), "answers": answers}
