"""``adapt`` by translated features, with the source models and weights there may be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.training import Tiny, differing_tensors, run_inputs, write_small_data
from tgkt_edge.config import build_config
from tgkt_edge.errors import ConfigError, UsageError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.methods.translation import setting
from tgkt_edge.train.methods.translation.setting import RELATIVE, encodings_of
from tgkt_edge.train.methods.translation.source_features import (
    EARLY,
    FEATURES,
    LABELS,
    MEAN,
    SHARES,
    SPREAD,
)
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.run_folder.folder import Run

DEPTH = load_sensor("depth")
TRANSLATE = ("method=translate", "translator=features")


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


@pytest.mark.slow
def test_frames_that_look_like_rgb_are_translated_both_ways_where_the_source_has_all_layers(
    tiny: Tiny, tmp_path: Path
) -> None:
    """NIR from the identity. A source of the version before has one way, and answers as it did."""
    nir, made = load_sensor("nir"), run_inputs(write_small_data(tmp_path / "nir", "nir"))
    identity = tiny.config(*TRANSLATE, "translation.start=identity")
    new = adapt(made, nir, tmp_path / "new", identity)["translation"]
    assert new["chosen"]["identity"]
    assert new["opinions"] == 2
    assert new["reverse"]["head"] == "discriminant"

    inputs = replace(made, source=None)
    source = Run(tmp_path / "new").source
    adapt(replace(inputs, source_model=str(source)), nir, tmp_path / "again", identity)
    assert differing_tensors(Run(tmp_path / "again").target, Run(tmp_path / "new").target) == []

    older = replace(inputs, source_model=without_early(source, tmp_path / "older.safetensors"))
    one_way = adapt(older, nir, tmp_path / "old", identity)["translation"]
    assert one_way["opinions"] == 1
    assert one_way["reverse"] is None
    none = tiny.config(*TRANSLATE, "translation.start=identity", "translation.reverse=0")
    adapt(replace(inputs, source_model=str(source)), nir, tmp_path / "none", none)
    assert differing_tensors(Run(tmp_path / "none").target, Run(tmp_path / "old").target) == []
    assert "classifier.weight" in differing_tensors(
        Run(tmp_path / "new").target, Run(tmp_path / "old").target
    )


def test_depth_does_not_depend_on_the_early_layers(tiny: Tiny, translated: Run, tmp_path: Path) -> None:
    older = without_early(translated.source, tmp_path / "older.safetensors")
    inputs = replace(tiny.inputs, source=None, source_model=older)
    again, zero = tiny.config(*TRANSLATE), tiny.config(*TRANSLATE, "translation.start=zero")
    adapt(inputs, DEPTH, tmp_path / "again", again)
    assert differing_tensors(Run(tmp_path / "again").target, translated.translated) == []
    inputs = replace(inputs, source_model=str(translated.source))
    report = adapt(inputs, DEPTH, tmp_path / "zero", zero)
    assert report["translation"]["opinions"] == 2
    adapt(replace(inputs, source_model=older), DEPTH, tmp_path / "older", zero)
    assert differing_tensors(Run(tmp_path / "older").target, Run(tmp_path / "zero").target) == []


def test_of_few_pairs_of_depth_the_identity_corrected_is_the_only_translation(
    tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))
    assert report["translation"]["chosen"]["identity"]
    assert report["translation"]["opinions"] == 1


def test_with_enough_pairs_of_depth_there_is_a_way_back_beside_the_corrected_identity(
    tiny: Tiny, translated: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting, "FEW_PAIRS", 2)
    inputs = replace(tiny.inputs, source=None, source_model=str(translated.source))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*TRANSLATE))["translation"]
    assert report["chosen"]["identity"]
    assert report["opinions"] == 2
    assert report["reverse"]["head"] in ("regression", "means")  # from zero
    assert differing_tensors(Run(tmp_path / "run").target, translated.translated)  # of one opinion


@pytest.mark.slow
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
    with pytest.raises(UsageError, match=r"no such file.*with `weights=none` the source model's own"):
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
    assert encodings_of("auto", RELATIVE) == (("plain",), (RELATIVE,), ("plain", RELATIVE))
    assert encodings_of("both", "normals") == (("plain", "normals"),)
    assert encodings_of("auto", None) == encodings_of("both", None) == (("plain",),)
