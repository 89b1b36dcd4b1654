"""The main job on real data: adapt, evaluate, export and run, through the public commands.

    python benchmarks/real.py nyuv2-5 epfl-6 --size 112 --epochs 8 -o WORK [--weights FILE]

Prints accuracy and balanced accuracy of source-only, TGMB and target, with the seconds of each stage; then compares
``run`` with ``evaluate`` frame by frame on the exported bundle. Finished runs in WORK are used again.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from datasets import DataSet, data_root, prepare


def tool(*words: object) -> str:
    """Run ``tgkt-edge`` and return its standard output."""
    command = [sys.executable, "-m", "tgkt_edge", *map(str, words)]
    print("$ tgkt-edge", *words, file=sys.stderr, flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def one_run(data: DataSet, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Adapt, evaluate and export one data set with one seed."""
    run = args.out / f"{data.name}-{seed}"
    if not (run / "report.json").is_file():
        resume = ["--resume"] if (run / "config.yaml").is_file() else []
        extra = [word for text in args.set for word in ("--set", text)]
        epochs = ["--epochs", args.epochs] if args.epochs else []
        config = ["--config", args.config] if args.config else []
        tool("adapt", "--target", data.target, "--paired", data.paired, "--sensor", data.sensor,
             "--source", data.source, "--weights", args.weights, "--image-size", args.size,
             "--precision", args.precision, "--seed", seed,
             *config, *epochs, *extra, *resume, "-o", run)  # fmt: skip
    result: dict[str, Any] = json.loads(tool("evaluate", run, "--data", data.labelled, "--json"))
    result["stages"] = json.loads((run / "report.json").read_text())["stages"]
    bundle = args.out / f"{data.name}-{seed}-bundle"
    if not bundle.exists():
        tool("export", run, "-o", bundle)
    result["verification"] = json.loads((bundle / "manifest.json").read_text())["verification"]
    return result


def same_answers(bundle: Path, labelled: Path, camera: str, *sensor: str) -> str:
    """Compare ``run`` and ``evaluate`` on the same frames: labels and probabilities must be equal to the last bit."""
    with tempfile.TemporaryDirectory() as folder:
        predictions = Path(folder) / "predictions.jsonl"
        tool("evaluate", bundle, "--data", labelled, "--predictions", predictions, "--json", *sensor)
        expected = {}
        for line in predictions.read_text().splitlines():
            entry = json.loads(line)
            expected[Path(entry["frame"]).resolve()] = entry
    answers = [
        json.loads(line)
        for line in tool("run", bundle, "--camera", camera, "--no-live", *sensor).splitlines()
    ]
    compared = equal = 0
    for answer in answers:
        if "event" in answer:
            continue
        reference = expected.get(Path(answer["source"]).resolve())
        if reference is None:
            continue  # the folder holds frames of other scenes too
        compared += 1
        equal += (answer["label"], answer["probability"]) == (reference["label"], reference["probability"])
    shown = Path(camera).relative_to(data_root())
    return (
        f"run against evaluate on {bundle.name}, {shown}: {equal} of {compared} frames equal to the last bit"
    )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=("nyuv2-5", "epfl-6"))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, help="of every stage")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--config", help="as for adapt, e.g. paper")
    parser.add_argument("--set", action="append", default=[], help="as for adapt")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    root, lines = data_root(), []
    for name in args.names:
        data = prepare(name, args.out / "csv")
        for seed in args.seeds:
            result = one_run(data, seed, args)
            cells = [f"{m['accuracy']:.1%} / {m['balanced_accuracy']:.1%}" for m in result["models"].values()]
            seconds = " + ".join(f"{cost['seconds']:.0f}" for cost in result["stages"].values())
            lines.append(f"| {name} | {seed} | {' | '.join(cells)} | {seconds} |")
        bundle = args.out / f"{name}-{args.seeds[0]}-bundle"
        if name == "nyuv2-5":
            lines.append(same_answers(bundle, data.labelled, str(root / "nyuv2" / "depth")))
            # Another depth camera on the same bundle. Nobody labelled these frames; any label will do to compare.
            other = args.out / "csv" / "sensor16.csv"
            with other.open("w", newline="") as file:
                frames = sorted((root / "sensor16" / "depth").glob("*.png"))
                csv.writer(file).writerows([("frame", "label"), *((frame, "kitchen") for frame in frames)])
            lines.append(same_answers(bundle, other, str(root / "sensor16" / "depth"), "--sensor", "depth"))
        else:
            lines.append(same_answers(bundle, data.labelled, str(root / "epfl-rgbnir" / "*" / "*_nir.jpg")))
    print(
        f"{platform.machine()}, {args.size} pixels, {args.epochs or 'default'} epochs a stage, {args.precision}"
    )
    print("| data | seed | source-only | TGMB | target (TGKT) | seconds source + tgmb + tgkt |")
    print("|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
