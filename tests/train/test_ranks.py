"""Several ranks that train together: they compute what one process computes, and end together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.checkout import REPOSITORY
from tests.support.rank_stages import COUNT, SETS, STEPS, STILL
from tests.support.training import Tiny
from tests.support.waiting import wait_until
from tgkt_edge.config import build_config
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.nn.ranks import ALONE, Ranks, open_ranks

DEPTH = load_sensor("depth")
STAGES = ("source", "tgmb", "tgkt", "shot", "socket", "student")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@contextmanager
def started(*commands: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """One rank a command, as a launcher would start them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    count = str(len(commands))
    place = {
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    running = [
        subprocess.Popen(
            [sys.executable, *command], env={**ENVIRONMENT, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank, command in enumerate(commands)
    ]  # fmt: skip
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


# What they compute


@pytest.fixture(scope="module")
def both(module_folder: Callable[[str], Path]) -> tuple[Path, Path]:
    """What STEPS steps of each stage leave: of one process, and of two ranks."""
    folders = module_folder("one"), module_folder("two")
    for folder, command in zip(folders, ((sys.executable,), TORCHRUN), strict=True):
        subprocess.run(
            [*command, "-m", "tests.support.rank_stages", str(folder)],
            cwd=REPOSITORY, env=ENVIRONMENT, check=True, capture_output=True,
        )  # fmt: skip
    return folders


def loaded_last(file: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file of 100 MB that nothing else needs: it is removed."""
    tensors, _ = load_tensors(file)
    file.unlink()
    return tensors


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_compute_what_one_process_computes(stage: str, both: tuple[Path, Path]) -> None:
    """Weights after STEPS steps in float32; batches of 11: 5 and 6 rows.

    Statistics of batch norms over 11 numbers, and answers of a random network to noise, blow a rounding up.
    """
    one, two = (loaded_last(folder / f"{stage}.safetensors") for folder in both)
    start = load_tensors(both[0] / "start.safetensors")[0]
    assert one.keys() == two.keys()
    for name in one:
        within = 5e-4 if "running" in name or name == "answers" else 1e-5
        assert torch.allclose(two[name], one[name], rtol=within, atol=within), name
    trained = [
        name for name in one if name in start and name.startswith("backbone") and name.endswith("weight")
    ]
    if trained:  # not so near because nothing was learnt
        apart, learnt = (
            sum(float((one[name] - other[name]).square().sum()) for name in trained) ** 0.5
            for other in (two, start)
        )
        assert apart < 0.02 * learnt


@pytest.fixture(scope="module")
def parts(module_folder: Callable[[str], Path]) -> tuple[Path, Path]:
    """What two steps of each stage leave where no frame depends on its batch: in one piece, and in three parts."""
    folders = module_folder("whole"), module_folder("parts")
    few = [f"{stage}.epochs=2" for stage in STAGES]
    for folder, count in zip(folders, (1, 3), strict=True):
        subprocess.run(
            [
                sys.executable, "-m", "tests.support.rank_stages", str(folder), STILL, *few, f"accumulate={count}",
            ],
            cwd=REPOSITORY, env=ENVIRONMENT, check=True, capture_output=True,
        )  # fmt: skip
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_batch_in_parts_is_the_batch_but_for_batch_norm(stage: str, parts: tuple[Path, Path]) -> None:
    whole, apart = (loaded_last(folder / f"{stage}.safetensors") for folder in parts)
    start = load_tensors(parts[0] / "start.safetensors")[0]
    assert whole.keys() == apart.keys()
    for name in whole:
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(apart[name], whole[name], rtol=1e-5, atol=1e-5), name
    assert (
        any(not torch.equal(whole[name], start[name]) for name in whole if name in start) or stage == "tgmb"
    )


def test_every_row_of_a_batch_is_computed_by_one_rank() -> None:
    for size in range(3, 20):
        for count in (1, 2, 3):
            rows = [np.arange(size)[Ranks(rank, count).part(size)] for rank in range(count)]
            assert np.concatenate(rows).tolist() == list(range(size))
            assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_one_process_changes_nothing() -> None:
    value = torch.tensor([1.5, 2.0], requires_grad=True)
    assert ALONE.sum(value) is value
    assert ALONE.mean(value, 7) is value
    assert ALONE.gather(value)[0] is value
    assert open_ranks(torch.device("cpu")) is ALONE


NORM = """
import sys, torch
from torch import nn
from tgkt_edge.train.nn.ranks import open_ranks
from tgkt_edge.train.nn.shared_norm import share_norms
torch.manual_seed(0)
x = torch.randn(7, 4, 5, 3) * 3 + 1
weights = torch.randn(7, 4, 5, 3)
ranks = open_ranks(torch.device("cpu"))
norm = share_norms(nn.Sequential(nn.BatchNorm2d(4)), ranks)
norm.load_state_dict(torch.load(sys.argv[1], weights_only=True))
mine = x[ranks.part(7)].clone().requires_grad_(True)
y = norm(mine)
ranks.sum((y * weights[ranks.part(7)]).sum()).backward()
ranks.sum_gradients(norm.parameters())
found = {"y": torch.cat(ranks.gather(y.detach())), "dx": torch.cat(ranks.gather(mine.grad))}
found |= {"dw": norm[0].weight.grad, "db": norm[0].bias.grad, "mean": norm[0].running_mean, "var": norm[0].running_var}
if ranks.first:
    torch.save(found, sys.argv[2])
"""


CHILD_OF_OTHER_MEMORY = """
import os, sys
from pathlib import Path
import tgkt_edge.train.adapt as adapting
from tests.support.training import Tiny
from tgkt_edge.sensor import load_sensor
rank = int(os.environ["RANK"])
adapting.available_memory = lambda: (1 << 40, 1 << 10)[rank]
tiny = Tiny(Path(sys.argv[1]), Path(sys.argv[2]))
out = Path(sys.argv[3])
config = tiny.config("method=source-only", "device=cpu", "source.epochs=1")
adapting.adapt(tiny.inputs, load_sensor("depth"), out, config)
"""


@pytest.mark.slow
def test_ranks_that_find_other_memory_free_agree_on_a_cache(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(CHILD_OF_OTHER_MEMORY)
    child = [str(tmp_path / "child.py"), str(tiny.data), str(tiny.weights), str(tmp_path / "run")]
    with started(child, child) as ranks:
        texts = [process.communicate(timeout=250)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], texts
    assert "decoded images take" in texts[0]  # of rank 0, which had memory enough itself


@pytest.mark.slow
def test_batch_norm_is_that_of_the_whole_batch_with_its_gradients(tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = torch.nn.BatchNorm2d(4)
    norm = torch.nn.Sequential(one)
    with torch.no_grad():
        one.weight.copy_(torch.rand(4) + 0.5)
        one.bias.copy_(torch.rand(4))
    torch.save(norm.state_dict(), tmp_path / "norm.pt")
    (tmp_path / "child.py").write_text(NORM)
    child = [str(tmp_path / name) for name in ("child.py", "norm.pt", "found.pt")]
    with started(child, child) as ranks:
        texts = [process.communicate(timeout=250)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], texts
    torch.manual_seed(0)
    x = (torch.randn(7, 4, 5, 3) * 3 + 1).requires_grad_(True)
    weights = torch.randn(7, 4, 5, 3)
    y = norm(x)
    (y * weights).sum().backward()
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    expected = {"y": y, "dx": x.grad, "dw": one.weight.grad, "db": one.bias.grad}
    expected |= {"mean": one.running_mean, "var": one.running_var}
    for name, value in expected.items():
        assert value is not None
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-5, atol=1e-5)


# Whole runs


def words(tiny: Tiny, out: Path, *more: str) -> list[str]:
    inputs, small = tiny.inputs, [word for one in tiny.small for word in ("--set", one)]
    return [
        "-m", "tgkt_edge", "adapt", "--target", inputs.target, "--paired", str(inputs.paired),
        "--source", str(inputs.source), "--sensor", "depth", "-o", str(out), "--weights", str(tiny.weights), *small,
        "--set", "source.epochs=1", *more,
    ]  # fmt: skip


SHOT = ("--method", "shot", "--set", "shot.epochs=1")


@pytest.mark.slow
def test_rank_0_alone_writes_and_one_process_goes_on_with_the_run(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = words(tiny, out, *SHOT)
    with started(command, command) as ranks:
        texts = [process.communicate(timeout=280) for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], texts
    assert ", 2 ranks" in texts[0][1]
    assert texts[1] == ("", "")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [(line["stage"], line["step"]) for line in lines if "step" in line]
    assert len(steps) == len(set(steps))
    assert json.loads((out / "report.json").read_text())["target_frames"] == 12
    target = out / "checkpoints" / "target.safetensors"
    before = load_tensors(target)[0]
    for file in (target, out / "report.json"):
        file.unlink()
    config = tiny.config("source.epochs=1", "method=shot", "shot.epochs=1")
    adapt(tiny.inputs, DEPTH, out, config, resume=True)
    after = load_tensors(target)[0]
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-2, atol=1e-2)


@pytest.mark.slow
def test_ranks_with_other_options_are_refused_by_name(tiny: Tiny, tmp_path: Path) -> None:
    commands = [words(tiny, tmp_path / "run", *SHOT, "--seed", seed) for seed in ("0", "1")]
    with started(*commands) as ranks:
        texts = [process.communicate(timeout=200)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [2, 2]
    assert "the ranks do not train the same: config.seed: rank 0 has 0, rank 1 1." in " ".join(
        texts[0].split()
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_others_with_what_to_do(tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = words(tiny, out, "--method", "shot", "--set", "shot.epochs=500")
    with started(command, command) as ranks:
        wait_until(lambda: (out / "epochs").is_dir() or ranks[0].poll() is not None, "SHOT to begin", 280)
        ranks[1].send_signal(signal.SIGKILL)
        began = time.monotonic()
        text = ranks[0].communicate(timeout=100)[1]
    assert ranks[0].returncode == 1, text
    assert time.monotonic() - began < 60
    assert "another rank ended, or cannot be reached" in text
    assert "--resume" in text


def test_the_stages_of_the_comparison_make_so_many_steps() -> None:
    config = build_config(None, SETS)
    assert config.batch == COUNT
    assert {config.source.epochs, config.tgmb.epochs, config.tgkt.epochs, config.student.epochs} == {STEPS}
