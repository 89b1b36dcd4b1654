"""``tgkt-edge benchmark`` on a machine with an Orin, faked at its libraries: plans are rows like others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_environment, run_cli
from tests.support.images import make_frames, save_frames
from tests.support.plans import add_plan
from tgkt_edge.bundle.bundle import Bundle

pytestmark = pytest.mark.slow

QUICK = ("--seconds", "0.1", "--rounds", "3", "--json", "-")
# Says of every process of this machine that it holds 321 MiB of the GPU's memory, and of the GPU what it is doing.
SMI = """#!/bin/sh
case "$*" in
  *compute-apps*) cd /proc; for pid in [0-9]*; do echo "$pid, 321"; done;;
  *memory.used*) echo '0, 1000';;
  *) echo 'Orin, P0, 624, 1020, 2133, 55, 9.5, [N/A], 0x0000000000000004';;
esac
"""


@pytest.fixture
def orin(driver: Any, fakes: Path, tmp_path: Path) -> dict[str, str]:
    """TensorRT, cuda-bindings, the driver and nvidia-smi, for a process and those that it starts."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nvidia-smi").write_text(SMI)
    (programs / "nvidia-smi").chmod(0o755)
    environment = cli_environment()
    return {
        "PYTHONPATH": f"{fakes}:{environment['PYTHONPATH']}",
        "PATH": f"{programs}:{environment['PATH']}",
        "LD_LIBRARY_PATH": str(driver("Orin", 7)),
    }


@pytest.fixture
def fakes() -> Path:
    return Path(__file__).with_name("fakes")


def test_a_plan_is_measured_beside_the_cpu_and_a_batch_over_its_maximum_says_so(
    bundle: Bundle, orin: dict[str, str], tmp_path: Path
) -> None:
    add_plan(bundle)
    frames = save_frames(tmp_path / "frames", make_frames(5))
    done = run_cli(
        "benchmark", bundle.path, "--engine", "tensorrt", "--engine", "cpu", "--batch", "2", "--batch", "9",
        "--frames", frames, *QUICK, **orin,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    (result,) = done.records
    rows = {(row["engine"], row["batch"]): row for row in result["rows"]}
    plan = rows["tensorrt", 2]
    assert plan["ran"], plan["why"]
    assert plan["name"].lower().startswith("tensorrt")
    assert plan["agreement"]["against"] == "fp32 on cpu, batch 2"  # though the plan comes first
    assert plan["agreement"]["top1_agreement"] == 1
    assert plan["agreement"]["frames"] == 5
    assert plan["memory"]["device"] == 321 * 2**20
    assert plan["memory"]["device_told_by"] == "nvidia-smi, this process"
    assert rows["cpu", 9]["ran"]
    refused = rows["tensorrt", 9]
    assert not refused["ran"]
    assert refused["exit_code"] == 2
    assert refused["why"].startswith("`batches=9`: ")
    assert "8" in refused["why"].removeprefix("`batches=9`: ")
    assert result["state"]["before"]["gpus"][0]["mhz"] == 624
    assert result["state"]["limited_by"] == ["GPU 0: power cap"]
    assert "slowed down meanwhile: GPU 0: power cap" in done.stderr


def test_where_no_row_can_take_the_batch_it_is_a_matter_of_usage(
    bundle: Bundle, orin: dict[str, str]
) -> None:
    add_plan(bundle)
    done = run_cli("benchmark", bundle.path, "--engine", "tensorrt", "--batch", "9", *QUICK, **orin)
    assert done.code == 2, done.stderr
    assert "none of 1 rows could run here" in done.stderr
