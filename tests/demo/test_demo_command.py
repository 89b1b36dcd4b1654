"""``tgkt-edge demo``: what it refuses, before it renders anything or deletes what an earlier one left."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tgkt_edge.cli.main import app


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sensor", "nir8"], "--sensor nir8: the demo renders depth or nir"),
        (["--seed", "-1"], "--seed -1: expected 0 or more"),
        (["--weights", "none.safetensors"], "--weights none.safetensors: no such file"),
        (["--weights", __file__], "this is no model file that is known here"),
    ],
)
def test_what_adapt_would_refuse_is_refused_at_once(words: list[str], message: str, tmp_path: Path) -> None:
    for name in ("data/clip_labels.csv", "run/config.yaml", "bundle/manifest.json", "run.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    logged = CliRunner().invoke(app, ["demo", "-o", str(tmp_path), "--overwrite", *words])
    assert logged.exit_code == 2, logged.output
    assert message in logged.stderr
    assert sorted(tmp_path.rglob("*")) == before
