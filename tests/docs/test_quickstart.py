"""The quickstart's commands by hand, as the page has them, on a smaller demo."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import REPOSITORY
from tests.support.cli import cli_environment, split_start
from tests.support.training import write_small_data
from tgkt_edge import adapt

PAGE = (REPOSITORY / "docs" / "quickstart.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_command_and_the_python_program_work(tmp_path: Path) -> None:
    demo, lines = tmp_path / "demo", []
    write_small_data(demo / "data")
    adapt(demo / "data" / "target", "depth", demo / "run", source=demo / "data" / "source", method="source-only",
          weights="none", image_size=64, epochs=1, batch=4)  # fmt: skip
    for language, text in BLOCKS:
        if language == "python":
            lines.append(f"python - <<'END'\n{text}END")
        else:
            lines += [line for line in text.splitlines() if not line.startswith(("make", "source"))]
    commands = ["tgkt-edge adapt", "tgkt-edge evaluate", "tgkt-edge export", "tgkt-edge run", "head -2"]
    assert [" ".join(line.split()[:2]) for line in lines[:5]] == commands
    # A source model of twelve images knows nothing that a translation could lead to.
    lines[0] += " --set translation.force=true"
    shell = (
        f'tgkt-edge() {{ "{sys.executable}" -m tgkt_edge "$@"; }}; python() {{ "{sys.executable}" "$@"; }}\n'
    )
    said = {}
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", shell + line], cwd=tmp_path, env=cli_environment(), capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)
        said[line] = done.stdout
    start, answers = split_start((tmp_path / "decisions.jsonl").read_text())
    assert start is not None
    assert [answer["frame"] for answer in answers] == list(range(6))
    assert json.loads(said["head -2 decisions.jsonl"].splitlines()[1]) == answers[0]
    shown = [line.rsplit(" ", 1) for line in said[lines[-1]].splitlines()]
    assert shown == [[answer["label"], str(round(answer["probability"], 2))] for answer in answers]
