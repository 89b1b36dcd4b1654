"""A disk that takes no more: said in words that name the file, whoever writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import cli_environment

# EFBIG: the limit on a file's size stands for the disk, for every user.
FULL = """
import resource, sys
from pathlib import Path
import torch
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.train.nn.checkpoint import load_tensors, save_tensors
from tgkt_edge.train.logger import RunLog
out = Path(sys.argv[1])
save_tensors(out / "a.safetensors", {"a": torch.zeros(10)}, {})
try:
    with RunLog(out) as log:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            save_tensors(out / "a.safetensors", {"a": torch.zeros(100000)}, {})
        except TgktEdgeError as error:
            print(error)
        assert len(load_tensors(out / "a.safetensors")[0]["a"]) == 10
        for number in range(1000):
            log.record({"stage": "source", "step": number})
except TgktEdgeError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_full_disk_is_named_by_checkpoints_and_metrics(tmp_path: Path) -> None:
    environment = cli_environment()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    checkpoint, metrics = done.stdout.splitlines()
    assert checkpoint.startswith(f"cannot write {tmp_path}/a.safetensors: ")
    assert checkpoint.endswith("File too large (os error 27). The earlier content is intact.")
    assert metrics == (
        f"cannot write {tmp_path}/metrics.jsonl: File too large. Make room, then go on with `resume=True`."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.safetensors",
        "metrics.jsonl",
        "tensorboard",
    ]
