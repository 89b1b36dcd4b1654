"""A classifier that another program trained, imported: accuracy after ``translate``.

    python benchmarks/imports.py nyuv2-5 epfl-6 --seeds 0 1 2 --size 112 --weights FILE -o WORK [--out results.md]

For each data set and seed a ResNet-50 with an ``fc`` is trained by the recipe of docs/your-model.md on nine tenths of
the RGB images, imported, and adapted on nine tenths of the pairs as ``adapt --method translate`` does; beside it the
source that this program makes of the same images. ``--recipe frozen`` trains the ``fc`` alone. ``--finetuned`` adds the
built-in source trained whole (``source.mode=finetune``). ``--merged 20`` adds the same models with a head for 20 finer
classes among 365, wrapped as Places365's, and merged to the task's by a map. Models and features that WORK holds
(WORK/models/NAME-SEED.pth with a CSV class,images beside it) are used again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from datasets import prepare
from feature_bench import Bench, Draw, scores
from numpy.typing import NDArray
from outside_model import RECIPES, as_places, train_outside
from protocols import variants
from torch import Tensor

from tgkt_edge.config import build_config
from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.data.loading import spread
from tgkt_edge.io.atomic import write_json, write_text
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.make_source import kept_features, make_source
from tgkt_edge.train.methods.translation.features import FRAME_LAYERS, Kind
from tgkt_edge.train.methods.translation.source_features import MEAN, SHARES, SPREAD
from tgkt_edge.train.nn.checkpoint import Header, load_classifier, save_checkpoint
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import Classifier, frozen
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source
from tgkt_edge.train.source_import.scale import fit_scale

Reals = NDArray[np.float64]

EPOCHS = {"nyuv2-5": 4, "epfl-6": 10}
"""Of the recipe: some ninety and fifty steps."""

ROWS = (
    "the import as it is, on the frames",
    "imported with a list of names alone",
    "imported with a CSV that has `images`",
    "imported with its labelled images",
    "built-in source, same images and pairs",
)

FEW = "imported with {} of its labelled images", "built-in source of {} images"

FINETUNED = "built-in source, trained whole (`source.mode=finetune`)"

MERGED = (
    "365 classes, {} of them merged to the task's: names alone",
    "365 classes, {} of them merged to the task's: with `images`",
)


def rows_of(
    bench: Bench, data_files: list[Path], args: argparse.Namespace, name: str, seed: int
) -> Iterator[Reals]:
    """(N, K) probabilities of the task's frames, for each of ROWS and, where it is asked for, of MERGED."""
    draw = next(line.draw(seed) for line in variants(prepare(name, args.out_dir / "csv"), bench, "a"))
    suffix = "" if args.recipe == RECIPES[0] else f"-{args.recipe}"
    file = args.out_dir / "models" / f"{name}-{seed}{suffix}.pth"
    labels = bench.source_labels[draw.source]
    train_outside(
        [data_files[i] for i in draw.source], labels, bench.classes, Path(args.weights), args.size, EPOCHS[name],
        seed, file, args.recipe,
    )  # fmt: skip
    if args.models_only:
        return
    model, header = imported(bench, draw, file, ImportOptions(file.with_suffix(".csv"), size=args.size))
    store = bench.frames_store(draw.frames)
    logits = predict_target(model, store, args.size, bench.config.batch, bench.compute)[1]
    yield logits.softmax(1).double().cpu().numpy()
    shares = {SHARES: header.beside[SHARES]}
    for beside in ({}, shares):
        yield translated(bench, model, beside, draw)
    model, beside = with_images(bench, file, draw, draw.source, args.size)
    yield translated(bench, model, beside, draw)
    yield translated(bench, *bench.source(draw.source), draw)
    if args.few:
        some = draw.source[spread(len(draw.source), args.few)]
        model, beside = with_images(bench, file, draw, some, args.size)
        yield translated(bench, model, beside, draw)
        source, beside = bench.source(some)
        yield translated(bench, source, {**beside, **shares}, replace(draw, source=some))
    if args.finetuned:
        yield finetuned(bench, args.out_dir / "models" / f"{name}-{seed}-built-in.safetensors", draw, seed)
    if not args.merged:
        return
    seen = bench.rows("source", Kind((), False, "plain", 1), draw.source, model.backbone)
    features = np.concatenate([block[:, 0] for _, block in seen.blocks()])
    wide, *listed, mapped = as_places(file, features, labels, bench.classes, args.merged, seed)
    for names in listed:
        options = ImportOptions(names, map=mapped, size=args.size)
        model, header = imported(bench, draw, wide, options)
        order = [header.classes.index(name) for name in bench.classes]
        yield translated(bench, model, header.beside, draw)[:, order]


def translated(bench: Bench, model: Classifier, beside: dict[str, Tensor], draw: Draw) -> Reals:
    """(N, K) of the network that a run would export."""
    return bench.answers(bench.translate(model, beside, draw).network, draw.scored)


def with_images(
    bench: Bench, file: Path, draw: Draw, rows: NDArray[np.int64], size: int
) -> tuple[ImportedClassifier, dict[str, Tensor]]:
    """The model in ``file`` with what is stored of its images ``rows``, as ``source import --source`` does."""
    given = read_source(file, ImportOptions(file.with_suffix(".csv"), size=size))
    model = frozen(bench.compute.place(given.model))
    assert isinstance(model, ImportedClassifier)
    raw = bench.rows("source", Kind((), False, "plain", bench.views), rows, model.backbone)
    generic = bench.rows("source", Kind(FRAME_LAYERS, True, "plain", bench.views), rows)
    fit_scale(model, given.header, raw, "its labelled images")
    kept = kept_features(generic, bench.source_labels[rows], len(rows))
    return model, {**given.header.beside, **kept, MEAN: model.standard.mean, SPREAD: model.standard.scale}


def finetuned(bench: Bench, file: Path, draw: Draw, seed: int) -> Reals:
    """(N, K) of a run whose source model is trained whole on the drawn images; the model is kept in ``file``."""
    config = replace(bench.config, seed=seed, source=replace(bench.config.source, mode="finetune"))
    labels = bench.source_labels[draw.source]
    if not file.is_file():
        rgb = bench.images.rgb[draw.source]
        images = replace(bench.images, rgb=rgb, labels=labels, names=())
        state = StageState(file.with_suffix(".state.safetensors"), 30)
        log = RunLog(None)
        with TemporaryDirectory() as folder:
            made = make_source(images, config, bench.compute, log, state, Path(folder))
        save_checkpoint(file, *made)
        state.clear()
    source, header = load_classifier(file, "source")
    source = frozen(bench.compute.place(source))
    return translated(bench, source, header.beside, draw)


def imported(
    bench: Bench, draw: Draw, file: Path, options: ImportOptions
) -> tuple[ImportedClassifier, Header]:
    """The model in ``file`` on the device, its scale fitted to the RGB of the draw's pairs, and its header."""
    given = read_source(file, options)
    model = frozen(bench.compute.place(given.model))
    assert isinstance(model, ImportedClassifier)
    raw = bench.rows("paired RGB", Kind((), False, "plain", bench.views), draw.pairs, model.backbone)
    fit_scale(model, given.header, raw, "RGB of pairs")
    return model, given.header


def page(found: dict[str, dict[str, list[tuple[float, float]]]], rows: Sequence[str] = ROWS) -> str:
    """Markdown: a line a row, a column a data set; mean and spread over seeds, in percent."""
    lines = [f"| | {' | '.join(found)} |", "|---" * (1 + len(found)) + "|"]
    for row in rows:
        cells = []
        for by_row in found.values():
            values = 100 * np.array(by_row[row])
            spread = values.std(0, ddof=1) if len(values) > 1 else None
            cells.append(
                " / ".join(
                    f"{mean:.1f}" + ("" if spread is None else f"±{spread[i]:.1f}")
                    for i, mean in enumerate(values.mean(0))
                )
            )
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse, train, adapt, write."""
    args = _parse()
    torch.set_num_threads(args.threads)
    config = build_config(None, args.set, {"image_size": args.size, "weights": args.weights})
    lines = (
        *ROWS,
        *(row.format(args.few) for row in FEW if args.few),
        *((FINETUNED,) if args.finetuned else ()),
        *(row.format(args.merged) for row in MERGED if args.merged),
    )
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name in args.data:
        data = prepare(name, args.out_dir / "csv")
        bench = Bench(data, config, args.out_dir / "features", RunLog(None))
        files = read_csv_columns(data.source, "--data", ("image",))["image"]
        by_row = found.setdefault(name, {row: [] for row in lines})
        for seed in args.seeds:
            for row, probabilities in zip(lines, rows_of(bench, files, args, name, seed), strict=False):
                accuracy, balanced = scores(probabilities, bench.labels)
                by_row[row].append((accuracy, balanced))
                print(
                    f"{name}, seed {seed}, {row}: {accuracy:.1%} / {balanced:.1%}",
                    file=sys.stderr,
                    flush=True,
                )
    if args.models_only:
        return
    text = page(found, lines)
    out = args.out or args.out_dir / "imports.md"
    write_text(out, text)
    write_json(out.with_suffix(".json"), found)
    print(text)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", choices=tuple(EPOCHS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--weights", required=True, help="of ImageNet: a safetensors file")
    parser.add_argument("--set", action="append", default=[], help="as for adapt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--merged", type=int, default=0, metavar="N", help="classes of a wider model that are merged"
    )
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0], help="what is trained outside")
    parser.add_argument("--finetuned", action="store_true", help="a built-in source that is trained whole")
    parser.add_argument("--few", type=int, default=0, metavar="N", help="also with N labelled images only")
    parser.add_argument("--models-only", action="store_true", help="train the models and end")
    parser.add_argument("-o", dest="out_dir", type=Path, required=True, metavar="WORK")
    parser.add_argument(
        "--out", type=Path, help="Markdown file; JSON goes beside it. Default: WORK/imports.md"
    )
    args = parser.parse_args()
    if not Path(args.weights).is_file():
        parser.error(f"--weights {args.weights}: no such file; expected ImageNet's ResNet-50 as safetensors")
    return args


if __name__ == "__main__":
    main()
