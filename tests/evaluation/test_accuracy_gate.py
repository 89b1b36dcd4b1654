"""The gate's arithmetic, by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.evaluation.accuracy_gate import ask, compare, network_inputs
from tgkt_edge.evaluation.engine_timing import settle, time_engines
from tgkt_edge.evaluation.tables import table
from tgkt_edge.preprocess import center_crop, encode, preprocess, resize_side
from tgkt_edge.sensor import load_sensor


def logits_only(*rows: tuple[float, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    logits = np.array(rows, np.float32)
    return logits, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_compare_by_hand() -> None:
    reference = np.array([[1.0, -4.0], [2.0, 0.0]], np.float32), np.array([[1, 0], [1, 0]], np.float32)
    found = np.array([[1.5, -4.0], [2.0, 2.5]], np.float32), np.array([[1, 0], [0.25, 0.75]], np.float32)
    result = compare(reference, found)
    # KL of each frame: sum p (log p - log q), p and q the softmax of the logits: 0.000710 and 0.549141.
    assert result.mean_kl == pytest.approx((0.000710 + 0.549141) / 2, abs=1e-5)
    assert {key: value for key, value in result.to_dict().items() if key != "mean_kl"} == {
        "frames": 2, "max_logit_difference": 2.5, "mean_logit_difference": 0.75, "max_logit": 4.0,
        "max_probability_difference": 0.75, "top1_agreement": 0.5, "accuracy": None, "reference_accuracy": None,
    }  # fmt: skip


def test_equal_answers_differ_in_nothing() -> None:
    answers = logits_only((1, 2, 3), (50, -50, 0))
    result = compare(answers, answers)
    assert result.mean_kl == 0
    assert result.max_logit_difference == 0
    assert result.drop == 0
    assert result.passes(0)


def test_the_drop_is_accuracy_with_labels_and_its_bound_without() -> None:
    reference = logits_only((1, 0), (1, 0), (0, 1), (0, 1))
    found = logits_only((1, 0), (0, 1), (0, 1), (1, 0))
    assert compare(reference, found).drop == 0.5  # two of four frames get another class
    truth = np.array([0, 0, 1, 0])  # FP32 is right on three of them, the other on three, too
    result = compare(reference, found, truth)
    assert (result.reference_accuracy, result.accuracy, result.drop) == (0.75, 0.75, 0.0)
    assert not result.passes(0.24)  # half of the frames changed class: more than twice 0.24
    assert (
        result.complaint(0.24) == "50.00% of the frames change class, allowed are 48.00% (twice `max_drop`)"
    )
    assert result.passes(0.25)
    assert compare(reference, found).complaint(0.49) == "it loses 50.00%, allowed are 49.00% (`max_drop`)"
    assert not compare(reference, found).passes(0.49)
    assert compare(reference, found).passes(0.5)
    # The bound is one: accuracy cannot fall by more than the share of frames that change.
    for truth in (np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]), np.array([0, 1, 1, 0])):
        assert compare(reference, found, truth).drop <= compare(reference, found).drop


def test_one_frame_in_a_hundred_is_one_per_cent() -> None:
    reference = logits_only(*[(1.0, 0.0)] * 100)
    found = logits_only(*[(1.0, 0.0)] * 99, (0.0, 1.0))
    assert compare(reference, found).passes(0.01)
    assert not compare(reference, found).passes(0.0099)


def test_answers_that_are_no_numbers_never_pass() -> None:
    reference, found = logits_only((1, 0)), logits_only((np.nan, 0))
    assert not compare(reference, found).passes(1.0)
    assert not compare(reference, found, np.array([0])).passes(1.0)
    assert compare(reference, found).complaint(1.0) == "answers that are no numbers"


class Doubling:
    """Answers with the frame's mean and twice its mean; remembers how often it was asked, and for how many frames."""

    name = "a stand-in"
    lanes = 1

    def __init__(self) -> None:
        self.batches: list[int] = []

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.batches.append(len(batch))
        mean = batch.mean((1, 2, 3))
        return np.stack([mean, 2 * mean], 1), np.stack([mean, 1 - mean], 1)

    def close(self) -> None:
        pass


def test_engines_are_asked_frame_by_frame_and_timed_in_turns() -> None:
    inputs = np.linspace(0, 1, 3, dtype=np.float32)[:, None, None, None] * np.ones((1, 1, 4, 4), np.float32)
    engine = Doubling()
    logits, probabilities = ask(engine, inputs)
    np.testing.assert_allclose(logits, np.array([[0, 0], [0.5, 1], [1, 2]]))
    np.testing.assert_allclose(probabilities[:, 0], np.array([0, 0.5, 1]))
    assert engine.batches == [1, 1, 1]
    first, second = Doubling(), Doubling()
    found = time_engines({"a": first, "b": second}, inputs, rounds=2, calls=3)
    assert set(first.batches) == set(second.batches) == {1}
    assert min(len(first.batches), len(second.batches)) >= 2 * (1 + 3)  # one a round is not timed
    assert set(found) == {"a", "b"}
    assert all(value > 0 for value in found.values())


def test_engines_take_turns() -> None:
    order: list[str] = []

    class Named(Doubling):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.mark = name

        def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            if order[-1:] != [self.mark]:
                order.append(self.mark)
            return super().infer(batch)

    time_engines({"a": Named("a"), "b": Named("b")}, np.zeros((3, 1, 4, 4), np.float32), rounds=3)
    assert order == ["a", "b"] * 3


def test_an_engine_runs_for_a_while_before_it_is_timed_and_once_at_least() -> None:
    calls: list[float] = []
    begin = time.perf_counter()
    settle(lambda: calls.append(time.perf_counter()), 0.05)
    assert time.perf_counter() >= begin + 0.05
    assert len(calls) > 1
    settle(calls.clear, 0)
    assert calls == []


def test_what_is_compared_is_what_the_device_feeds_the_network() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(300, 8000, (60, 80)).astype(np.uint16)
    spec = load_sensor("depth")

    codes = encode(frame, spec, resize_side(32))
    assert center_crop(codes, 32).shape == (32, 32)
    np.testing.assert_array_equal(network_inputs(codes[None], 32)[0], preprocess(frame, spec, 32))


def test_the_table_lines_up_and_leaves_out_what_was_replaced() -> None:
    answers = logits_only((1, 0), (0, 1))
    measured = compare(answers, answers, np.array([0, 0])).to_dict()
    lines = table(
        {
            "fp32": {"against": "torch", **compare(answers, answers).to_dict()},
            "int8-cpu": {"against": "fp32", **measured, "ms": 9.5, "speed": 2.914},
            "int8": {"against": "fp32", "passed": False, "replaced_by": "fp16"},
        }
    )
    assert len(lines) == 3
    assert lines[0].split() == [
        "precision", "against", "frames", "same", "class", "accuracy", "largest", "mean", "KL", "ms", "speed"
    ]  # fmt: skip
    assert lines[2].split() == [
        "int8-cpu", "fp32", "2", "100.0%", "50.0%", "(50.0%)", "0", "0", "0", "9.5", "2.91x"
    ]  # fmt: skip
    assert lines[1].index("torch") == lines[2].index("fp32")
