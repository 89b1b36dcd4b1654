"""``adapt`` by translated features: what a run leaves, resumes, refuses, and says of pairs that do not fit."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from tests.support.training import Tiny, differing_tensors, metric_lines, run_inputs, write_small_data
from tgkt_edge.config import build_config
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import ConfigError, DataError, TgktEdgeError, UsageError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt, describe
from tgkt_edge.train.methods import student as student_module
from tgkt_edge.train.methods.translation import features as features_module
from tgkt_edge.train.methods.translation.evidence import LEAST
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    MEAN,
    SHARES,
    SPREAD,
)
from tgkt_edge.train.methods.translation.translate import encodings_of
from tgkt_edge.train.nn import model as model_module
from tgkt_edge.train.nn.checkpoint import load_classifier, load_tensors, save_checkpoint
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
    assert {one["identity"] for one in told["tried"]} == {False}  # depth maps are no images: from zero
    # Of nested left-out pairs: not flattered by the choice.
    assert told["correlation"] <= max(one["correlation"] for one in told["tried"]) + 0.05
    assert sum(told["prior"]) == pytest.approx(1)


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


# Resumed, and repeated


def test_one_seed_gives_one_result(tiny: Tiny, translated: Run, tmp_path: Path) -> None:
    adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config(*FORCED, "student.renew_after=2"))
    again = Run(tmp_path / "run")
    assert differing_tensors(again.source, translated.source) == []
    assert differing_tensors(again.translated, translated.translated) == []
    assert differing_tensors(again.target, translated.target) == []


Stop = Callable[[pytest.MonkeyPatch], None]


class Killed(Exception):
    """As if the process had ended here."""


def in_the_features(patch: pytest.MonkeyPatch) -> None:
    """After two sets of images of the stage."""
    whole, calls = model_module.pooled_layers, iter(range(1000))

    def once(*args: Any) -> Any:
        if next(calls) == 40:
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


# Other sources


def test_a_trained_source_with_a_bottleneck_is_served(tiny: Tiny, finished: Run, tmp_path: Path) -> None:
    """With mean and spread of its own features beside it, or, an older one, without."""
    _, header = load_classifier(finished.source)
    assert header.beside.keys() == {SHARES, MEAN, SPREAD, FEATURES, LABELS}
    inputs = replace(tiny.inputs, source=None, source_model=str(finished.source))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert report["translation"]["own_spread"]
    assert not report["translation"]["own_backbone"]
    run = Run(tmp_path / "run")
    assert load_classifier(run.source)[1].beside.keys() == header.beside.keys()  # they travel with the copy


def without_early(source: Path, out: Path) -> str:
    """The same source model as the version before stored it: with features of the last layer alone."""
    model, header = load_classifier(source, "source")
    beside = {name: value for name, value in header.beside.items() if name != EARLY}
    save_checkpoint(out, model, replace(header, beside=beside))
    return str(out)


def test_frames_that_look_like_rgb_are_translated_both_ways_where_the_source_has_all_layers(
    tiny: Tiny, tmp_path: Path
) -> None:
    """NIR from the identity. A source of the version before has one way, and answers as it did."""
    nir, made = load_sensor("nir"), run_inputs(write_small_data(tmp_path / "nir", "nir"))
    identity = tiny.config(*TRANSLATE, "translation.start=identity")
    new = adapt(made, nir, tmp_path / "new", identity)["translation"]
    assert new["chosen"]["identity"]
    assert new["opinions"] == 2

    inputs = replace(made, source=None)
    source = Run(tmp_path / "new").source
    adapt(replace(inputs, source_model=str(source)), nir, tmp_path / "again", identity)
    assert differing_tensors(Run(tmp_path / "again").target, Run(tmp_path / "new").target) == []

    older = replace(inputs, source_model=without_early(source, tmp_path / "older.safetensors"))
    one_way = adapt(older, nir, tmp_path / "old", identity)["translation"]
    assert one_way["opinions"] == 1
    none = tiny.config(*TRANSLATE, "translation.start=identity", "translation.reverse=0")
    adapt(replace(inputs, source_model=str(source)), nir, tmp_path / "none", none)
    assert differing_tensors(Run(tmp_path / "none").target, Run(tmp_path / "old").target) == []
    assert "classifier.weight" in differing_tensors(
        Run(tmp_path / "new").target, Run(tmp_path / "old").target
    )


def test_depth_does_not_depend_on_the_early_layers(tiny: Tiny, translated: Run, tmp_path: Path) -> None:
    older = without_early(translated.source, tmp_path / "older.safetensors")
    inputs = replace(tiny.inputs, source=None, source_model=older)
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert report["translation"]["opinions"] == 2
    assert differing_tensors(Run(tmp_path / "run").target, translated.translated) == []


def test_no_features_of_the_source_are_kept_where_none_are_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    report = adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE, "source.keep=0"))
    assert load_classifier(Run(tmp_path / "run").source)[1].beside.keys() == {SHARES}
    assert report["translation"]["opinions"] == 1


def test_without_pretrained_weights_the_sources_own_features_do(
    tiny: Tiny, finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = replace(tiny.inputs, source=None, source_model=str(finished.source))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE, "weights=none"))
    assert report["translation"]["own_backbone"]
    assert "there are no ImageNet weights" in capsys.readouterr().err


def test_weights_that_are_missing_are_refused_before_anything_is_written(
    tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    inputs = replace(tiny.inputs, source=None, source_model=str(finished.source))
    config = tiny.config(*TRANSLATE, f"weights={tmp_path / 'no.safetensors'}")
    with pytest.raises(UsageError, match=r"no such file.*with --weights none the source model's own"):
        adapt(inputs, DEPTH, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_a_linear_source_needs_weights() -> None:
    with pytest.raises(ConfigError, match=r"source\.mode = linear with weights = none"):
        build_config(None, ["source.mode=linear", "weights=none"])
    assert not build_config(None, ["weights=none"]).linear_source
    assert build_config(None, []).linear_source
    assert not build_config(None, ["method=shot"]).linear_source
    assert not build_config("paper").linear_source


@pytest.mark.parametrize("method", ["tgmb", "shot"])
def test_other_methods_take_a_linear_source_too(
    method: str, tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source))
    sets = (f"method={method}", "tgmb.epochs=1", "shot.epochs=1")
    assert adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*sets))["method"] == method


def test_only_depth_maps_have_normals() -> None:
    assert encodings_of("auto", True) == (("plain",), ("normals",), ("plain", "normals"))
    assert encodings_of("both", True) == (("plain", "normals"),)
    assert encodings_of("auto", False) == encodings_of("both", False) == (("plain",),)


# Bad input


def few_pairs(tiny: Tiny, folder: Path, rows: list[tuple[int, int]]) -> str:
    """A CSV of pairs (number of the RGB, number of the frame) among the ten."""
    rgb, frame = (sorted((tiny.data / "paired" / name).iterdir()) for name in ("rgb", "frame"))
    file = folder / "pairs.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["rgb", "frame"])
        writer.writerows((rgb[i], frame[k]) for i, k in rows)
    return str(file)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 0)], "one pair: a translation needs pairs to learn from and others to be tried on"),
        ([(0, 0)] * 9, "one pair, 8 more are copies of them"),
        ([(i, i) for i in range(5)], "5 pairs, fewer than the 6 classes"),
        ([(i, i) for i in range(5)] * 2, "5 pairs, 5 more are copies of them, fewer than the 6 classes"),
    ],
)
def test_too_few_pairs_are_refused(
    rows: list[tuple[int, int]], message: str, tiny: Tiny, tmp_path: Path
) -> None:
    inputs = replace(tiny.inputs, paired=few_pairs(tiny, tmp_path, rows))
    with pytest.raises(DataError, match=f"--paired .*{message}") as caught:
        adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_copies_among_pairs_count_once(tiny: Tiny, translated: Run, tmp_path: Path) -> None:
    pairs = few_pairs(tiny, tmp_path, [(i, i) for i in [*range(10), 0, 3, 3]])
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source), paired=pairs)
    assert adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))["held_out_pairs"] == 10


def test_no_pairs_are_asked_for(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--method translate learns from pairs: give --paired"):
        adapt(replace(tiny.inputs, paired=None), DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))


def test_pairs_whose_halves_do_not_belong_together_are_not_learnt_from_unless_forced(
    tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    """Every RGB with one and the same frame. The translation is kept, and --resume goes on where it is forced."""
    pairs = few_pairs(tiny, tmp_path, [(i, 0) for i in range(10)])
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source), paired=pairs)
    out = tmp_path / "run"
    with pytest.raises(
        TgktEdgeError, match=r"(?s)--paired: of 10 pairs left out.*translation\.force=true"
    ) as caught:
        adapt(inputs, DEPTH, out, tiny.config("translator=features", "student.epochs=1"))
    assert caught.value.exit_code == 1
    assert Run(out).translated.is_file()
    assert not Run(out).target.exists()
    report = adapt(inputs, DEPTH, out, tiny.config(*FORCED, "student.epochs=1"), resume=True)
    assert not report["translation"]["belong_together"]
    assert report["translation"]["correlation"] < LEAST


def test_frames_that_show_nothing_are_named_and_frames_all_alike_refused(
    tiny: Tiny, translated: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    shutil.copytree(tiny.data / "target", frames)
    first, second, *others = sorted(frames.iterdir())
    frame = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    assert frame is not None
    cv2.imwrite(str(first), np.full_like(frame, 2000))
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source), target=str(frames))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert sum(report["predicted"]["target"].values()) == 12
    assert f"1 of 12 frames are one value all over and show nothing: {first}" in capsys.readouterr().err
    for other in (second, *others):
        shutil.copy(first, other)
    with pytest.raises(DataError, match="all 12 frames are alike, pixel by pixel"):
        adapt(inputs, DEPTH, tmp_path / "other", tiny.config(*TRANSLATE))
    assert not (tmp_path / "other").exists()


def test_a_bad_prior_is_refused_and_a_changed_one_is_not_resumed(
    tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    prior = tmp_path / "prior.csv"
    prior.write_text("class,share\nbedroom,0.5\n")
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source))
    config = tiny.config(*TRANSLATE, f"translation.prior={prior}")
    with pytest.raises(ConfigError, match=f"--prior {prior}: missing: 'corridor'"):
        adapt(inputs, DEPTH, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    names = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
    shares = (0.5, 0.1, 0.1, 0.1, 0.1, 0.1)
    prior.write_text("class,share\n" + "".join(f"{n},{s}\n" for n, s in zip(names, shares, strict=True)))
    report = adapt(inputs, DEPTH, tmp_path / "run", config)
    assert report["translation"]["prior"] == pytest.approx(shares)
    labels = load_classifier(Run(tmp_path / "run").target)[1].beside["labels"]
    np.testing.assert_allclose(labels.mean(0), shares, rtol=1e-6)
    prior.write_text(
        prior.read_text().replace("bedroom,0.5", "bedroom,0.1").replace("office,0.1", "office,0.5")
    )
    with pytest.raises(ConfigError, match=r"--prior: then sha256 .*, now sha256"):
        adapt(inputs, DEPTH, tmp_path / "run", config, resume=True)


def test_translate_has_no_pixels() -> None:
    with pytest.raises(ConfigError, match="method translate is the translation of features"):
        build_config(None, ["method=translate", "translator=pixels"])
