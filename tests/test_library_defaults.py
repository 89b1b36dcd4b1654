"""Importing any part of the package changes what libraries would do unasked, before they can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.openvino import need_openvino
from tgkt_edge.library_defaults import DEFAULTS


@pytest.mark.slow
@pytest.mark.parametrize(
    "module", ["tgkt_edge", "tgkt_edge.runtime", "tgkt_edge.sensor", "tgkt_edge.cli.main"]
)
def test_the_variables_are_set_by_the_import_and_the_users_stay(module: str) -> None:
    code = f"import json, os, {module}; print(json.dumps(dict(os.environ)))"
    clean = {key: value for key, value in os.environ.items() if key not in DEFAULTS}
    for own in ({}, {"ORT_DISABLE_TELEMETRY": "0"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**clean, **own}, capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout)
        assert {name: found.get(name) for name in DEFAULTS} == {**DEFAULTS, **own}


def test_openvino_is_imported_without_what_reports_to_its_vendor(tmp_path: Path) -> None:
    """Its package alone would write ``~/intel`` and look a host up; nothing of that stays behind for others, either."""
    need_openvino()
    code = (
        "import sys; from tgkt_edge.optional_deps import import_openvino; library = import_openvino(); "
        "assert library.Core().available_devices; assert 'openvino_telemetry' not in sys.modules"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []
