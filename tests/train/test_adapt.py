"""``adapt`` from files to a finished run folder: six classes, 32 pixels, two epochs a stage."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.training import Tiny, differing_weights, metric_lines, weights_of
from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import CheckpointError, DataError, IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import PRESETS, load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.report.model_outputs import run_answers
from tgkt_edge.train.run_folder.folder import Run, RunInputs

CLASSES = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
DEPTH = load_sensor("depth")


# What a run leaves


def test_a_run_folder_holds_what_it_promises(finished: Run, tiny: Tiny) -> None:
    assert finished.read_config() == (tiny.inputs, DEPTH, tiny.config())
    report = json.loads((finished.path / "report.json").read_text())
    assert report["classes"] == list(CLASSES)
    assert (report["target_frames"], report["pairs"]) == (12, 10)
    assert set(report["predicted"]) == {"source-only", "tgmb", "target"}
    for counts in report["predicted"].values():
        assert list(counts) == list(CLASSES)
        assert sum(counts.values()) == 12
    assert all(0 <= share <= 1 for share in report["agreement"].values())
    assert all(cost["seconds"] > 0 for cost in report["stages"].values())
    assert set(report["stages"]) == {"source", "tgmb", "tgkt"}
    assert list((finished.path / "tensorboard").iterdir())
    # Resume state is gone once it is of no use: it is larger than everything else.
    assert not list((finished.path / "state").glob("*")) if (finished.path / "state").exists() else True


def test_checkpoints_know_their_task(finished: Run) -> None:
    source, source_header = load_classifier(finished.source, "source")
    target, header = load_classifier(finished.target, "target")
    assert source_header.classes == header.classes == CLASSES
    assert header.image_size == 32
    assert source_header.sensor is None
    # The frames were 40x30; the spec is pinned to that, so that the device refuses another mode of the camera.
    assert header.sensor == DEPTH.with_size(40, 30)
    assert source.num_classes == target.num_classes == 6


def test_metrics_hold_every_loss_term_of_every_stage(finished: Run) -> None:
    lines = metric_lines(finished.path)
    terms = {
        "source": {"loss"},
        "tgmb": {"loss", "rec", "d1", "d2", "im", "disc"},
        "tgkt": {"loss", "kd", "f", "self", "im"},
    }
    for stage, names in terms.items():
        steps = [line for line in lines if line["stage"] == stage and "step" in line]
        # 12 images in batches of 6 are 2 steps an epoch; fewer than ten steps are averaged into one line an epoch.
        assert [(line["epoch"], line["step"]) for line in steps] == [(1, 2), (2, 4)]
        for line in steps:
            assert set(line) - {"stage", "epoch", "step"} == names
            assert all(np.isfinite(line[name]) for name in names)
    epochs = [line for line in lines if line.get("event") == "epoch"]
    assert [sum(line["pseudo_label_counts"]) for line in epochs] == [12, 12]
    assert epochs[0]["pseudo_labels_changed"] is None
    assert 0 <= epochs[1]["pseudo_labels_changed"] <= 1


def test_recorded_losses_are_the_weighted_sums_of_their_terms(finished: Run) -> None:
    """Equations (6) and (10); the paper's weights for TGMB, for TGKT L_IM and a smaller L_self."""
    weights = {
        "tgmb": {"rec": 1.0, "d1": 1.0, "d2": 1.0, "im": 0.2},
        "tgkt": {"kd": 1.0, "f": 0.2, "self": 0.3, "im": 1.0},
    }
    lines = [line for line in metric_lines(finished.path) if "step" in line]
    for stage, weight in weights.items():
        config: Any = getattr(finished.read_config()[2], stage)
        names = {"self": "self_training"}
        assert {name: getattr(config, names.get(name, name)) for name in weight} == weight
        for line in (line for line in lines if line["stage"] == stage):
            total = sum(factor * line[name] for name, factor in weight.items())
            assert line["loss"] == pytest.approx(total, rel=1e-4)


def test_the_classifier_stays_the_sources_and_the_backbone_moves(finished: Run) -> None:
    moved = differing_weights(finished.source, finished.target)
    names = set(weights_of(finished.target))
    assert not [name for name in moved if name.startswith("classifier.")]
    assert len([name for name in names if name.startswith("classifier.")]) == 3
    # Everything else learns: convolutions, batch norms and their statistics, and the bottleneck.
    assert set(moved) == {name for name in names if not name.startswith("classifier.")}


def test_the_answers_of_a_run_are_those_of_its_report(finished: Run, tiny: Tiny) -> None:
    classes, size, sensor, answers = run_answers(finished.path, "cpu")
    assert (classes, size, sensor) == (CLASSES, 32, DEPTH.with_size(40, 30))
    frames, _ = load_frames(tiny.data / "target", sensor, resize_side(size))
    report = json.loads((finished.path / "report.json").read_text())
    for name, ask in answers.items():
        probabilities = ask(frames)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        counts = np.bincount(probabilities.argmax(1), minlength=6)
        assert dict(zip(classes, counts.tolist(), strict=True)) == report["predicted"][name]


# Repeatable, and free of source data


def test_one_seed_gives_one_result_and_without_source_images(
    finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    """Source-free: with the RGB of the task gone from disk, the checkpoint alone gives bit-identical weights."""
    data = tmp_path / "data"
    shutil.copytree(tiny.data, data)
    shutil.rmtree(data / "source")
    inputs = RunInputs(str(data / "target"), str(data / "paired"), source_model=str(finished.source))
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config())
    again = Run(tmp_path / "run")
    assert differing_weights(again.source, finished.source) == []
    assert differing_weights(again.translator, finished.translator) == []
    assert differing_weights(again.target, finished.target) == []
    assert set(report["stages"]) == {"tgmb", "tgkt"}  # no source stage was run


def test_another_seed_gives_another_result(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    """That the same one gives the same, source model included: test_resume.py, test_tables_cells.py."""
    adapt(tiny.inputs, DEPTH, tmp_path / "other", tiny.config("seed=1"))
    other = Run(tmp_path / "other")
    for one, another in ((other.source, finished.source), (other.translator, finished.translator)):
        assert differing_weights(one, another)
    moved = differing_weights(other.target, finished.target)
    assert set(moved) >= {"backbone.conv1.weight", "bottleneck.linear.weight"}


# An output folder that exists


def test_an_existing_folder_is_refused_and_untouched_then_replaced_on_demand(
    tiny: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis.txt").write_text("three years")
    config = tiny.config("source.epochs=1", "tgmb.epochs=1", "tgkt.epochs=1")
    with pytest.raises(UsageError, match="already exists and is not empty") as caught:
        adapt(tiny.inputs, DEPTH, out, config)
    assert caught.value.exit_code == 2
    assert "`resume=True`" in str(caught.value)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]
    # What no run left there is not deleted, even when asked to.
    with pytest.raises(UsageError, match="replaces an earlier run only"):
        adapt(tiny.inputs, DEPTH, out, config, overwrite=True)
    assert (out / "thesis.txt").read_text() == "three years"
    # And of a run's folder nothing before all inputs are found to be good.
    (out / "config.yaml").write_text("schema: 1")
    with pytest.raises(DataError):
        adapt(replace(tiny.inputs, target=str(tmp_path / "no")), DEPTH, out, config, overwrite=True)
    assert (out / "thesis.txt").read_text() == "three years"


def test_a_run_is_not_written_over_its_own_data(tiny: Tiny, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(tiny.data, data)
    (data / "config.yaml").write_text("schema: 1")
    inside = replace(tiny.inputs, target=str(data / "target"))
    with pytest.raises(UsageError, match=r"`target=.*` lies inside it"):
        adapt(inside, DEPTH, data, tiny.config(), overwrite=True)
    assert sorted(path.name for path in (data / "target").iterdir())


def test_a_file_is_not_overwritten_by_a_run(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("notes")
    with pytest.raises(UsageError, match="is a file"):
        adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config(), overwrite=True)
    assert (tmp_path / "run").read_text() == "notes"


@pytest.mark.slow
def test_training_that_diverges_is_stopped_and_said_so(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        TgktEdgeError, match=r"source: loss became infinite or not a number.*Lower the learning rate"
    ):
        adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config("source.lr=1e30", "source.head_lr=1e30"))
    assert not Run(tmp_path / "run").source.exists()
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_overwrite_replaces_a_run(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.path, out)
    (out / "notes.txt").write_text("of the old run")
    config = tiny.config("seed=3", "tgmb.epochs=1", "tgkt.epochs=1")
    # The source model may even lie in the folder that is replaced: it was read before.
    inputs = replace(tiny.inputs, source=None, source_model=str(Run(out).source))
    adapt(inputs, DEPTH, out, config, overwrite=True)
    assert not (out / "notes.txt").exists()
    assert Run(out).read_config() == (inputs, DEPTH, config)
    assert differing_weights(Run(out).source, finished.source) == []
    assert differing_weights(Run(out).target, finished.target)
    assert {line["stage"] for line in metric_lines(out)} == {"tgmb", "tgkt"}


# Bad inputs leave nothing behind


def few_pairs(tiny: Tiny, folder: Path, count: int) -> Path:
    """The first ``count`` pairs of ``tiny`` as a CSV in ``folder``."""
    folder.mkdir()
    paired = Path(str(tiny.inputs.paired))
    names = sorted(file.stem for file in (paired / "frame").glob("*.png"))[:count]
    rgb = {file.stem: file for file in (paired / "rgb").iterdir()}
    lines = [f"{rgb[name]};{paired / 'frame' / f'{name}.png'}" for name in names]
    (folder / "pairs.csv").write_text("\n".join(["rgb;frame", *lines]) + "\n")
    return folder / "pairs.csv"


@pytest.mark.slow
def test_the_batch_is_lowered_to_what_there_is_and_resumed_so(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny.config("batch=64", "source.epochs=1", "tgmb.epochs=1", "tgkt.epochs=1")
    inputs = replace(tiny.inputs, paired=str(few_pairs(tiny, tmp_path / "few", 5)))
    stderr = io.StringIO()
    with contextlib.redirect_stderr(stderr):
        adapt(inputs, DEPTH, tmp_path / "run", config)
        adapt(inputs, DEPTH, tmp_path / "run", config, resume=True)
    assert stderr.getvalue().count("batch lowered from 64 to ") == 2
    assert Run(tmp_path / "run").read_config()[2].batch == 64


def bad_inputs(tiny: Tiny, tmp_path: Path) -> dict[str, tuple[RunInputs, AdaptConfig, str]]:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    good, config = tiny.inputs, tiny.config()
    model = str(tmp_path / "model.safetensors")
    return {
        "no target": (replace(good, target=str(tmp_path / "no")), config, "does not exist"),
        "empty target": (replace(good, target=str(empty)), config, "holds no image"),
        "RGB as target": (replace(good, target=str(tiny.data / "source")), config, "one channel"),
        "no pairs": (replace(good, paired=str(empty)), config, "has no folder 'rgb'"),
        "flat source": (replace(good, source=str(tiny.data / "target")), config, "outside any class folder"),
        "no source": (replace(good, source=None), config, "give either `source_model=FILE`"),
        "bad model": (
            replace(good, source=None, source_model=model),
            config,
            "expected a classifier: .*; this is no model file",
        ),
        "one pair left": (
            replace(good, paired=str(few_pairs(tiny, tmp_path / "few", 1))),
            tiny.config("holdout=0"),
            r"`paired`: 1 image beside the 0 held out \(holdout = 0\.0\): BatchNorm needs at least 2",
        ),
        "no such device": (good, tiny.config("device=quantum"), "`device=quantum`"),
    }


@pytest.mark.parametrize(
    "case",
    ["no target", "empty target", "RGB as target", "no pairs", "flat source", "no source", "bad model",
     "one pair left", "no such device"],
)  # fmt: skip
def test_bad_input_is_named_and_leaves_nothing_behind(case: str, tiny: Tiny, tmp_path: Path) -> None:
    inputs, config, message = bad_inputs(tiny, tmp_path)[case]
    before = sorted(tmp_path.iterdir())
    with pytest.raises((UsageError, CheckpointError), match=message) as caught:
        adapt(inputs, DEPTH, tmp_path / "deep" / "run", config)
    assert caught.value.exit_code in (2, 4)
    assert sorted(tmp_path.iterdir()) == before


def test_bad_weights_leave_nothing_behind(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny.config(f"weights={tmp_path / 'no.safetensors'}")
    with pytest.raises(UsageError, match="no such file"):
        adapt(tiny.inputs, DEPTH, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_frames_of_another_sensor_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="uint16 pixels, but the sensor is uint8"):
        adapt(tiny.inputs, PRESETS["nir8"], tmp_path / "run", tiny.config())
    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_has_no_answers(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    Run(tmp_path / "run").target.unlink()
    with pytest.raises(IncompatibleError, match=r"not finished.*adapt `resume=True`"):
        run_answers(tmp_path / "run", "cpu")
