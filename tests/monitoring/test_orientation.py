"""Which frames are upside down: by hand, and what adaptation frames must be like to tell."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.monitoring.orientation import LEAST, POWER, Upright, tilt


def test_tilt_by_hand() -> None:
    unit = np.zeros((1, 4, 4), np.float32)
    unit[0, 2:] = 0.5  # lower half
    unit[0, 0, 0] = 0.8
    assert tilt(unit) == pytest.approx(0.5 - 0.1)
    assert tilt(unit[:, ::-1]) == pytest.approx(-0.4)
    assert tilt(unit[:, ::-1, ::-1]) == pytest.approx(-0.4)  # turned by 180 degrees
    assert tilt(unit[:, :, ::-1]) == pytest.approx(0.4)  # left and right say nothing


def test_the_middle_row_of_an_odd_frame_belongs_to_neither_half() -> None:
    unit = np.zeros((1, 5, 5), np.float32)
    unit[0, 2] = 1
    assert tilt(unit) == 0
    unit[0, 3:] = 0.25
    assert tilt(unit) == pytest.approx(0.25)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_is_passed_by_one_upright_frame_in_a_hundred_at_most(sign: int) -> None:
    rng = np.random.default_rng(0)
    tilts = (sign * rng.normal(0.1, 0.05, 999)).astype(np.float32)
    found = Upright.of(tilts)
    assert found is not None
    assert found.sign == sign
    assert found.limit == pytest.approx(
        np.sort(sign * tilts)[9], abs=1e-4
    )  # the 10th of 999: rank 0.01 * 1000
    assert found.false_alarm == 0.01
    assert sum(found.turned(value) for value in tilts) <= 10
    fresh = sign * rng.normal(0.1, 0.05, 20_000)
    assert np.mean([found.turned(value) for value in fresh]) == pytest.approx(0.01, abs=0.01)
    turned = np.mean([found.turned(-value) for value in fresh])
    assert turned == pytest.approx(found.power, abs=0.03)
    assert turned > 0.9


def test_few_frames_promise_less() -> None:
    found = Upright.of(np.linspace(0.1, 0.3, 40, dtype=np.float32))
    assert found is not None
    assert found.false_alarm == pytest.approx(1 / 41)


def test_a_frame_without_tilt_is_never_called_upside_down() -> None:
    found = Upright.of(np.linspace(0.2, 0.3, 1000, dtype=np.float32))  # all of one side, and far from 0
    assert found is not None
    assert found.limit == -LEAST
    assert not found.turned(0.0)
    assert not found.turned(-0.5 * LEAST)
    assert found.turned(-0.2)


@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_frames_that_tilt_both_ways_teach_nothing(spread: float) -> None:
    tilts = np.random.default_rng(0).normal(0.02, spread, 500).astype(np.float32)
    assert Upright.of(tilts) is None
    assert Upright.of(np.zeros(500, np.float32)) is None


def test_power_is_what_decides() -> None:
    """Of 1000 frames, 10 tilt by -0.2, so that the limit is there; the others reach it or do not, turned."""
    for share in (POWER - 0.05, POWER + 0.05):
        strong = round(1000 * share)
        tilts = np.concatenate([np.full(10, -0.2), np.full(strong, 0.3), np.full(990 - strong, 0.1)])
        found = Upright.of(tilts.astype(np.float32))
        assert (found is not None) == (share > POWER)


def test_it_is_what_it_was_after_json() -> None:
    found = Upright.of(np.linspace(0.1, 0.3, 200, dtype=np.float32))
    assert found is not None
    assert Upright.from_dict(found.to_dict()) == found


@pytest.mark.parametrize(
    "change",
    [{"sign": 0}, {"limit": 0.0}, {"limit": -2}, {"limit": float("nan")}, {"limit": "x"}, {"false_alarm": 0}],
)
def test_damaged_values_are_refused(change: dict[str, object]) -> None:
    good = {"sign": 1, "limit": -0.05, "power": 0.9, "false_alarm": 0.01}
    assert Upright.from_dict(good).limit == -0.05
    with pytest.raises(ValueError, match=r"expected|convert"):
        Upright.from_dict({**good, **change})
    with pytest.raises(KeyError):
        Upright.from_dict({"sign": 1})
