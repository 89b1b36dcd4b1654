"""What the models of a finished run answer: source-only or shipped, TGMB (through T), and target, as its method has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.loading import Frames
from tgkt_edge.errors import IncompatibleError
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.checkpoint import load_classifier, load_into, load_tensors, read_header
from tgkt_edge.train.nn.device import oom_as_error, open_compute
from tgkt_edge.train.nn.model import Classifier, Translator
from tgkt_edge.train.nn.predict import NO_FEATURES, predict_target
from tgkt_edge.train.run_folder.folder import Run

Ask = Callable[[Frames], NDArray[np.float32]]
"""Frames to (N, K) probabilities."""


def run_answers(path: Path, device: str = "auto") -> tuple[tuple[str, ...], int, SensorSpec, dict[str, Ask]]:
    """Classes, input size, SensorSpec, and one function for each model; a model is loaded when it is first used.

    Evaluation is in float32 whatever the training precision was, because that is what is exported.

    Raises:
        IncompatibleError: (exit 4) the run is damaged or not finished. The functions raise TgktEdgeError where a model
            answers with what is no number.
    """
    run = Run(path)
    _, _, config = run.read_config()
    *_, last = run.stages(config).values()
    if not last.is_file():
        raise IncompatibleError(
            f"{path}: this run is not finished: {last} is missing. Go on with adapt `resume=True`."
        )
    compute = open_compute(dataclasses.replace(config, device=device, precision="fp32"))
    header = read_header(run.translator if config.method == "tgmb" else run.target)
    assert header.sensor is not None
    size = header.image_size

    def ask(name: str, load: Callable[[], tuple[Classifier, Translator | None]]) -> Ask:
        def answer(frames: Frames) -> NDArray[np.float32]:
            model, translator = load()
            with oom_as_error(compute.device):
                model = compute.place(model)
                translator = compute.place(translator).eval() if translator is not None else None
                store = Store(frames.codes, compute.device)
                asked = f"{path}, {name}"
                logits = predict_target(
                    model, store, size, config.batch, compute, translator, asked, kept=NO_FEATURES
                )[1]
                probabilities: NDArray[np.float32] = logits.softmax(1).cpu().numpy()
            return probabilities

        return answer

    def with_translator() -> tuple[Classifier, Translator | None]:
        translator = Translator()
        load_into(translator, load_tensors(run.translator)[0], run.translator)
        return load_classifier(run.source)[0], translator

    first = run.first(config)
    models = {config.baseline: ask(config.baseline, lambda: (load_classifier(first)[0], None))}
    if config.by_features:
        if config.method == "tgkt":
            models["translate"] = ask(
                "translate", lambda: (load_classifier(run.translated, "target")[0], None)
            )
    elif config.method in ("tgmb", "tgkt"):
        models["tgmb"] = ask("tgmb", with_translator)
    if config.method != "tgmb":
        models["target"] = ask("target", lambda: (load_classifier(run.target, "target")[0], None))
    return header.classes, size, header.sensor, models
