"""Another unit is noticed and named; a new place is not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.data.levels import FAR, LENGTH, NEAR, STEP, TOP, measure_levels
from tgkt_edge.data.value_checks import check_values
from tgkt_edge.errors import DataError
from tgkt_edge.monitoring.value_scale import ValueScale, note_other_scale
from tgkt_edge.notes import forget_notes
from tgkt_edge.runtime.health.scale import ScaleWatch
from tgkt_edge.sensor import PRESETS, SensorSpec

DEPTH, NIR = PRESETS["depth"], PRESETS["nir"]
RNG = np.random.default_rng


def rooms(count: int, seed: int, factor: float = 1.0) -> list[NDArray[np.uint16]]:
    """Depth frames of rooms, walls at 1.5 to 4 m and something nearer, in millimetres times ``factor``."""
    rng = RNG(seed)
    frames = []
    for _ in range(count):
        wall, near = rng.uniform(1500, 4000), rng.uniform(700, 1200)
        image = np.linspace(wall, near, 60)[:, None] + rng.normal(0, 4, (60, 80))
        image[:, rng.integers(0, 60) :] *= rng.uniform(0.8, 1.1)
        frames.append(np.clip(np.rint(image * factor), 1, 65535).astype(np.uint16))
    return frames


def levels(frames: list[NDArray[np.uint16]], spec: SensorSpec = DEPTH) -> NDArray[np.float64]:
    return np.stack([measure_levels(frame, spec) for frame in frames])


@pytest.fixture(scope="module")
def known() -> ValueScale:
    found = ValueScale.of(levels(rooms(120, 0)), DEPTH)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def _new_command() -> None:
    forget_notes()


def test_levels_of_a_frame_by_hand() -> None:
    frame = np.array([[0, 0, 2000, 4000], [6000, 8000, 10000, 8000]], np.uint16)
    found = measure_levels(
        frame, DEPTH
    )  # 0 is no measurement: six valid pixels, three of them at 8 m or beyond
    assert found[3] == 6.0  # of 2, 4, 6, 8, 8 and 10 that of rank round(0.5 * 5) = 2, from 0
    assert found[[0, 6]].tolist() == [2.0, 10.0]
    assert found[[NEAR, FAR, STEP, TOP]].tolist() == [0.0, 0.5, 2000.0, 10000.0]
    assert np.isnan(measure_levels(np.zeros((4, 4), np.uint16), DEPTH)).all()
    assert len(found) == LENGTH


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(0.1, 0.01), (0.256, 1 / 256), (0.5, 0.002), (2.0, 0.0005), (4.0, 0.00025), (5.0, 0.0002), (10.0, 0.0001)],
)  # fmt: skip
def test_another_unit_is_noticed_and_named(known: ValueScale, factor: float, unit: float) -> None:
    found = known.rescaling(levels(rooms(30, 1, factor)), DEPTH)
    assert found is not None
    assert found.unit_m == pytest.approx(unit, rel=0.05)
    assert f"set unit_m: {found.unit_m:.6g}" in found.text


def test_new_rooms_in_the_same_unit_raise_nothing(known: ValueScale) -> None:
    for seed in range(2, 12):
        assert known.rescaling(levels(rooms(20, seed)), DEPTH) is None


def test_a_whole_factor_shows_in_the_counts_even_where_the_values_are_plausible(known: ValueScale) -> None:
    every = np.concatenate([known.references * factor for factor in (0.5, 1, 2.5)])
    wide = replace(known, limit=2.0, references=every)
    assert (
        wide.rescaling(levels(rooms(30, 1, 2)), DEPTH) is None
    )  # rounded after it was doubled: nothing shows
    doubled = [(frame * 2).astype(np.uint16) for frame in rooms(30, 1)]
    found = wide.rescaling(levels(doubled), DEPTH)
    assert found is not None
    assert found.factor == 2


def test_something_else_that_is_unlike_is_not_called_a_unit(known: ValueScale) -> None:
    noise = [RNG(k).integers(1, 9000, (60, 80)).astype(np.uint16) for k in range(20)]
    assert known.rescaling(levels(noise), DEPTH) is None


def test_nir_counts_that_are_shifted_by_bits_are_noticed() -> None:
    def night(count: int, seed: int, shift: int = 0) -> NDArray[np.float64]:
        rng = RNG(seed)
        frames = []
        for _ in range(count):
            image = rng.gamma(3, rng.uniform(40, 90), (60, 80)).clip(0, 1023)
            frames.append((image.astype(np.uint16) << shift).astype(np.uint16))
        return levels(frames, NIR)

    scale = ValueScale.of(night(80, 0), NIR)
    assert scale is not None
    assert scale.rescaling(night(20, 1), NIR) is None
    found = scale.rescaling(night(20, 1, 6), NIR)
    assert found is not None
    assert "counts look shifted up by 6 bits" in found.text


def test_what_is_written_is_read_again_and_nonsense_is_refused(known: ValueScale) -> None:
    again = ValueScale.from_dict(json.loads(json.dumps(known.to_dict())))
    rows = levels(rooms(10, 4, 0.5))
    np.testing.assert_array_equal(again.excess(rows), known.excess(rows))
    for wrong in (
        {"limit": 0},
        {"references": [[1, 2]]},
        {"kind": "x"},
        {"step": 0},
        {"limit": float("nan")},
    ):
        with pytest.raises(ValueError, match=r"expected|scale of"):
            ValueScale.from_dict({**known.to_dict(), **wrong})


def test_targets_and_pairs_in_two_units_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    note_other_scale(levels(rooms(40, 0)), levels(rooms(40, 1)), DEPTH, "P", "T")
    assert caplog.text == ""
    note_other_scale(levels(rooms(40, 0)), levels(rooms(40, 1, 5)), DEPTH, "P", "T")
    assert "depth looks 5 times too large: likely counts of 1/5000 m" in caplog.text


# A run


def test_the_flag_of_a_run_names_the_unit_and_ends_once_it_is_right(known: ValueScale) -> None:
    watch = ScaleWatch(known, DEPTH, live=False)
    events = [event for frame in rooms(30, 1, 0.25) for event in watch.look(frame, 0.0)[2]]
    assert len(events) == 1
    (event,) = events
    assert (event.flag, event.active) == ("wrong_scale", True)
    assert event.likely_unit_m in (0.004, 0.00390625)
    assert "set unit_m" in event.text
    found = [watch.look(frame, 0.0) for frame in rooms(60, 2)]
    assert [event.active for _, _, happened in found for event in happened] == [False]
    assert found[-1][1] == []


def test_a_camera_is_looked_at_five_times_a_second(known: ValueScale) -> None:
    watch = ScaleWatch(known, DEPTH, live=True)
    flags = [watch.look(frame, number / 100)[1] for number, frame in enumerate(rooms(60, 1, 0.25))]
    assert flags[-1] == []  # 0.6 seconds: three frames
    assert [watch.look(frame, 1 + number)[1] for number, frame in enumerate(rooms(30, 1, 0.25))][-1] == [
        "wrong_scale"
    ]


# What reading them does


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (0.001, "Likely counts of 1 m (unit_m: 1), not of 0.001 m"),
        (10, "0.1 mm (unit_m: 0.0001)"),
        (20, "in 30 of 30 frames nearly all of them"),
    ],
)
def test_frames_that_show_a_network_nothing_are_refused(factor: float, words: str) -> None:
    with pytest.raises(DataError, match="a network would learn nothing") as caught:
        check_values(levels(rooms(30, 1, factor)), DEPTH, "`target=T`")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("factor", "words"), [(0.1, "Likely counts of 1 cm (unit_m: 0.01)"), (5, "1/5000 m (unit_m: 0.0002)")]
)
def test_frames_that_use_little_of_the_range_or_much_of_its_ends_are_noted(
    factor: float, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    check_values(levels(rooms(30, 1, factor)), DEPTH, "`target=T`", tuple("n" * 30))
    assert words in caplog.text


def test_plausible_frames_are_read_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    check_values(levels(rooms(30, 1)), DEPTH, "`target=T`")
    assert caplog.text == ""


def test_a_true_16_bit_camera_under_the_10_bit_preset_is_refused() -> None:
    bright = [RNG(k).integers(2000, 60000, (60, 80)).astype(np.uint16) for k in range(5)]
    with pytest.raises(DataError, match=r"beyond white = 1023.*delivers 16 bits\. Set white: 65535"):
        check_values(levels(bright, NIR), NIR, "`target=T`")
