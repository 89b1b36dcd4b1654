"""``tgkt-edge demo``: what it refuses, before it renders anything or deletes what an earlier one left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tgkt_edge.cli.main import app
from tgkt_edge.demo.command import summary
from tgkt_edge.errors import TgktEdgeError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sensor", "nir8"], "'nir8' is not one of 'depth', 'nir'"),
        (["--seed", "-1"], "--seed -1: expected 0 or more"),
        (["--precision", "fp16"], "--precision fp16: expected auto, fp32 or bf16"),
        (["--weights", "none.safetensors"], "--weights none.safetensors: no such file"),
        (["--weights", __file__], "this is no model file that is known here"),
    ],
)
@pytest.mark.slow
def test_what_adapt_would_refuse_is_refused_at_once(words: list[str], message: str, tmp_path: Path) -> None:
    for name in ("data/clip_labels.csv", "run/config.yaml", "bundle/manifest.json", "run.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    logged = CliRunner().invoke(app, ["demo", "-o", str(tmp_path), "--overwrite", *words])
    assert logged.exit_code == 2, logged.output
    assert message in logged.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_the_closing_table_counts_frames_not_the_events_between_them(tmp_path: Path) -> None:
    labels = tmp_path / "clip_labels.csv"
    labels.write_text("frame,label\n0.png,office\n1.png,kitchen\n")
    records: list[dict[str, Any]] = [
        {"event": "start", "schema": 1},
        {"frame": 0, "label": "office", "ms": {"inference": 4.0}},
        {"event": "health", "flag": "input_drift"},
        {"frame": 1, "label": "office", "ms": {"inference": 6.0}},
    ]
    measured = {"models": {"target": {"accuracy": 0.5, "balanced_accuracy": 0.25}}}
    assert summary(measured, records, labels) == {
        "models": measured["models"],
        "clip_accuracy": 0.5,
        "inference_ms": 6.0,
    }
    with pytest.raises(TgktEdgeError, match="the clip has 2 frames, but run answered 1"):
        summary(measured, records[:2], labels)
