"""``tgkt-edge demo``: the whole job on rendered scenes, through the public commands alone."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.demo.scenes import NEAR_CLASSES
from tgkt_edge.demo.write import write_demo_data
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.atomic import refuse_existing, refuse_foreign
from tgkt_edge.optional_deps import require

# Small frames and ResNet-50 from scratch, because no ImageNet weights come with the package: larger learning rates
# than for fine-tuning, and many different images rather than many epochs. The frames are described by the source
# model's own features; a translation of these is all that is needed, so no second network is trained. Two views of each
# image instead of four, and depth as surface normals alone, which this network reads best: five minutes have to do on
# two cores that compute in float32. At 48 pixels accuracy is eight points lower.
SIZE = 64
SOURCE_PER_CLASS, PAIRS_PER_CLASS = 150, 80
SETTINGS = (
    "source.epochs=5",
    "source.lr=0.02",
    "source.head_lr=0.02",
    "translation.views=2",
    "translation.encodings=normals",
    "translation.prior=shares",  # the classes are as frequent among the frames as among the RGB: 240 frames are few
)
_PARTS = ("data", "run", "bundle", "run.jsonl")

Say = Callable[[str], None]


def demo(
    out: Path,
    *,
    overwrite: bool = False,
    seed: int = 0,
    sensor: str = "depth",
    weights: str = "none",
    precision: str = "auto",
    say: Say,
) -> dict[str, Any]:
    """Render scenes, adapt, evaluate, export and run; write ``out/{data,run,bundle,run.jsonl}``.

    Args:
        sensor: "depth" (16-bit millimetres) or "nir" (10-bit counts in 16 bits).
        weights: what the source model starts from, as ``adapt --weights``.
        precision: what is computed in, as ``adapt --precision``: auto, fp32 or bf16.
        say: prints a line for the person watching.

    Returns:
        Accuracy (0 to 1) of each model on the target frames and of the engine on the clip, and its latency in ms.

    Raises:
        UsageError: ``out`` is not empty, or the sensor, seed, weights or precision cannot be used.
        MissingDependency: the extras train, export and cpu are not installed.
        TgktEdgeError: one of the commands failed; its own message stands above.
    """
    for module, extra in (("torch", "train"), ("onnx", "export"), ("onnxruntime", "cpu"), ("cv2", "cpu")):
        require(module, extra, "The demo")
    _check(out, sensor, seed, weights, precision)
    refuse_existing(out, overwrite=overwrite)
    for part, marker in (("data", "clip_labels.csv"), ("run", "config.yaml"), ("bundle", "manifest.json")):
        refuse_foreign(out / part, marker, "an earlier demo")
    for path in (out / part for part in _PARTS):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    start = time.monotonic()
    data, run, bundle, decisions = (out / part for part in _PARTS)

    say(f"Rendering {sensor} frames, RGB images and pairs of other scenes into {data}")
    write_demo_data(
        data,
        seed=seed,
        sensor="nir" if sensor == "nir" else "depth",
        source_per_class=SOURCE_PER_CLASS,
        pairs_per_class=PAIRS_PER_CLASS,
        others=NEAR_CLASSES,
    )
    formats = [] if precision == "auto" else ["--precision", precision]
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    _command(
        say,
        ["adapt", "--method", "translate", "--target", data / "target", "--paired", data / "paired",
         "--sensor", sensor, "--source", data / "source", "--weights", weights,
         "--image-size", SIZE, "--seed", seed, *formats, *settings, "-o", run],
    )  # fmt: skip
    measured = json.loads(
        _command(say, ["evaluate", run, "--data", data / "target_labels.csv", "--json"], keep=True)
    )
    _command(say, ["export", run, "-o", bundle])
    lines = _command(say, ["run", bundle, "--camera", data / "clip"], keep=True)
    decisions.write_text(lines, encoding="utf-8")
    result = summary(measured, [json.loads(line) for line in lines.splitlines()], data / "clip_labels.csv")
    for line in report(result, out, time.monotonic() - start):
        say(line)
    return result


def _check(out: Path, sensor: str, seed: int, weights: str, precision: str) -> None:
    """Refuse what ``adapt`` would refuse after everything is rendered and an earlier demo is deleted."""
    if sensor not in ("depth", "nir"):
        raise UsageError(f"`sensor={sensor}`: the demo renders depth or nir. Expected one of them.")
    if seed < 0:
        raise UsageError(f"`seed={seed}`: expected 0 or more")
    if precision not in ("auto", "fp32", "bf16"):
        raise UsageError(f"`precision={precision}`: expected auto, fp32 or bf16")
    if weights == "none":
        return
    from tgkt_edge.train.nn.checkpoint import pretrained_backbone

    pretrained_backbone(weights)
    for part in _PARTS:
        if Path(weights).resolve().is_relative_to((out / part).resolve()):
            raise UsageError(
                f"`weights={weights}`: lies in {out / part}, which is replaced. Put it elsewhere."
            )


def _command(say: Say, words: Sequence[object], keep: bool = False) -> str:
    """Run ``tgkt-edge`` with ``words`` as a user would; return its standard output if ``keep``."""
    arguments = [str(word) for word in words]
    say(f"\n$ tgkt-edge {shlex.join(arguments)}")
    done = subprocess.run(
        [sys.executable, "-m", "tgkt_edge", *arguments],
        stdout=subprocess.PIPE if keep else None,
        text=True,
    )
    if done.returncode:
        raise TgktEdgeError(
            f"the demo stopped: 'tgkt-edge {arguments[0]}' ended with exit code {done.returncode}"
        )
    return done.stdout or ""


def summary(measured: dict[str, Any], records: list[dict[str, Any]], clip_labels: Path) -> dict[str, Any]:
    """Accuracy of each model, of the engine's decisions on the clip, and the engine's median latency in ms.

    Args:
        measured: what ``evaluate`` returned. records: of the run over the clip, events included.
    """
    decisions = [record for record in records if "event" not in record]
    with clip_labels.open(newline="", encoding="utf-8") as file:
        truth = [row["label"] for row in csv.DictReader(file)]
    given = [line.get("label") for line in decisions]
    if len(given) != len(truth):
        raise TgktEdgeError(f"the clip has {len(truth)} frames, but run answered {len(given)}")
    inference = sorted(line["ms"]["inference"] for line in decisions if "ms" in line)
    models = {
        name: {"accuracy": m["accuracy"], "balanced_accuracy": m["balanced_accuracy"]}
        for name, m in measured["models"].items()
    }
    return {
        "models": models,
        "clip_accuracy": sum(a == b for a, b in zip(given, truth, strict=True)) / len(truth),
        "inference_ms": inference[len(inference) // 2],
    }


def report(result: dict[str, Any], out: Path, seconds: float) -> list[str]:
    """The closing table and what to try next, as lines."""
    names = {"source-only": "source model on raw frames", "target": "network for the sensor"}
    lines = ["", f"{'target frames, no labels used':<32}{'accuracy':>10}{'balanced':>10}"]
    for key, label in names.items():
        m = result["models"][key]
        lines.append(f"{label:<32}{m['accuracy']:>10.1%}{m['balanced_accuracy']:>10.1%}")
    clip = f"{'exported bundle on the clip':<32}{result['clip_accuracy']:>10.1%}"
    lines += [
        f"{clip}   {result['inference_ms']:.1f} ms a frame (median, ONNX Runtime on this CPU)",
        "",
        f"Done in {seconds:.0f} s. What is where:",
        f"  {out}/data       what a user brings: source/ target/ paired/ clip/",
        f"  {out}/run        the training run: checkpoints, metrics.jsonl, tensorboard/, report.json",
        f"  {out}/bundle     what ships to the device: manifest.json, model.onnx",
        f"  {out}/run.jsonl  one decision a line for the clip",
        "Next:",
        f"  tgkt-edge run {out}/bundle --camera {out}/data/clip --loop     watch it live; Ctrl-C ends it",
        f"  tgkt-edge evaluate {out}/bundle --data {out}/data/target_labels.csv",
        f"  tensorboard --logdir {out}/run/tensorboard",
        "  tgkt-edge adapt --target YOUR_FRAMES --paired YOUR_PAIRS --sensor depth --source-model YOUR_MODEL -o RUN",
    ]
    return lines
