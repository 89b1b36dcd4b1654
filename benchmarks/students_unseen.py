"""How target networks classify frames that they did not learn from. results/students.md

    PYTHONPATH=. python benchmarks/students_unseen.py --data epfl-6 --seeds 0 --size 112 --weights FILE -o WORK \\
        --student resnet18,distill.epochs=40 \\
        --student timm:tf_efficientnet_lite0=lite0.pth,distill.epochs=12,distill.lr=5e-4

``students.py`` scores the frames that a network learnt from, as a run does that is adapted where it will work. Here a
seed leaves a fifth of the frames out of what the network learns from; its teacher, the translation, has seen them all,
without labels. What WORK holds already is not computed again, and training goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DataSet, open_data
from ending import run_and_exit
from feature_bench import Bench, Draw, scores
from numpy.typing import NDArray
from protocols import variants
from student_cells import Student, learn, refuse_other, translation_of
from students import add_options, spread

from tgkt_edge.config import build_config
from tgkt_edge.io.atomic import write_json
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.model import Classifier, frozen
from tgkt_edge.train.nn.predict import NO_FEATURES, predict_target

PARTS = 5
"""One of so many is left out."""


HEAD = (
    "data", "network", "starts from", "options", "seeds", "frames it learnt from", "translation", "frames left out",
    "translation",
)  # fmt: skip


def split_frames(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the frames to learn from and of those left out, ascending."""
    part = np.random.default_rng([seed, *b"unseen"]).permutation(count) % PARTS
    return np.flatnonzero(part != 0), np.flatnonzero(part == 0)


def compute(
    work: Path, data: DataSet, bench: Bench, draw: Draw, student: Student, seed: int
) -> dict[str, Any]:
    """Accuracy and balanced accuracy of the network and its teacher: ``learnt`` frames and ``unseen`` ones."""
    folder = work / "unseen" / data.name / f"{student.slug}-s{seed}"
    file = folder / "cell.json"
    if file.is_file():
        return refuse_other(file, student)
    teacher, labels = translation_of(work, data, bench, draw, seed)
    learnt, unseen = split_frames(len(draw.frames), seed)
    folder.mkdir(parents=True, exist_ok=True)
    part = replace(draw, frames=draw.frames[learnt])
    network, seconds = learn(
        bench, part, teacher, labels[learnt], student, student.config(bench.config, seed), folder
    )

    def scored(model: Classifier, rows: NDArray[np.int64]) -> tuple[float, float]:
        rows, config = draw.frames[rows], bench.config
        store = bench.frames_store(rows)
        logits = predict_target(
            model, store, config.image_size, config.batch, bench.compute, kept=NO_FEATURES
        )[1]
        return scores(logits.softmax(1).double().cpu().numpy(), bench.labels[rows])

    teacher = frozen(bench.compute.place(teacher))
    cell = {
        **student.made_from, "start": student.start, "data": data.name, "seed": seed, "seconds": round(seconds, 1),
        "network": {"learnt": scored(network, learnt), "unseen": scored(network, unseen)},
        "teacher": {"learnt": scored(teacher, learnt), "unseen": scored(teacher, unseen)},
    }  # fmt: skip
    write_json(file, cell)
    return cell


def table(cells: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line a data set and network; accuracy / balanced accuracy in percent, mean ± deviation over seeds."""
    lines = [
        f"| {' | '.join(HEAD)} |",
        "|---" * len(HEAD) + "|",
    ]
    for data, name in dict.fromkeys((cell["data"], cell["student"]) for cell in cells):
        mine = [cell for cell in cells if (cell["data"], cell["student"]) == (data, name)]
        row = [data, name, mine[0]["start"], " ".join(mine[0]["sets"])]
        row.append(" ".join(str(cell["seed"]) for cell in mine))
        for frames in ("learnt", "unseen"):
            for who in ("network", "teacher"):
                row.append(" / ".join(spread([cell[who][frames][i] for cell in mine]) for i in range(2)))
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def main() -> int:
    """Compute cell by cell, print the table."""
    args = _parse()
    flags = {"image_size": args.size, "batch": args.batch, "weights": args.weights, "device": args.device}
    config, cells = build_config(None, [], flags), []
    for data in [one for text in args.data for one in open_data(text, args.out_dir / "csv")]:
        bench = Bench(data, config, args.out_dir / "features", RunLog(None))
        (variant,) = variants(data, bench, "a")
        for student in args.student:
            for seed in args.seeds:
                cells.append(compute(args.out_dir, data, bench, variant.draw(seed), student, seed))
    print(table(cells))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    run_and_exit(main)
