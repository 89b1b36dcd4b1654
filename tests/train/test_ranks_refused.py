"""What several ranks, and a batch in parts, refuse by name before anything is written."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.checkout import REPOSITORY
from tests.support.training import Tiny
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import UsageError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.fitting_batch import refuse_few
from tgkt_edge.train.holdout import no_pairs
from tgkt_edge.train.nn.ranks import ALONE, Ranks, open_ranks
from tgkt_edge.train.pipeline import Loaded

DEPTH = load_sensor("depth")


def test_a_batch_of_fewer_rows_than_ranks_is_refused(tiny: Tiny) -> None:
    target, sensor = load_frames(Path(tiny.inputs.target), DEPTH, 37)
    loaded = Loaded(None, target, no_pairs(37), no_pairs(37), [], sensor, None)
    config = tiny.config("batch=4")
    refuse_few(config, loaded, Ranks(0, 4))  # 12 frames in batches of 4
    with pytest.raises(UsageError, match=r"12 target frames make batches of 4, fewer than the 5 ranks"):
        refuse_few(config, loaded, Ranks(0, 5))
    other = tiny.config("translator=features", "student.arch=mobilenet_v3_small", "student.weights=none")
    with pytest.raises(
        UsageError, match="another architecture is trained in one process, and 2 ranks were started"
    ):
        refuse_few(other, loaded, Ranks(0, 2))
    refuse_few(other, loaded, ALONE)
    few = dataclasses.replace(config, batch=5)  # 12 in three batches
    with pytest.raises(
        UsageError, match=r"`batch=5`: 12 target frames make batches of 4, fewer than the 6 ranks"
    ):
        refuse_few(few, loaded, Ranks(0, 6))
    parts = dataclasses.replace(config, batch=4, accumulate=2)
    refuse_few(parts, loaded, ALONE)
    with pytest.raises(
        UsageError, match=r"`accumulate=2`: 12 target frames make batches of 4, 2 a rank, and batch"
    ):
        refuse_few(parts, loaded, Ranks(0, 2))
    with pytest.raises(
        UsageError, match=r"`accumulate=4`: 12 target frames make batches of 6, and batch norm"
    ):
        refuse_few(dataclasses.replace(config, batch=8, accumulate=4), loaded, ALONE)
    with pytest.raises(UsageError, match=r"`compile=True`: 2 ranks were started"):
        refuse_few(dataclasses.replace(config, compile=True), loaded, Ranks(0, 2))


def test_a_launchers_variables_that_make_no_sense_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="WORLD_SIZE, RANK and LOCAL_WORLD_SIZE: expected whole numbers"):
        open_ranks(torch.device("cpu"))


@pytest.mark.parametrize(
    ("size", "rank", "local"),
    [
        ("2", None, None),
        ("2", "2", None),
        ("2", "-1", "1"),
        ("0", "0", None),
        ("2", "1", "0"),
        ("2", "1", "3"),
    ],
)
def test_a_rank_that_there_cannot_be_is_refused_at_once(
    size: str, rank: str | None, local: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would wait a day for others that never come."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {"WORLD_SIZE": size, "RANK": rank, "LOCAL_WORLD_SIZE": local, **place}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(
        UsageError, match=f"^WORLD_SIZE={size}, RANK={rank or 'not set'}, LOCAL.* RANK from 0 to"
    ):
        open_ranks(torch.device("cpu"))


ALONE_OF_TWO = """
import logging, torch
from tgkt_edge.train.nn import ranks
logging.basicConfig()
ranks.PATIENCE_S = 0.1
ranks.open_ranks(torch.device("cpu"))
"""


@pytest.mark.slow
def test_a_rank_that_waits_for_others_says_where() -> None:
    """One of two that nobody else joins: it would wait for a day without a word."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with subprocess.Popen(
        [sys.executable, "-c", ALONE_OF_TWO],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **place}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            said = next((line for line in lines if "waiting" in line), "it ended")
        finally:
            process.kill()
    assert f"rank 0 of 2: waiting for the others at 127.0.0.1:{port} (MASTER_ADDR, MASTER_PORT)" in said
