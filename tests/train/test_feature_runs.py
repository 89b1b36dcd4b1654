"""``adapt`` by translated features: what a run leaves, and how it goes on where it was cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.training import Tiny, differing_tensors, metric_lines
from tgkt_edge.data.loading import load_frames
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt, describe
from tgkt_edge.train.methods import student as student_module
from tgkt_edge.train.methods.translation import features as features_module
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    SHARES,
)
from tgkt_edge.train.nn import model as model_module
from tgkt_edge.train.nn.checkpoint import load_classifier, load_tensors
from tgkt_edge.train.report.model_outputs import run_answers
from tgkt_edge.train.run_folder.folder import Run

pytestmark = pytest.mark.slow

DEPTH = load_sensor("depth")
TRANSLATE = ("method=translate", "translator=features")
FORCED = ("translator=features", "translation.force=true", "student.epochs=4")


# What a run leaves


def test_a_run_leaves_source_translation_and_target(translated: Run, tiny: Tiny) -> None:
    assert sorted(file.name for file in (translated.path / "checkpoints").iterdir()) == [
        "source.safetensors", "target.safetensors", "translate.safetensors",
    ]  # fmt: skip
    assert not translated.features.exists()  # larger than all else, and of no more use
    report = json.loads((translated.path / "report.json").read_text())
    assert list(report["stages"]) == ["source", "translate", "tgkt"]
    assert list(report["predicted"]) == ["source-only", "translate", "target"]
    assert report["held_out_pairs"] == 10  # every pair was left out once
    told = report["translation"]
    assert set(told["chosen"]) == {"encodings", "strength", "identity"}
    assert len(told["tried"]) == 3 * 3  # encodings, strengths
    assert {one["identity"] for one in told["tried"]} == {True}  # of depth it is corrected
    # Of nested left-out pairs: not flattered by the choice.
    assert told["correlation"] <= max(one["correlation"] for one in told["tried"]) + 0.05
    assert sum(told["prior"]) == pytest.approx(1)
    # The source model's features are standardized by its RGB, so that is known of its frames.
    assert report["verdict"]["modality_gap"] > 0


def test_the_source_is_a_linear_head_on_the_frozen_backbone(translated: Run, tiny: Tiny) -> None:
    model, header = load_classifier(translated.source, "source")
    assert model.pooled == (4,)
    assert header.beside[SHARES].tolist() == pytest.approx([1 / 6] * 6)
    # Features of its twelve images in four views, of layers 2 and 3 apart from those of layer 4.
    assert header.beside.keys() == {SHARES, FEATURES, EARLY, LABELS}
    assert header.beside[FEATURES].shape == (12, 4, 2048)
    assert header.beside[EARLY].shape == (12, 4, 512 + 1024)
    layers = torch.split(header.beside[EARLY].float(), [512, 1024], -1)
    for layer in (*layers, header.beside[FEATURES].float()):
        assert torch.allclose(layer.norm(dim=-1), torch.ones(12, 4), rtol=2e-3)
    target, _ = load_classifier(translated.target, "target")
    network, _ = load_classifier(translated.translated, "target")
    assert target.pooled == network.pooled == (2, 3, 4)
    frozen, learnt = model.backbone.state_dict(), target.backbone.state_dict()
    assert all(torch.equal(frozen[name], value) for name, value in network.backbone.state_dict().items())
    moved = [name for name in frozen if not torch.equal(frozen[name], learnt[name])]
    assert "conv1.weight" in moved
    # It classifies its own twelve images well.
    asked = evaluate(translated.path, tiny.data / "target_labels.csv", device="cpu")
    assert set(asked["models"]) == {"source-only", "translate", "target"}


def test_the_target_network_starts_from_the_translation_and_renews_its_labels(translated: Run) -> None:
    epochs = [line for line in metric_lines(translated.path) if line.get("event") == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4]
    # The teacher's labels twice, then the network's own and the first answers.
    assert [line["teacher_agrees"] for line in epochs[:2]] == [1, 1]
    assert epochs[1]["pseudo_labels_changed"] == 0
    first = load_tensors(translated.path / "epochs" / "tgkt-0.safetensors")[0]["probabilities"]
    _, _, _, ask = run_answers(translated.path, "cpu")
    _, sensor, _ = translated.read_config()
    frames, _ = load_frames(Path(translated.read_config()[0].target), sensor, resize_side(32))
    np.testing.assert_allclose(ask["translate"](frames), first.numpy(), atol=1e-5)
    assert np.abs(ask["target"](frames) - first.numpy()).max() > 1e-3


def test_the_first_line_is_what_the_translation_gave(translated: Run) -> None:
    report = json.loads((translated.path / "report.json").read_text())
    first = describe(report, translated.path)[0]
    assert first.startswith("the translation alone gave ")
    assert f"{report['translation']['correlation']:.2f}" in first
    page = (translated.path / "report.html").read_text()
    assert "Translation" in page
    shift = report["verdict"]["modality_gap"] ** 0.5
    assert f"their mean features lie {shift:.3f} standard deviations from those of its RGB" in page


def test_translate_stops_before_any_training(tiny: Tiny, translated: Run, tmp_path: Path) -> None:
    out = tmp_path / "run"
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source))
    report = adapt(inputs, DEPTH, out, tiny.config(*TRANSLATE))
    assert list(report["stages"]) == ["translate"]
    assert list(report["predicted"]) == ["source-only", "target"]
    # The network that is shipped is the one that the whole way begins with, bit for bit.
    assert differing_tensors(Run(out).target, translated.translated) == []
    assert set(evaluate(out, tiny.data / "target_labels.csv", device="cpu")["models"]) == {
        "source-only",
        "target",
    }
    assert not [line for line in metric_lines(out) if "step" in line]


# Resumed, which repeats the rest


Stop = Callable[[pytest.MonkeyPatch], None]


class Killed(Exception):
    """As if the process had ended here."""


def in_the_features(patch: pytest.MonkeyPatch) -> None:
    """After two sets of images of the stage."""
    whole, calls = model_module.pooled_layers, iter(range(1000))

    def once(*args: Any) -> Any:
        if next(calls) == 28:  # two batches of four views a set; the source's comes first
            raise Killed
        return whole(*args)

    patch.setattr(features_module, "pooled_layers", once)


def in_the_third_epoch(patch: pytest.MonkeyPatch) -> None:
    def never(*args: Any) -> Any:
        raise Killed

    patch.setattr(student_module, "renewed", never)


@pytest.mark.parametrize("stop", [in_the_features, in_the_third_epoch])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    stop: Stop, tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    config = tiny.config(*FORCED, "student.renew_after=2", "save_every_s=0")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        stop(patch)
        adapt(tiny.inputs, DEPTH, out, config)
    assert not Run(out).target.is_file()
    kept = {file.name: file.stat().st_mtime_ns for file in Run(out).features.glob("*")}
    assert bool(kept) == (stop is in_the_features)

    adapt(tiny.inputs, DEPTH, out, config, resume=True)

    for name in ("source", "translated", "target"):
        assert differing_tensors(getattr(Run(out), name), getattr(translated, name)) == []
    assert [line for line in metric_lines(out) if "step" in line or line.get("event") == "epoch"] == [
        line for line in metric_lines(translated.path) if "step" in line or line.get("event") == "epoch"
    ]


def test_features_that_are_there_are_read_again(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = tiny.config(*TRANSLATE)
    computed: list[int] = []
    whole = model_module.pooled_layers

    def counted(backbone: Any, x: torch.Tensor, layers: Any) -> Any:
        computed.append(len(x))
        return whole(backbone, x, layers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features_module, "pooled_layers", counted)
        with pytest.MonkeyPatch.context() as broken, pytest.raises(Killed):
            in_the_features(broken)
            adapt(tiny.inputs, DEPTH, out, config)
        files = len(list(Run(out).features.glob("*.safetensors")))
        assert files >= 2
        del computed[:]
        adapt(tiny.inputs, DEPTH, out, config, resume=True)
        # 12 RGB, 10 pairs in RGB, plain and normals, 12 frames in one or two encodings; four views each.
        everything = 4 * (12 + 10 + 10 + 10 + 12)
        assert sum(computed) < everything
