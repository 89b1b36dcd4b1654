"""``tgkt_edge.adapt``: files are named absolutely in a run, so that it can be resumed from another folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tgkt_edge
from tgkt_edge.train import adapt as training


@pytest.mark.parametrize("name", ["imagenet", "none"])
def test_files_are_made_absolute_and_names_stay(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("weights.safetensors", "shares.csv", name):
        Path(file).write_text("")  # a file that is called as a name is does not stand for it
    begun: list[tuple[Any, ...]] = []
    monkeypatch.setattr(training, "adapt", lambda *given, **_: begun.append(given))
    for weights in ("weights.safetensors", name, None):
        tgkt_edge.adapt("frames", "depth", "run", paired="pairs", prior="shares.csv", weights=weights)
    configs = [given[3] for given in begun]
    assert [config.weights for config in configs] == [
        str(tmp_path / "weights.safetensors"), name, "imagenet",
    ]  # fmt: skip
    assert configs[0].translation.prior == str(tmp_path / "shares.csv")
    assert begun[0][0].target == str(tmp_path / "frames")
