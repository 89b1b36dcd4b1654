"""``adapt --continue``: from a shipped run or bundle to a run whose verdict is against it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.support.training import Tiny, differing_tensors
from tgkt_edge import adapt
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.cli.main import app
from tgkt_edge.config import build_config
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.export.export import export
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.audit.audit import score
from tgkt_edge.train.batches import Store
from tgkt_edge.train.continuing.new_head import continue_network
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods import student
from tgkt_edge.train.nn.checkpoint import load_classifier, load_tensors
from tgkt_edge.train.nn.device import open_compute
from tgkt_edge.train.nn.model import frozen
from tgkt_edge.train.nn.named_network import NamedClassifier
from tgkt_edge.train.run_folder.folder import Run

pytestmark = pytest.mark.slow

SETS = ("batch=6", "device=cpu", "precision=fp32")


@pytest.fixture(scope="module")
def new(tiny: Tiny) -> Path:
    """Six frames of the same sensor, of a walk through a room."""
    return tiny.data / "clip"


@pytest.fixture(scope="module")
def continued(translated: Run, new: Path, module_folder: Callable[[str], Path]) -> Run:
    """A run that went on from ``translated``. Tests only read it."""
    out = module_folder("continued") / "run"
    adapt(new, None, out, continue_=translated.path, set_=SETS)
    return Run(out)


@pytest.fixture(scope="module")
def bundle(translated: Run, module_folder: Callable[[str], Path]) -> Bundle:
    """What was shipped of ``translated``. Tests only read it."""
    return export(translated.path, module_folder("bundle") / "bundle")


def report_of(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "report.json").read_text())
    return found


# What it leaves


def test_it_begins_with_the_shipped_network_and_ends_with_a_new_head_on_it(
    continued: Run, translated: Run
) -> None:
    names = sorted(file.name for file in (continued.path / "checkpoints").iterdir())
    assert names == ["shipped.safetensors", "target.safetensors"]
    shipped, header = load_classifier(continued.shipped)
    assert not differing_tensors(continued.shipped, translated.target)
    target, after = load_classifier(continued.target, "target")
    assert after.extra["continued_from"] == header.extra["continued_from"]
    assert (after.classes, after.image_size) == (header.classes, header.image_size)
    before, now = shipped.backbone.state_dict(), target.backbone.state_dict()
    assert all(torch.equal(before[name], now[name]) for name in before)
    assert not torch.equal(shipped.classifier.weight, target.classifier.weight)
    assert not continued.features.exists()


def test_the_report_compares_with_the_shipped_network(continued: Run) -> None:
    report = report_of(continued)
    assert report["method"] == "continue"
    assert list(report["predicted"]) == ["shipped", "target"]
    assert set(report["agreement"]) == {"target_with_shipped"}
    assert (report["target_frames"], report["pairs"]) == (6, 0)
    page = (continued.path / "report.html").read_text()
    assert "source-only" not in page.split("<pre>")[0]
    assert "compares with the shipped network on the new frames" in page
    for item in report["verdict"]["evidence"]:
        assert "shipped network, for both" in item["about"]


def test_a_fifth_of_the_old_frames_shows_what_it_still_knows(continued: Run) -> None:
    found = report_of(continued)["old_frames"]
    assert found["frames"] == 4  # of twelve: at least four are held out
    assert 0 <= found["agreement"] <= 1
    labels = load_tensors(continued.target)[0]["beside/labels"]
    assert labels.shape == (6 + 8, 6)  # the new frames, and the other old ones
    # Nothing is known of the classes at a new place but what the shipped network answers there.
    prior = load_tensors(continued.target)[0]["beside/prior"]
    assert labels.mean(0).tolist() == pytest.approx(prior.tolist(), abs=1e-3)


def test_evaluate_and_audit_know_it_as_shipped(
    continued: Run, translated: Run, tiny: Tiny, new: Path, tmp_path: Path
) -> None:
    table = tiny.data / "target_labels.csv"
    found = evaluate(continued.path, table)["models"]
    assert list(found) == ["shipped", "target"]
    then = evaluate(translated.path, table, models=["target"])["models"]["target"]
    assert found["shipped"]["accuracy"] == then["accuracy"]
    answers = tmp_path / "audit.csv"
    with answers.open("w", newline="") as file:
        rows = [(str(frame.resolve()), "kitchen") for frame in sorted(new.glob("*.png"))]
        csv.writer(file).writerows([("frame", "label"), *rows])
    comparison = score(continued.path, answers)["comparison"]
    assert (comparison["model"], comparison["with"]) == ("target", "shipped")


def test_what_is_exported_says_what_it_was_continued_from(
    continued: Run, bundle: Bundle, tmp_path: Path
) -> None:
    exported = export(continued.path, tmp_path / "bundle")
    assert exported.provenance["continued_from"]["name"] == "run"
    assert exported.provenance["verdict"] == report_of(continued)["verdict"]["verdict"]
    assert exported.sensor == bundle.sensor


# From a bundle


def test_a_bundle_leads_to_the_same_network_as_its_run(
    bundle: Bundle, continued: Run, tiny: Tiny, new: Path, tmp_path: Path
) -> None:
    adapt(new, "depth", tmp_path / "run", continue_=bundle.path, old_frames=tiny.inputs.target, set_=SETS)
    run = Run(tmp_path / "run")
    assert load_tensors(run.shipped)[1]["extra"]["continued_from"] == {
        "name": "bundle",
        "sha256": bundle.digest,
    }
    one, other = (load_tensors(each.target)[0]["beside/labels"].numpy() for each in (run, continued))
    np.testing.assert_allclose(one, other, atol=0.02)
    assert report_of(run)["old_frames"]["frames"] == report_of(continued)["old_frames"]["frames"]


def test_without_old_frames_it_says_what_is_not_known(
    bundle: Bundle, new: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = adapt(new, None, tmp_path / "run", continue_=bundle.path, set_=SETS)
    assert "old_frames" not in report
    assert "and how much is not measured. Give `old_frames`" in caplog.text


def test_a_frame_that_is_new_is_not_old_as_well(translated: Run, tiny: Tiny, tmp_path: Path) -> None:
    target = Path(tiny.inputs.target)
    some = tmp_path / "some.csv"
    frames = sorted(target.rglob("*.png"))[:5]
    some.write_text("frame\n" + "".join(f"{frame}\n" for frame in frames))
    adapt(some, None, tmp_path / "run", continue_=translated.path, set_=SETS)
    held = report_of(Run(tmp_path / "run"))["old_frames"]["frames"]
    assert len(load_tensors(Run(tmp_path / "run").target)[0]["beside/labels"]) == 12 - held


def test_a_run_that_was_continued_itself_says_which_frames_it_knows_of(
    continued: Run, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    adapt(tiny.inputs.target, None, tmp_path / "run", continue_=continued.path, set_=SETS)
    assert "its own target frames are the old ones here, not those from before it" in caplog.text
    assert report_of(Run(tmp_path / "run"))["target_frames"] == 12


# Training it whole


def test_epochs_train_the_whole_network_and_are_resumed(
    translated: Run, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"continue_": translated.path, "epochs": 2, "set_": (*SETS, "save_every_s=0")}
    adapt(new, None, tmp_path / "whole", **given)
    whole = Run(tmp_path / "whole")
    assert list(report_of(whole)["stages"]) == ["continue", "tgkt"]
    assert (
        whole.continued.is_file()
    )  # what training begins with; kept where that ends further from the teacher

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(student, "renewed", cut)
        patch.setattr(student, "descend", cut)
        with pytest.raises(KeyboardInterrupt):
            adapt(new, None, tmp_path / "cut", **given)
    assert not (tmp_path / "cut" / "report.json").exists()
    adapt(new, None, tmp_path / "cut", **given, resume=True)
    assert not differing_tensors(whole.target, Run(tmp_path / "cut").target)


def test_another_architecture_keeps_its_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shipped = frozen(NamedClassifier("resnet18", 3))
    with torch.no_grad():
        shipped.classifier.weight.normal_()
    config = build_config(None, [*SETS, "image_size=32"], {"method": "continue"})
    codes = np.random.default_rng(0).integers(0, 65536, (12, 37, 37), dtype=np.uint16)
    compute = open_compute(config)
    found = continue_network(
        shipped, Store(codes, compute.device), None, None, config, compute, RunLog(None), tmp_path
    )
    assert isinstance(found.network, NamedClassifier)
    assert found.network.arch == "resnet18"
    assert found.taught.labels.shape == (12, 3)
    assert not torch.equal(found.network.classifier.weight, shipped.classifier.weight)


def test_another_network_at_the_old_place_does_not_go_on(
    continued: Run, new: Path, translated: Run, tmp_path: Path
) -> None:
    shipped, run = tmp_path / "shipped", tmp_path / "run"
    shutil.copytree(translated.path, shipped)
    adapt(new, None, run, continue_=shipped, set_=SETS)
    shutil.copy(continued.target, Run(shipped).target)
    command = ["adapt", "--continue", shipped, "--target", new, "-o", run, "--resume"]
    sets = [word for text in SETS for word in ("--set", text)]
    result = CliRunner().invoke(app, [*map(str, command), *sets])
    assert result.exit_code == 2
    assert "holds another network than the run was started with" in " ".join(result.output.split())


def test_the_sensor_of_the_shipped_network_is_taken(continued: Run) -> None:
    sensor = continued.read_config()[1]
    assert sensor.kind == load_sensor("depth").kind
    assert sensor.size == (40, 30)
