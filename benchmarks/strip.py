"""The picture at the head of README: a frame of each class, its RGB, and what two models answer to it.

The frame of each class is the one to which the target network gives the median of its probabilities of that class:
it is neither the best nor the worst.

    tgkt-edge evaluate RUN --data labels.csv --predictions predictions.jsonl
    python benchmarks/strip.py predictions.jsonl --rgb source.csv --labels labels.csv --sensor nyuv2 -o strip.png

``--rgb`` and ``--labels`` are two of the CSVs that ``data prepare`` writes: their rows are the same scenes, in order.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.preprocess import encode, encode_rgb
from tgkt_edge.sensor import load_sensor

SIDE, GAP, TEXT = 154, 6, 52  # pixels
PAPER, INK, GOOD, BAD = (255, 255, 255), (60, 60, 60), (80, 130, 20), (60, 60, 190)  # BGR


def probability(answer: dict[str, Any], label: str) -> float:
    """Of one class, in a line that ``evaluate --predictions`` wrote."""
    found: float = answer["probabilities"][label]
    return found


def median_frame(rows: list[int], answers: list[dict[str, Any]], label: str) -> int:
    """Row of the frame whose probability of ``label`` is the median of those rows."""
    ranked = sorted(rows, key=lambda row: probability(answers[row], label))
    return ranked[len(ranked) // 2]


def column(
    rgb: Path, frame: Path, sensor: str, lines: list[tuple[str, tuple[int, int, int]]]
) -> NDArray[np.uint8]:
    """One scene: RGB above, the frame in colours below it, then lines of text."""
    image = cv2.imread(str(rgb), cv2.IMREAD_COLOR)
    raw = cv2.imread(str(frame), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert raw is not None
    top = encode_rgb(image.astype(np.uint8), SIDE)  # as BGR: the area's mean does not ask for the order
    codes = (encode(raw, load_sensor(sensor), SIDE) >> 8).astype(np.uint8)  # type: ignore[arg-type]
    stretched = cv2.normalize(codes, np.empty_like(codes), 0, 255, cv2.NORM_MINMAX)
    below = cv2.applyColorMap(stretched, cv2.COLORMAP_VIRIDIS)
    text = np.full((TEXT, SIDE, 3), PAPER, np.uint8)
    for i, (words, colour) in enumerate(lines):
        cv2.putText(text, words, (2, 20 + 22 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    gap = np.full((GAP, SIDE, 3), PAPER, np.uint8)
    return np.concatenate([top, gap, below, text])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--rgb", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--sensor", required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    answers: dict[str, list[dict[str, Any]]] = {}
    for line in args.predictions.read_text(encoding="utf-8").splitlines():
        answer = json.loads(line)
        answers.setdefault(answer["model"], []).append(answer)
    table = read_csv_columns(args.labels, "--labels", ("frame",), text=("label",))
    rgb = read_csv_columns(args.rgb, "--rgb", ("image",))["image"]
    columns = []
    for label in sorted(set(table["label"])):
        rows = [row for row, name in enumerate(table["label"]) if name == label]
        row = median_frame(rows, answers["target"], label)
        lines = [
            (f"{name}: {given}", GOOD if given == label else BAD)
            for name, model in (("before", "source-only"), ("after", "target"))
            for given in [answers[model][row]["label"]]
        ]
        columns += [column(rgb[row], table["frame"][row], args.sensor, lines)]
        columns += [np.full((columns[0].shape[0], GAP, 3), PAPER, np.uint8)]
    cv2.imwrite(str(args.out), np.concatenate(columns[:-1], axis=1), [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
