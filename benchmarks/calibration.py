"""How well probabilities are calibrated before and after a temperature: from labels, and in ways that need none.

    python benchmarks/calibration.py RUN=LABELLED [RUN=LABELLED ...]

RUN is a finished run (TGKT, with ``--source``), LABELLED its target frames with labels, as for ``evaluate``. A table a
run: temperature, expected calibration error (ECE) and negative log likelihood (NLL, nats) of the target network there.
"labels" is what ``export --labels`` does, cross-fitted. The others see no target label:

- "source labels": fitted to the source model on its own labelled RGB, and transferred;
- "confidence = agreement": mean confidence set to the share of frames on which two models name the same class;
- "likelihood of ...": fitted with another model's answers as labels, on the target frames, or on paired frames of other
  scenes with the source model's answers to their RGB (held-out pairs where the run kept some);
- "always T": a constant.

A minute or two a run on one core at 112 pixels.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.data.loading import load_images, load_labelled_frames, load_pairs
from tgkt_edge.evaluation.temperature import ece, fit_temperature, measure, nll, soften
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.batches import Store
from tgkt_edge.train.holdout import split_pairs
from tgkt_edge.train.nn.checkpoint import load_classifier, load_into, load_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.run_folder.folder import Run

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Codes = NDArray[np.uint8] | NDArray[np.uint16]

TEMPERATURES = np.exp(np.linspace(np.log(0.2), np.log(20), 300))


@dataclasses.dataclass(frozen=True)
class Logits:
    """What a run's models answer, (N, K) each: three to the target frames, two to pairs, one to the source's RGB."""

    target: Floats
    tgmb: Floats
    source_only: Floats
    labels: Labels
    pairs_frames: Floats
    pairs_rgb: Floats
    source: Floats
    source_labels: Labels


def ask_all(run: Run, labelled: Path) -> Logits:
    """Ask every model."""
    inputs, _, config = run.read_config()
    if inputs.source is None or inputs.paired is None:
        raise SystemExit(f"{run.path}: expected a run with --source and --paired")
    source, _ = load_classifier(run.source)
    target, header = load_classifier(run.target, "target")
    assert header.sensor is not None
    translator = Translator()
    load_into(translator, load_tensors(run.translator)[0], run.translator)
    size, cpu = config.image_size, torch.device("cpu")
    side = resize_side(size)

    def ask(model: Classifier, images: Codes, t: Translator | None = None) -> Floats:
        logits = predict_target(model, Store(images, cpu), size, config.batch, Compute(cpu, "fp32"), t)[1]
        return np.asarray(logits.numpy(), np.float32)

    frames = load_labelled_frames(labelled, header.sensor, side, header.classes)
    assert frames.labels is not None
    pairs = load_pairs(Path(inputs.paired), dataclasses.replace(header.sensor, size="any"), side)
    _, held, _ = split_pairs(pairs, config.holdout, config.seed)
    pairs = held if len(held) else pairs
    images = load_images(Path(inputs.source), side)
    return Logits(
        target=ask(target, frames.codes),
        tgmb=ask(source, frames.codes, translator.eval()),
        source_only=ask(source, frames.codes),
        labels=frames.labels,
        pairs_frames=ask(target, pairs.codes),
        pairs_rgb=ask(source, pairs.rgb),
        source=ask(source, images.rgb),
        source_labels=images.labels,
    )


def least(badness: Callable[[float], float]) -> float:
    """The temperature with the least of something."""
    return float(TEMPERATURES[np.argmin([badness(temperature) for temperature in TEMPERATURES])])


def as_sure_as(logits: Floats, share: float) -> float:
    """The temperature at which mean confidence is ``share``."""
    return least(lambda t: abs(float(soften(logits, t).max(1).mean()) - share))


def agreement(a: Floats, b: Floats) -> float:
    """Share of rows with the same largest class."""
    return float((a.argmax(1) == b.argmax(1)).mean())


def temperatures(found: Logits) -> dict[str, float]:
    """What each way without labels of the target gives."""
    pairs = agreement(found.pairs_frames, found.pairs_rgb)
    return {
        "none": 1.0,
        "source labels": fit_temperature(found.source, found.source_labels),
        "confidence = agreement with TGMB": as_sure_as(found.target, agreement(found.target, found.tgmb)),
        "confidence = agreement with source-only": as_sure_as(
            found.target, agreement(found.target, found.source_only)
        ),
        "confidence on pairs = agreement with RGB": as_sure_as(found.pairs_frames, pairs),
        "likelihood of TGMB's classes": fit_temperature(found.target, found.tgmb.argmax(1)),
        "likelihood of source-only's classes": fit_temperature(found.target, found.source_only.argmax(1)),
        "likelihood of the pairs' RGB classes": fit_temperature(
            found.pairs_frames, found.pairs_rgb.argmax(1)
        ),
        "always 1.5": 1.5,
        "always 2": 2.0,
        "always 3": 3.0,
    }


def table(found: Logits) -> list[str]:
    """The run's table, as Markdown."""
    fitted, y = measure(found.target, found.labels), found.labels
    lines = ["| temperature from | T | ECE | NLL |", "|---|---|---|---|"]
    for name, temperature in temperatures(found).items():
        error = ece(soften(found.target, temperature), y)
        lines.append(
            f"| {name} | {temperature:.2f} | {error:.3f} | {nll(found.target, y, temperature):.3f} |"
        )
    after = f"{fitted['ece']['after']:.3f} | {fitted['nll']['after']:.3f}"
    lines.insert(3, f"| labels (cross-fitted) | {fitted['temperature']:.2f} | {after} |")
    return lines


def main() -> None:
    """Parse, ask, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN=LABELLED")
    for text in parser.parse_args().runs:
        path, _, labelled = text.partition("=")
        found = ask_all(Run(Path(path)), Path(labelled))
        accuracy = float((found.target.argmax(1) == found.labels).mean())
        confidence = float(soften(found.target, 1.0).max(1).mean())
        print(
            f"\n{Path(path).resolve().name}: {len(found.labels)} frames, accuracy {accuracy:.3f}, mean confidence "
            f"{confidence:.3f}\n"
        )
        print("\n".join(table(found)), flush=True)


if __name__ == "__main__":
    main()
