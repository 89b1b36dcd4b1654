"""benchmarks/tables.py: a cell is the run that ``adapt`` would make, and it is made once."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tables
import torch
from cells import Workshop
from datasets import DataSet
from paper_figures import Row

from tests.support.training import Tiny, differing_tensors, write_prepared
from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.errors import ConfigError
from tgkt_edge.train.logger import StageLog
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.run_folder.folder import Run

TGKT, NO_SELF = Row("tgkt", "tgkt"), Row("no self", "tgkt", ("tgkt.self_training=0",))


@pytest.fixture(scope="module")
def data(tiny: Tiny, module_folder: Callable[[str], Path]) -> DataSet:
    """The data of ``finished`` in the form that ``data prepare`` writes, in the same order."""
    return DataSet("rooms", write_prepared(tiny.data, module_folder("prepared") / "rooms"))


def workshop(tiny: Tiny, work: Path, **more: Any) -> Workshop:
    return Workshop(work, sets=(*tiny.small, f"weights={tiny.weights}"), **more)


@pytest.fixture(scope="module")
def work(tiny: Tiny, data: DataSet, module_folder: Callable[[str], Path]) -> Path:
    """A work folder in which both rows are computed. Tests that go on with it change no option of them."""
    path = module_folder("work")
    for row in (TGKT, NO_SELF):
        workshop(tiny, path).cell(data, row, 0)
    return path


def test_a_cell_is_bit_for_bit_the_run_of_adapt(finished: Run, tiny: Tiny, data: DataSet, work: Path) -> None:
    """Though its source model is trained apart, and shared."""
    cell = workshop(tiny, work).cell(data, TGKT, 0)
    run = Run(work / cell["run"])
    for name in ("source", "translator", "target"):
        assert differing_tensors(getattr(run, name), getattr(finished, name)) == [], name
    assert cell["frames"] == 12
    assert cell["accuracy"] == cell["models"]["target"]["accuracy"]
    assert set(cell["models"]) == {"source-only", "tgmb", "target"}
    assert list(cell["stages"]) == ["source", "tgmb", "tgkt"]
    assert all(cost["seconds"] > 0 for cost in cell["stages"].values())
    if sys.platform == "linux":  # ResNet-50 alone is 94 MB
        assert all(cost["peak_bytes"] > 100 * 2**20 for cost in cell["stages"].values())
    assert str(tiny.weights.parent) not in json.dumps(cell)  # nothing of this machine's folders


@pytest.mark.slow
def test_a_translation_is_a_row_with_a_linear_source_of_its_own(
    tiny: Tiny, data: DataSet, tmp_path: Path
) -> None:
    features = "translator=features"
    cell = workshop(tiny, tmp_path).cell(data, Row("translate", "translate", (features,)), 0)
    assert set(cell["models"]) == {"source-only", "target"}
    assert list(cell["stages"]) == ["source", "translate"]
    assert cell["accuracy"] == cell["models"]["target"]["accuracy"]
    source, _ = load_classifier(Run(tmp_path / cell["run"]).source)
    assert source.pooled == (4,)
    assert not list(tmp_path.glob("sources/*/features"))
    keys = {
        workshop(tiny, tmp_path).options(Row("x", method, (features,)), 0).linear_source
        for method in ("translate", "shot")
    }
    assert keys == {True, False}


def test_a_finished_cell_is_not_computed_again(
    tiny: Tiny, data: DataSet, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("computed again")

    for name in ("adapt", "make_source", "evaluate"):
        monkeypatch.setattr(f"cells.{name}", fail)
    assert workshop(tiny, work).cell(data, TGKT, 0)["again"] is True
    # What changes no number does not make another cell, nor does a row's name.
    assert workshop(tiny, work, flags=(("save_every_s", 5.0),)).cell(data, Row("other", "tgkt"), 0)["again"]
    with pytest.raises(AssertionError, match="computed again"):
        workshop(tiny, work).cell(data, Row("tgkt", "tgkt", ("tgkt.f=0.3",)), 0)


@pytest.mark.slow
def test_a_shared_translation_net_changes_nothing(
    tiny: Tiny, data: DataSet, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The obvious way: every row trains its own."""
    shared = workshop(tiny, work).cell(data, NO_SELF, 0)
    assert shared["shared"] == ["source", "tgmb"]
    (tmp_path / "sources").symlink_to(work / "sources")
    alone = workshop(tiny, tmp_path, share_translator=False).cell(data, NO_SELF, 0)
    assert alone["shared"] == ["source"]
    for name in ("translator", "target"):
        assert (
            differing_tensors(
                getattr(Run(work / shared["run"]), name), getattr(Run(tmp_path / alone["run"]), name)
            )
            == []
        )
    assert shared["models"] == alone["models"]
    assert shared["digest"] == alone["digest"]
    assert list(shared["stages"]) == list(alone["stages"])


@pytest.mark.slow
def test_a_row_that_holds_out_other_pairs_trains_a_translation_net_of_its_own(
    tiny: Tiny, data: DataSet, work: Path, tmp_path: Path
) -> None:
    (tmp_path / "sources").symlink_to(work / "sources")
    shutil.copytree(work / "translators", tmp_path / "translators")
    cell = workshop(tiny, tmp_path).cell(data, Row("other pairs", "tgkt", ("holdout=0",)), 0)
    assert cell["shared"] == ["source"]
    others = workshop(tiny, work).cell(data, TGKT, 0)
    assert (
        differing_tensors(Run(tmp_path / cell["run"]).translator, Run(work / others["run"]).translator) != []
    )


def test_a_stopped_cell_is_resumed(
    finished: Run, tiny: Tiny, data: DataSet, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sources", "translators"):
        (tmp_path / name).symlink_to(work / name)
    step: Callable[..., None] = StageLog.step

    def interrupted(self: StageLog, terms: dict[str, torch.Tensor]) -> None:
        step(self, terms)
        if self._step == 3:  # in the second epoch
            raise KeyboardInterrupt

    bench = workshop(tiny, tmp_path, flags=(("save_every_s", 0.0),))
    with monkeypatch.context() as patch:
        patch.setattr(StageLog, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.cell(data, TGKT, 0)
    (run,) = (tmp_path / "cells" / "rooms").iterdir()
    assert not (run / "cell.json").exists()
    assert (run / "run" / "state" / "tgkt.safetensors").is_file()  # one epoch is saved
    cell = bench.cell(data, TGKT, 0)
    assert "again" not in cell
    assert differing_tensors(Run(tmp_path / cell["run"]).target, finished.target) == []


@pytest.mark.slow
def test_the_program(
    tiny: Tiny, data: DataSet, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that fails is told, the others stand, and the exit code says so."""
    sets = [word for text in tiny.small for word in ("--set", text)]
    words = [
        "tables.py", "--data", str(data.folder), "--methods", "tgkt", "--row", "no self=tgkt,tgkt.self_training=0",
        "--row", "broken=tgkt,tgkt.lr=1e30", "--size", "32", "--weights", str(tiny.weights), *sets, "-o", str(work),
        "--label", "Rooms",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    assert tables.main() == 1
    out, err = capsys.readouterr()
    assert "rooms, tgkt, seed 0" in err
    assert "(finished before)" in err
    assert "rooms, broken, seed 0: FAILED: tgkt: " in err
    logged = json.loads((work / "results.json").read_text())
    rows = {row["row"]: row for row in logged["rows"]}
    assert list(rows) == ["tgkt", "no self", "broken"]
    assert rows["tgkt"]["accuracy"]["by_seed"] == [logged["cells"][0]["accuracy"]]
    assert rows["tgkt"]["accuracy"]["spread"] is None
    assert "diverged" in rows["broken"]["failed"][0]
    assert (work / "results.md").read_text() == out.removesuffix("\n")
    assert out.startswith("# Rooms\n")
    assert "- broken: seed 0 failed: tgkt: " in out
    assert str(work) not in out + json.dumps(logged)


@pytest.mark.parametrize("text", ["tgkt", "x=sock", "=tgkt", "x=,tgkt.f=1"])
def test_a_row_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected NAME=METHOD"):
        tables.read_row(text)
    assert tables.read_row("a b=tgkt,tgkt.f=0,tgkt.kd=0") == Row("a b", "tgkt", ("tgkt.f=0", "tgkt.kd=0"))


def test_a_bad_set_is_refused_before_anything_is_computed(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"`set_=tgkt\.ff=1`: unknown key 'tgkt\.ff'"):
        workshop(tiny, tmp_path).options(Row("x", "tgkt", ("tgkt.ff=1",)), 0)


def test_epochs_are_for_the_stages_named_and_the_others_keep_theirs() -> None:
    usual = build_config("paper")

    def epochs(*given: Any) -> dict[str, int]:
        config = build_config("paper", tables.epochs_of(*given))
        return {name: getattr(config, name).epochs for name in tables.stages_with_epochs()}

    every = {"source": 20, "student": 2, "distill": 20, "tgmb": 15, "tgkt": 15, "shot": 15, "socket": 15}
    assert epochs(None, None) == every == {name: getattr(usual, name).epochs for name in every}
    assert epochs(3, None) == dict.fromkeys(every, 3)
    assert epochs(3, ["tgmb", "shot"]) == {**every, "tgmb": 3, "shot": 3}
    with pytest.raises(SystemExit, match=r"--stages tgmb: for how many epochs\? Give --epochs N"):
        tables.epochs_of(None, ["tgmb"])


def test_the_stages_on_the_command_line_reach_the_cell(
    data: DataSet, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the cell would be computed from; computing it is what the other tests do."""
    asked: list[AdaptConfig] = []

    def cell(shop: Workshop, _: DataSet, row: Row, seed: int) -> dict[str, Any]:
        asked.append(shop.options(row, seed))
        raise ConfigError("not computed here")

    monkeypatch.setattr(Workshop, "cell", cell)
    words = ["--data", str(data.folder), "--methods", "tgkt", "-o", str(tmp_path), "--epochs", "3"]
    for more in ([], ["--stages", "source", "tgkt"], ["--stages", "tgkt", "--set", "tgkt.epochs=5"]):
        monkeypatch.setattr(sys, "argv", ["tables.py", *words, *more])
        assert tables.main() == 1
    found = [(config.source.epochs, config.tgmb.epochs, config.tgkt.epochs) for config in asked]
    assert found == [(3, 3, 3), (3, 15, 3), (20, 15, 5)]
    monkeypatch.setattr(sys, "argv", ["tables.py", *words, "--stages", "tgtk"])
    with pytest.raises(SystemExit):
        tables.main()
    assert len(asked) == 3


def test_labels_of_other_classes_are_refused_before_anything_is_computed(
    data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(data.folder, tmp_path / "rooms")
    other = DataSet("rooms", tmp_path / "rooms")
    other.check()
    other.labelled.write_text(other.labelled.read_text().replace(",kitchen", ",bathroom"))
    words = ["--data", str(other.folder), "--methods", "tgkt", "-o", str(tmp_path / "work")]
    monkeypatch.setattr(sys, "argv", ["tables.py", *words])
    with pytest.raises(
        SystemExit,
        match=r"labels\.csv: labels that no image of .*source\.csv has: bathroom\. It has bedroom, ",
    ):
        tables.main()
    assert not (tmp_path / "work").exists()
