"""Every method from files to a report: what it leaves, what can be asked of it, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from paper_figures import TABLES, Row

from tests.support.training import Tiny, differing_weights
from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.errors import ConfigError, IncompatibleError, UsageError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")
EPOCHS = ("shot.epochs=2", "socket.epochs=2")
MODELS = {
    "source-only": {"source-only", "target"},
    "tgmb": {"source-only", "tgmb"},
    "shot": {"source-only", "target"},
    "socket": {"source-only", "target"},
    "tgkt": {"source-only", "tgmb", "target"},
}
"""What ``evaluate`` answers for; the target network of "source-only" is the source model."""


def with_source(tiny: Tiny, finished: Run) -> RunInputs:
    return replace(tiny.inputs, source=None, source_model=str(finished.source))


@pytest.mark.parametrize("method", ["source-only", "shot", "socket", "tgmb"])
def test_each_method_leaves_a_run_that_can_be_asked(
    method: str, tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    inputs, config = with_source(tiny, finished), tiny.config(f"method={method}", *EPOCHS)
    out = tmp_path / "run"

    report = adapt(inputs, DEPTH, out, config)

    assert report["method"] == method
    # Of the source only the checkpoint was given, so it is no stage of this run.
    assert set(report["stages"]) == {"source-only": set(), "tgmb": {"tgmb"}}.get(method, {method})
    assert set(report["predicted"]) == MODELS[method] | {"target"}
    assert (out / "report.html").is_file()
    asked = evaluate(out, tiny.data / "target_labels.csv", device="cpu")
    assert set(asked["models"]) == MODELS[method]
    if method == "source-only":
        assert asked["models"]["target"] == asked["models"]["source-only"]
    if method == "tgmb":
        with pytest.raises(IncompatibleError, match="`method=tgmb`, which has no target network"):
            Run(out).target_checkpoint()
        assert (
            differing_weights(Run(out).translator, finished.translator) == []
        )  # the stage of TGKT of the same name
        return
    assert Run(out).target_checkpoint() == Run(out).target
    # The classifier is frozen; the rest has learnt, unless the method learns nothing.
    changed = differing_weights(Run(out).target, finished.source)
    assert not [key for key in changed if key.startswith("classifier.")]
    assert bool(changed) == (method != "source-only")
    if method == "source-only":
        return

    other = replace(config, method="socket" if method == "shot" else "shot")
    with pytest.raises(ConfigError, match=r"config\.method: then 'sh|config\.method: then 'so"):
        adapt(inputs, DEPTH, out, other, resume=True)


@pytest.mark.parametrize("method", ["source-only", "shot"])
def test_without_pairs_there_is_nothing_held_out(
    method: str, tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    inputs = replace(with_source(tiny, finished), paired=None)
    report = adapt(inputs, DEPTH, tmp_path / "run", tiny.config(f"method={method}", "shot.epochs=1"))
    assert (report["pairs"], report["held_out"]) == (0, {})
    assert report["verdict"]["verdict"] in ("helped", "no evidence", "hurt")


@pytest.mark.parametrize("method", ["tgkt", "tgmb", "socket"])
def test_methods_that_learn_from_pairs_ask_for_them(
    method: str, tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    inputs = replace(with_source(tiny, finished), paired=None)
    with pytest.raises(UsageError, match=f"`method={method}` is trained on pairs: give `paired=SRC`"):
        adapt(inputs, DEPTH, tmp_path / "run", tiny.config(f"method={method}"))
    assert not (tmp_path / "run").exists()


def test_shot_with_a_feature_loss_asks_for_pairs(tiny: Tiny, finished: Run, tmp_path: Path) -> None:
    inputs = replace(with_source(tiny, finished), paired=None)
    config = tiny.config("method=shot", "shot.f=0.5")
    with pytest.raises(
        UsageError, match=r"`method=shot` with shot\.f = 0\.5 is trained on pairs: .* or shot\.f = 0$"
    ):
        adapt(inputs, DEPTH, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()


def test_two_frames_a_step_do_for_an_odd_number_of_frames(tiny: Tiny, finished: Run, tmp_path: Path) -> None:
    (tmp_path / "five").mkdir()
    for file in sorted((tiny.data / "target").iterdir())[:5]:
        shutil.copy(file, tmp_path / "five")
    inputs = replace(with_source(tiny, finished), target=str(tmp_path / "five"), paired=None)
    # A small step: what is proved is that there is one.
    sets = (
        "batch=2",
        "method=shot",
        "shot.epochs=1",
        "shot.student_norm=target",
        "shot.lr=1e-6",
        "shot.head_lr=1e-6",
    )
    assert adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*sets))["target_frames"] == 5


# As the paper prints them, row by row: the weights of rec, D1, D2 and IM, or of kd, f and self-training.
WEIGHTS: dict[str, list[tuple[float, ...]]] = {
    "table4": [(1, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 1, 1, 0), (1, 1, 1, 0.2), (1, 0, 0, 0.2)],
    "table5": [(1, 0, 0), (1, 0.2, 0), (1, 0, 1), (1, 0.2, 1)],
    "table6": [(1, d, d, 0) for d in (0, 0.1, 0.5, 1, 5)] + [(1, 1, 1, im) for im in (0, 0.1, 0.2, 0.5, 1)],
    "table7": [(1, f, 0) for f in (0, 0.1, 0.2, 0.5, 2)] + [(1, 0.2, s) for s in (0, 0.1, 0.5, 1, 2)],
}


@pytest.mark.parametrize("table", WEIGHTS)
def test_every_row_of_the_papers_tables_is_the_papers_configuration_but_for_its_weights(table: str) -> None:
    """That each trains follows from the tests of the losses' weights."""
    paper = build_config("paper")
    assert len(TABLES[table]) == len(WEIGHTS[table])
    for row, weights in zip(TABLES[table], WEIGHTS[table], strict=True):
        if len(weights) == 4:
            rec, d1, d2, im = weights
            expected = replace(paper, method="tgmb", tgmb=replace(paper.tgmb, rec=rec, d1=d1, d2=d2, im=im))
        else:
            kd, f, self_training = weights
            expected = replace(paper, tgkt=replace(paper.tgkt, kd=kd, f=f, self_training=self_training))
        assert build_config("paper", row.sets, {"method": row.method}) == expected, row.name


@pytest.mark.slow
def test_the_paper_gives_rows_of_one_configuration_nearly_one_figure() -> None:
    """So a row cannot stand beside another's figures. Six stand in it twice, one up to 0.9 points apart."""
    rows = [row for rows in TABLES.values() for row in rows if row.paper]
    alike: dict[AdaptConfig, list[Row]] = {}
    for row in rows:
        alike.setdefault(build_config("paper", row.sets, {"method": row.method}), []).append(row)
    several = [found for found in alike.values() if len(found) > 1]
    assert len(several) == 6
    for first, *others in several:
        for other in others:
            assert first.paper.keys() == other.paper.keys()
            assert all(abs(first.paper[task] - other.paper[task]) < 0.95 for task in first.paper), (
                first.name,
                other.name,
            )


LEADS = (
    "tgkt.teacher_input=frame", "tgkt.im=0", "tgkt.im_prior=uniform",
    "tgmb.rec_epochs=1", "tgmb.optimizer=adam",
)  # fmt: skip


@pytest.mark.parametrize("lead", LEADS)
def test_every_lead_trains_and_changes_what_is_learnt(
    lead: str, tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    method = "tgkt" if lead.startswith("tgkt") else "tgmb"
    file = "target" if method == "tgkt" else "translator"
    out = tmp_path / "run"
    adapt(with_source(tiny, finished), DEPTH, out, tiny.config(lead, f"method={method}"))
    assert differing_weights(getattr(Run(out), file), getattr(finished, file))
