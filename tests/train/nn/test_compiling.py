"""``--compile``: which parts of a network are compiled, that nothing else changes, and machines without a compiler."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.checkout import REPOSITORY
from tgkt_edge.config import build_config
from tgkt_edge.errors import ConfigError
from tgkt_edge.train.nn.compiling import compile_in_place, heavy_parts
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator


@pytest.mark.slow
def test_the_parts_that_are_called_are_compiled() -> None:
    """A head on pooled layers calls them one by one, and never the backbone as a whole."""
    whole, layers, translator = SceneClassifier(3), SceneClassifier(3, (2, 3, 4)), Translator()
    assert heavy_parts(whole) == [whole.backbone]
    assert heavy_parts(layers) == [getattr(layers.backbone, f"layer{number}") for number in (1, 2, 3, 4)]
    assert heavy_parts(translator) == [translator]


@pytest.mark.slow
def test_names_stay_and_copies_are_not_compiled() -> None:
    network = SceneClassifier(3)
    names = list(network.state_dict())
    compile_in_place(network)
    assert network.backbone._compiled_call_impl is not None
    assert list(network.state_dict()) == names
    assert getattr(copy.deepcopy(network).backbone, "_compiled_call_impl", None) is None


def test_learners_are_compiled_only_where_it_is_asked_for() -> None:
    for compiles in (False, True):
        network = Compute(torch.device("cpu"), "fp32", compiles=compiles).learner(Translator())
        assert (getattr(network, "_compiled_call_impl", None) is not None) == compiles


def test_socket_looks_into_the_network_and_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"compile = true with method = socket: .*socket.bns = 0"):
        build_config(None, ["compile=true", "method=socket"])
    assert build_config(None, ["compile=true", "method=socket", "socket.bns=0"]).compile


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_why(tmp_path: Path) -> None:
    code = (
        "import torch\n"
        "from tgkt_edge.train.nn.compiling import why_not_compiled\n"
        "print(why_not_compiled(torch.device('cpu')))\n"
    )
    environment = {
        **os.environ, "PYTHONPATH": str(REPOSITORY), "CXX": str(tmp_path / "none"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=250, check=True
    )
    assert "compiler" in done.stdout
    assert str(tmp_path / "none") in done.stdout
