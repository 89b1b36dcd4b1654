"""The program that compares crops from the cache with those from memory, with few frames."""

from __future__ import annotations

import re
from pathlib import Path

import cache_speed
import numpy as np
import pytest
import torch

from tgkt_edge.train.batches import Store, random_views


def test_both_stores_hold_the_same_and_a_ratio_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = cache_speed.write(tmp_path / "a.rows", 300, 10)
    assert isinstance(codes, np.memmap)
    assert codes.shape == (300, 10, 10)
    views = random_views(np.random.default_rng(0), np.arange(0, 300, 7), 10, 8)
    device = torch.device("cpu")
    assert torch.equal(Store(codes, device).take(views, 8), Store(np.array(codes), device).take(views, 8))

    ratio = cache_speed.measure(tmp_path / "b.rows", 300, 10, 8, batches=20, rounds=3)
    found = re.search(r"memory (\S+) s, cache (\S+) s, ratio (\S+) ", capsys.readouterr().out)
    assert found is not None
    assert float(found[3]) == pytest.approx(ratio, abs=1e-3)
    assert min(float(found[1]), float(found[2]), ratio) > 0
