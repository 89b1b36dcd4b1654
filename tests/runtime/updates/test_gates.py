"""Gates of an update: what they say, and what passes them."""

from __future__ import annotations

import pytest

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.updates.gates import Comparison, Gate, parse_gates


@pytest.mark.parametrize(
    ("text", "passes", "fails"),
    [
        ("agreement>=0.7", Comparison(32, agreement=0.7), Comparison(32, agreement=0.6)),
        ("latency<=1.5", Comparison(32, latency=1.5), Comparison(32, latency=1.6)),
        (" drift <= 1 ", Comparison(32, drift=0.9), Comparison(32, drift=1.1)),
    ],
)
def test_a_gate_is_passed_at_its_limit_and_not_beyond(
    text: str, passes: Comparison, fails: Comparison
) -> None:
    gate = Gate.parse(text)
    assert gate.failed(passes) == ""
    assert f"on the newest 32 frames, expected {gate.sign} {gate.limit:g}" in gate.failed(fails)


def test_what_was_not_measured_passes_no_gate() -> None:
    assert "no frame was there" in Gate.parse("agreement>=0").failed(Comparison())
    assert "holds no statistics" in Gate.parse("drift<=1").failed(Comparison(5, agreement=1, latency=1))


@pytest.mark.parametrize(
    "text",
    ["", "agreement", "agreement>0.7", "agreement<=0.7", "latency>=1", "accuracy>=0.7", "drift<=x", "drift<=-1",
     "drift<=nan", "agreement>=1.5", "agreement>=70"],
)  # fmt: skip
def test_what_is_no_gate_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(UsageError, match=r"`update_gates=.*(expected agreement>=0.7|a share, 0 to 1)"):
        Gate.parse(text)


def test_a_figure_has_one_gate() -> None:
    assert len(parse_gates(["agreement>=0.7", "latency<=2"])) == 2
    with pytest.raises(UsageError, match="agreement is given twice"):
        parse_gates(["agreement>=0.7", "agreement>=0.8"])
