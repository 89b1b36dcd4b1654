"""Halves that do not belong together: all of them, some, or a list that slipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.pairs import finding, scenes
from tgkt_edge.data.check.check import check_data


@pytest.mark.slow
def test_pairs_that_were_mixed_up_are_found(write: Callable[..., Path]) -> None:
    good = scenes(16)
    mixed = [(rgb, good[-1 - number][1]) for number, (rgb, _) in enumerate(good)]
    report = check_data(write(mixed), "depth")
    assert finding(report, "belonging").state == "fix"
    assert "do not belong together" in finding(report, "belonging").text


@pytest.mark.slow
def test_some_wrong_pairs_among_good_ones_are_named(write: Callable[..., Path]) -> None:
    good = scenes(20)
    good[3], good[11] = (good[3][0], good[11][1]), (good[11][0], good[3][1])
    found = finding(check_data(write(good), "depth"), "belonging")
    assert found.state in ("note", "fix")
    assert {Path(name).stem for name in found.names} == {"003", "011"}


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, -2])
def test_a_list_that_slipped_is_told_from_strangers(step: int, write: Callable[..., Path]) -> None:
    good = scenes(20)
    kept = [(good[i][0], good[i - step][1]) for i in range(20) if 0 <= i - step < 20]
    found = finding(check_data(write(kept), "depth"), "belonging")
    assert found.state == "fix"
    where = "1 place below" if step == 1 else "2 places above"
    assert f"fits the frame {where} its own" in found.text
    assert found.figures["step"] == step
