"""A real Prometheus scrapes a real run, as docs/fleet.md has it: what dashboard and rules ask for is answered."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.bundles import save_watched_bundle
from tests.support.checkout import REPOSITORY
from tests.support.prometheus import Prometheus, free_port
from tests.support.survival import WatchedRun
from tests.support.v4l2 import CAMERA
from tests.support.waiting import wait_until

FLEET = REPOSITORY / "docs" / "assets" / "fleet"
TOKEN = "correct-horse-battery"
RATE = "[20s]"
"""In place of minutes: a rate needs two scrapes within, and a test does not wait for minutes."""


def panels() -> dict[str, list[str]]:
    """Expressions by the panel's title, for all jobs and instances."""
    dashboard = json.loads((FLEET / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return {
        panel["title"]: [
            re.sub(r"\[\d+[mh]\]", RATE, target["expr"]).replace("$job", ".*").replace("$instance", ".*")
            for target in panel["targets"]
        ]
        for panel in dashboard["panels"]
    }


def config_of_the_docs(folder: Path, ports: list[int]) -> str:
    """``prometheus.yml`` as the page has it, with these devices, a scrape a second, and the page's other files."""
    page = (REPOSITORY / "docs" / "fleet.md").read_text(encoding="utf-8")
    shown = re.findall(r"```yaml\n(# prometheus\.yml\n.*?)```", page, re.DOTALL)
    assert len(shown) == 1
    config: dict[str, Any] = yaml.safe_load(shown[0])
    (folder / config["rule_files"][0]).write_bytes((FLEET / config["rule_files"][0]).read_bytes())
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    (job,) = config["scrape_configs"]
    job["scrape_interval"] = job["scrape_timeout"] = "1s"
    job["authorization"]["credentials_file"] = "token"
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    return yaml.safe_dump(config)


@pytest.mark.slow
def test_prometheus_answers_every_panel_and_rule_from_a_run_and_sees_its_camera_go(
    tmp_path: Path, shim: str
) -> None:
    bundle = save_watched_bundle(tmp_path / "bundle")
    command = [sys.executable, "-m", "tgkt_edge", "run", str(bundle.path), "--camera", CAMERA]
    command += ["--sink", "jsonl:-", "--sink", "http://127.0.0.1:0", "--token", TOKEN]
    with WatchedRun(command, tmp_path, shim, FPS=20) as run:
        run.more(20)
        (port,) = re.findall(r"page: http://127\.0\.0\.1:(\d+)", run.stderr.read_text(encoding="utf-8"))
        config = config_of_the_docs(tmp_path, [int(port), free_port()])  # nothing listens on the second
        with Prometheus(tmp_path, config) as prometheus:
            shown: dict[str, list[list[float]]] = {}

            def every_panel_shows_something() -> bool:
                """Drift and the flag that it raises are known after a while, and rates take two scrapes."""
                for title, asked in panels().items():
                    shown[title] = [prometheus.values(one) for one in asked]
                    if not all(one and all(map(math.isfinite, one)) for one in shown[title]):
                        return False
                return True

            wait_until(every_panel_shows_something, "every panel of the dashboard")
            assert shown["Devices that answer"] == shown["Devices that do not"] == [[1.0]]
            assert shown["Sources stalled or lost"] == [[0.0]]
            ((rate,),) = shown["Decisions a second"]
            assert 1 < rate < 40  # of 20, on a machine that others use, too
            assert sum(shown["Share of each label"][0]) == pytest.approx(1)
            assert 0 < shown["Seconds since the newest frame"][0][0] < 60

            groups = prometheus.api("rules")["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert len(rules) >= 10
            assert not [rule["lastError"] for rule in rules if rule.get("lastError")]

            (lost,) = panels()["Sources stalled or lost"]
            with run.switched("GONE", "lost"):
                wait_until(lambda: prometheus.values(lost) == [1.0], "the lost camera on the dashboard")
            wait_until(lambda: prometheus.values(lost) == [0.0], "the camera back on the dashboard")
        assert run.end() < 60
