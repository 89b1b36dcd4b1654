"""How often the frames speak against class shares that were given, where the shares are right and where they are not.

    python benchmarks/prior_doubt.py --data nyuv2-5 epfl-6 --seeds 0 1 --size 112 --weights FILE -o WORK

Each protocol's draw of tables.py is translated with the frames' true class shares as ``--prior``, with equal ones, and
with shares from 1 to 50 dealt out at random (the "wrong prior" of verdict.py). Printed is what ``prior_doubt`` of
report.json holds: the nats that the given shares lose against the estimate of two translations, and whether that is
beyond the limit (then `adapt` warns). Features are computed once and kept in WORK. Labels only give the true shares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from datasets import open_data
from feature_bench import Bench
from protocols import variants

from tgkt_edge.config import build_config
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.prior import class_shares


def main() -> None:
    """Print one line for each draw and prior, as a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("-o", dest="out", type=Path, required=True, metavar="WORK")
    args = parser.parse_args()
    config = build_config(None, (), {"image_size": args.size, "weights": args.weights})
    print("| draw | true shares | equal shares | random shares | limit |\n|---|---|---|---|---|")
    for data in (one for text in args.data for one in open_data(text, args.out / "csv")):
        bench = Bench(data, config, args.out / "features", RunLog(None))
        classes = len(bench.classes)
        for line in variants(data, bench, "abcd"):
            for seed in args.seeds:
                draw = line.draw(seed)
                source, beside = bench.source(draw.source)
                random = np.random.default_rng([seed, *b"verdict"]).permutation(np.geomspace(1, 50, classes))
                true = class_shares(bench.labels[draw.frames], classes)
                cells, limit = [], ""
                for prior in (true, np.full(classes, 1 / classes), random / random.sum()):
                    about = bench.translate(source, beside, draw, config, prior).about["prior_doubt"]
                    cells.append(
                        f"{about['nats']:+.3f}{', warned' if about['differs'] else ''}" if about else "-"
                    )
                    limit = f"{about['limit']:.2f}" if about else "-"
                print(
                    f"| {data.name}, {line.name}, seed {seed} | {' | '.join(cells)} | {limit} |", flush=True
                )


if __name__ == "__main__":
    main()
