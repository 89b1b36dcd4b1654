"""A run keeps what its target frames and the answers to them were like."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.training import Tiny
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.monitoring import reference_stats as statistics
from tgkt_edge.monitoring.reference_stats import Statistics
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.run_folder.folder import Run


def test_adapt_ends_with_statistics_of_the_target_network(
    finished: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not finished.statistics.exists()  # twelve frames teach nothing
    monkeypatch.setattr(statistics, "MIN_FRAMES", 12)
    out = tmp_path / "run"
    shutil.copytree(finished.path, out)
    (out / "report.json").unlink()
    adapt(
        tiny.inputs, load_sensor("depth"), out, tiny.config(), resume=True
    )  # all is trained: the report alone
    found = Statistics.read(Run(out).statistics, 6).summary
    assert found["frames"] == 12
    assert 0 < found["invalid"]["p50"] < 0.5  # the rendered sensor has holes
    result = evaluate(out, tiny.data / "target_labels.csv", models=["target"], device="cpu")
    columns = [sum(row[k] for row in result["models"]["target"]["confusion_matrix"]) for k in range(6)]
    assert found["predicted"] == pytest.approx([count / 12 for count in columns], abs=1e-4)
