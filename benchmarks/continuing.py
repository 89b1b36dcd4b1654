"""``adapt --continue`` where labels are known: what a shipped network gains at a new place, and what it forgets.

    python benchmarks/continuing.py --data nyuv2-5 --weights resnet50.safetensors --size 112 --out results.md

The network that ships is a translation's (``--method translate``) of one official split's scenes: source, pairs and
frames. Then frames of the other split's scenes come in: half of them are new frames, the other half is scored and never
seen. Places: ``mixed``, a random half; ``in order``, the first half of the list, whose scenes are others than those of
the second; ``two classes``, as mixed, of the two most frequent classes alone. A fifth of the old frames is left out of
everything and scored as well.

``again``: adapted from the start to new and old frames together, with the pairs, to compare with.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import open_data
from feature_bench import Bench, Draw, scores
from numpy.typing import NDArray
from protocols import official_split, stems
from tables import machine

from tgkt_edge.config import build_config
from tgkt_edge.io.atomic import write_text
from tgkt_edge.train.continuing.load import HELD
from tgkt_edge.train.continuing.new_head import features_of, fit_new_head, taught_by_shipped
from tgkt_edge.train.holdout import held_out
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.features import FRAME_LAYERS
from tgkt_edge.train.methods.translation.head import with_head
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.report.comparison import Evidence
from tgkt_edge.train.report.retention import OWN_SPACE
from tgkt_edge.train.report.verdict import judge

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Place:
    """Frames of another place: ``new`` ones to learn from, and ``unseen`` ones to score."""

    name: str
    new: Ints
    unseen: Ints


def places(frames: Ints, labels: Ints) -> Iterator[Place]:
    """Halves of the other split's frames."""
    half = len(frames) // 2
    mixed = np.random.default_rng(0).permutation(frames)
    yield Place("mixed", np.sort(mixed[:half]), np.sort(mixed[half:]))
    yield Place("in order", frames[:half], frames[half:])
    common = np.argsort(-np.bincount(labels[frames]))[:2]
    two = mixed[np.isin(labels[mixed], common)]
    yield Place("two classes", np.sort(two[: len(two) // 2]), np.sort(two[len(two) // 2 :]))


def continued(bench: Bench, shipped: Classifier, rows: Ints) -> Classifier:
    """The shipped network with a new head, as a run has it, from frames whose features are at hand."""
    cfg = bench.config.translation
    _, kind = features_of(shipped, cfg.views)
    features = bench.rows("target", kind, rows)
    with torch.inference_mode():
        logits = np.concatenate(
            [
                shipped.classifier(shipped.standard(torch.from_numpy(block))).double().mean(1).numpy()
                for _, block in features.blocks()
            ]
        )
    taught = taught_by_shipped(features, logits, None, None, cfg)
    network = with_head(bench.backbone, FRAME_LAYERS, *fit_new_head(features, taught, cfg), shipped.normals)
    network.backbone = bench.backbone  # the copy is the same, and large
    return network


def verdict(bench: Bench, shipped: Classifier, network: Classifier, rows: Ints) -> str:
    """What a run would report about these new frames."""
    _, kind = features_of(shipped, bench.config.translation.views)
    seen = torch.from_numpy(bench.whole("target", kind)[rows, 0].astype(np.float32))
    found = Evidence(
        classes=bench.classes,
        features=shipped.standard(seen).numpy(),
        source=bench.answers(shipped, rows).astype(np.float32),
        target=bench.answers(network, rows).astype(np.float32),
        baseline="the shipped network",
        handicap=OWN_SPACE,
    )
    return judge(found).verdict


def measure(bench: Bench, splits: dict[str, Ints], own: str) -> Iterator[list[str]]:
    """Rows of the table for the network shipped from one split's scenes."""
    old, other = (np.flatnonzero((splits["frames"] == own) == same) for same in (True, False))
    source_rows, pairs = (np.flatnonzero(splits[name] == own) for name in ("source", "pairs"))
    held = old[np.concatenate(held_out(len(old), HELD, 0))]
    kept = np.setdiff1d(old, held)
    source, beside = bench.source(source_rows)
    shipped = bench.translate(source, beside, Draw(source_rows, pairs, pairs, kept, held)).network
    before = bench.answers(shipped, held).argmax(1)

    def row(place: Place, name: str, network: Classifier) -> list[str]:
        print(own, place.name, name, file=sys.stderr, flush=True)
        found = [
            scores(bench.answers(network, rows), bench.labels[rows])
            for rows in (place.new, place.unseen, held)
        ]
        same = float((bench.answers(network, held).argmax(1) == before).mean())
        said = "" if network is shipped else verdict(bench, shipped, network, place.new)
        figures = [f"{100 * accuracy:.1f} / {100 * balanced:.1f}" for accuracy, balanced in found]
        return [f"{own}, {place.name}", name, *figures, f"{same:.0%}", said]

    for place in places(other, bench.labels):
        both = np.sort(np.concatenate([place.new, kept]))
        yield row(place, "shipped", shipped)
        yield row(place, "continued, new and old frames", continued(bench, shipped, both))
        yield row(place, "continued, new frames alone", continued(bench, shipped, place.new))
        again = bench.translate(source, beside, Draw(source_rows, pairs, pairs, both, place.unseen)).network
        yield row(place, "again, with pairs, new and old frames", again)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", default="nyuv2-5", help="a set with an official split, as benchmarks/datasets.py has it"
    )
    parser.add_argument("--weights", default="imagenet", help="as of adapt")
    parser.add_argument("--size", type=int, default=112, help="side of the input, pixels")
    parser.add_argument("--out-dir", type=Path, default=Path("continuing"), help="features, to be used again")
    parser.add_argument("--out", type=Path, help="Markdown to write")
    args = parser.parse_args()
    (data,) = open_data(args.data, args.out_dir / "csv")
    config = build_config(None, (), {"weights": args.weights, "image_size": args.size})
    bench = Bench(data, config, args.out_dir / "features", RunLog(None))
    split = official_split(data)
    columns = {
        "source": (data.source, "image"),
        "pairs": (data.paired, "rgb"),
        "frames": (data.target, "frame"),
    }
    splits = {name: np.array([split[stem] for stem in stems(*where)]) for name, where in columns.items()}
    rows = [row for own in ("train", "test") for row in measure(bench, splits, own)]
    head = [
        "shipped from, place",
        "network",
        "new frames",
        "unseen there",
        "old, left out",
        "as shipped",
        "verdict",
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    command = f"python benchmarks/continuing.py --data {args.data} --size {args.size}"
    text = "\n".join(
        [
            f"# Continuing from a shipped network: {args.data}",
            "",
            f"`{command}`, {machine()}.",
            "Accuracy / balanced accuracy, %; *as shipped*: share of the old frames that get the same.",
            "",
            *lines,
            "",
        ]
    )
    if args.out is not None:
        write_text(args.out, text)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
