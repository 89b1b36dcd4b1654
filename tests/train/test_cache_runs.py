"""Runs whose images lie in a cache on disk: the same weights, bit for bit, as of those in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tgkt_edge.train.adapt as adapting
from tests.support.training import FEATURES, Tiny
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.errors import UsageError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.cache_choice import BESIDE, choose_cache, decoded_bytes, read_progress
from tgkt_edge.train.nn.checkpoint import digest, load_tensors
from tgkt_edge.train.run_folder.folder import Run

DEPTH = load_sensor("depth")
GIB = 1 << 30


def checkpoints(run: Path) -> dict[str, str]:
    """The digest of the weights in each file."""
    return {file.name: digest(load_tensors(file)[0]) for file in sorted((run / "checkpoints").iterdir())}


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "stages"}


@pytest.mark.slow
def test_weights_and_report_are_those_of_a_run_in_memory(
    tiny: Tiny, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source, TGMB and TGKT, with pairs held out; the cache is used automatically, since memory is not enough."""
    monkeypatch.setattr(adapting, "available_memory", lambda: 1000)
    report = adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config())
    assert checkpoints(tmp_path / "run") == checkpoints(finished.path)
    assert without_times(report) == without_times(json.loads((finished.path / "report.json").read_text()))
    assert len(list((tmp_path / BESIDE).glob("*.rows"))) == 3


@pytest.mark.slow
def test_features_are_kept_in_the_cache_for_other_runs(
    tiny: Tiny, translated: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.config(*FEATURES, "method=translate")
    cache = tmp_path / "cache"
    adapt(tiny.inputs, DEPTH, tmp_path / "first", config, cache=cache)
    in_memory = checkpoints(translated.path)  # which went on from what is the end here
    in_memory["target.safetensors"] = in_memory.pop("translate.safetensors")
    assert checkpoints(tmp_path / "first") == in_memory
    kept = sorted((cache / "features").iterdir())
    assert kept
    monkeypatch.setattr("tgkt_edge.train.methods.translation.features._block", None)  # none is computed again
    adapt(tiny.inputs, DEPTH, tmp_path / "second", config, cache=cache)
    assert checkpoints(tmp_path / "second") == in_memory
    assert sorted((cache / "features").iterdir()) == kept


# When it is used


def test_it_is_used_where_decoded_images_take_more_than_half_of_the_memory(
    tiny: Tiny, tmp_path: Path
) -> None:
    side = 37
    # 12 frames, 12 RGB images, 10 pairs; beside the pixels 11 levels of 8 bytes, and 4 bytes for the invalid share
    needed = 12 * (side * side * 2 + 92) + 12 * side * side * 3 + 10 * (side * side * 5 + 88)
    assert decoded_bytes(tiny.inputs, DEPTH, side) == needed
    told: list[str] = []

    def choose(free: int, given: Path | None = None, readers: int = 1) -> Cache | None:
        return choose_cache(tiny.inputs, DEPTH, side, tmp_path / "run", given, told.append, readers, free)

    assert choose(2 * needed) is None
    assert not told
    beside = choose(2 * needed - 1)
    assert beside is not None
    assert beside.folder == tmp_path / BESIDE
    assert told[0].startswith("decoded images take 149 KiB, and 298 KiB of memory are free: they are kept in")
    assert choose(2 * needed, readers=2) is not None
    asked = choose(100 * GIB, tmp_path / "mine")
    assert asked is not None
    assert asked.folder == tmp_path / "mine"


def test_a_cache_inside_the_run_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`cache=.*/run/cache` lies inside it"):
        adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config(), cache=tmp_path / "run" / "cache")


def test_what_takes_long_is_shown_every_ten_seconds_with_the_time_that_is_left() -> None:
    now, told = [0.0], list[str]()
    progress = read_progress(told.append, lambda: now[0])
    for done in range(1, 31):
        progress("`target` T", done, 30)
        now[0] += 1
    assert told == ["`target` T: 11/30 ETA 17 s", "`target` T: 21/30 ETA 9 s"]
