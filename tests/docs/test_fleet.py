"""The dashboard and the alert rules ask for what ``/metrics`` really has, and for nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.checkout import REPOSITORY
from tests.support.live import MS, Live
from tgkt_edge.runtime.events import HealthEvent, StateEvent
from tgkt_edge.runtime.records import BadFrame, Candidate, Decision
from tgkt_edge.runtime.sinks import Message

FLEET = REPOSITORY / "docs" / "assets" / "fleet"
OF_PROMETHEUS = {"up"}
"""What Prometheus adds itself."""

FUNCTIONS = {
    "sum", "max", "avg", "count", "rate", "changes", "time", "histogram_quantile", "avg_over_time", "by", "ignoring",
    "group_left",
}  # fmt: skip


def dashboard() -> Any:
    return json.loads((FLEET / "grafana-dashboard.json").read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FLEET / "prometheus-alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in rules())]


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Names of the samples that a run prints, each with its labels."""
    live = Live()
    top = (Candidate("kitchen", 0.9),)
    for message in (
        StateEvent(1.0, "live"),
        HealthEvent(1.0, "invalid", True, 0.95, 0.9),
        Decision(
            "kitchen",
            0.9,
            top,
            ms={**MS, "age": 20.0},
            time=2.0,
            drift={"input": 0.4, "classes": 0.2},
            lost=3,
        ),
        BadFrame("unreadable", time=3.0, frame=1),
    ):
        live.write(Message(message))
    text = live.ask("/metrics")[2].decode()
    live.close()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def metrics_of(expression: str) -> dict[str, set[str]]:
    """Metrics of an expression, each with the labels that its selector names."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\b(by|ignoring) \([^)]*\)", "", bare)
    found: dict[str, set[str]] = {}
    for name, _, selector in re.findall(r"\b([a-z_]\w*)\b(\{([^}]*)\})?(?!\s*=)", bare):
        if name in FUNCTIONS or not (name in OF_PROMETHEUS or name.startswith("tgkt_edge_")):
            continue
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", selector))
    return found


def test_every_metric_that_is_asked_for_is_printed_with_those_labels(samples: dict[str, set[str]]) -> None:
    asked = 0
    for expression in expressions():
        metrics = metrics_of(expression)
        assert metrics, expression
        for name, labels in metrics.items():
            asked += 1
            assert name in samples or name in OF_PROMETHEUS, f"{name} in {expression}"
            own = labels - {"job", "instance"}
            assert own <= samples.get(name, set()), f"{own} of {name}"
    assert asked > 25


def test_what_is_grouped_by_is_a_label(samples: dict[str, set[str]]) -> None:
    seen = 0
    for expression in expressions():
        known = {"job", "instance"}.union(*(samples.get(name, set()) for name in metrics_of(expression)))
        for words in re.findall(r"\b(?:by|ignoring) \(([^)]*)\)", expression):
            seen += 1
            assert set(re.split(r",\s*", words)) <= known, expression
        assert expression.count("(") == expression.count(")")
        assert expression.count("{") == expression.count("}")
    assert seen > 15


def test_every_metric_of_a_run_is_on_the_dashboard_or_in_a_rule(samples: dict[str, set[str]]) -> None:
    asked = set().union(*(metrics_of(expression) for expression in expressions()))
    families = {re.sub(r"_(bucket|count|sum|created|total)$", "", name) for name in samples}
    shown = {re.sub(r"_(bucket|count|sum|created|total)$", "", name) for name in asked}
    assert families - shown == {"tgkt_edge_health_value"}  # a flag says enough; its value is in the event


def test_the_dashboard_can_be_imported() -> None:
    found = dashboard()
    assert found["uid"] == "tgkt-edge-fleet"
    assert [variable["name"] for variable in found["templating"]["list"]] == ["datasource", "job", "instance"]
    numbers = [panel["id"] for panel in found["panels"]]
    assert len(set(numbers)) == len(numbers) > 12
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_rules_have_what_prometheus_wants_and_say_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 10
    for rule in rules():
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert re.fullmatch(r"\d+[smhd]", rule.get("for", "1m"))
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert len(rule["annotations"]["description"]) > 30
        assert rule["annotations"]["summary"]


def test_the_page_has_the_rules_by_name() -> None:
    page = (REPOSITORY / "docs" / "fleet.md").read_text(encoding="utf-8")
    for rule in rules():
        assert f"`{rule['alert']}`" in page


def test_alerts_are_raised_by_what_should_raise_them_and_by_nothing_else() -> None:
    """By Prometheus' own program, with a day of a device that is well and of one that is not."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian's package prometheus)")
    for question in (
        ["check", "rules", str(FLEET / "prometheus-alerts.yml")],
        ["test", "rules", str(REPOSITORY / "tests" / "docs" / "fleet_alerts.yml")],
    ):
        done = subprocess.run([promtool, *question], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = yaml.safe_load((REPOSITORY / "tests" / "docs" / "fleet_alerts.yml").read_text(encoding="utf-8"))
    raised = {
        one["alertname"] for test in tested["tests"] for one in test["alert_rule_test"] if "exp_alerts" in one
    }
    assert raised == {rule["alert"] for rule in rules()}
