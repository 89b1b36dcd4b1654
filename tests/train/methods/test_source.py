"""Where the training of the source begins: that weights were rescaled is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.training import Tiny
from tgkt_edge.data.loading import Images
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.source import train_source
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.resume_state import StageState


@pytest.fixture(scope="module")
def large(tiny: Tiny, module_folder: Callable[[str], Path]) -> Path:
    """The same network as for pixels of 0 to 255: the first convolution 1024 times larger."""
    state = {name: value.float() for name, value in load_file(tiny.weights).items()}
    factors = {"conv1.weight": 1024, "bn1.running_mean": 1024, "bn1.running_var": 1024**2}
    path = module_folder("large") / "large.safetensors"
    save_file({name: value * factors.get(name, 1) for name, value in state.items()}, path)
    return path


@pytest.mark.slow
def test_weights_of_another_scale_are_told(
    tiny: Tiny, large: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = Images(
        np.zeros((4, 37, 37, 3), np.uint8), np.array([0, 1, 0, 1]), ("a", "b"), ("1", "2", "3", "4")
    )
    for weights in (tiny.weights, large):
        config = tiny.config(f"weights={weights}", "source.epochs=1")
        with RunLog(None) as log:
            train_source(images, config, Compute(torch.device("cpu"), "fp32"), log, StageState(None, 60.0))
        logged = " ".join(capsys.readouterr().err.split())
        about = f"`weights={large}`: first convolution divided by "
        assert (about in logged) == (weights == large)
