"""Where training computes: float32 that is float32, and a memory that is too small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.training import Tiny
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train import adapt as job
from tgkt_edge.train.nn.device import oom_as_error, open_compute
from tgkt_edge.train.report import model_outputs as answers
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")


def test_float32_is_not_shortened_by_tensor_cores(tiny: Tiny) -> None:
    """torch's default for convolutions is TF32, which keeps 10 bits of 23. The flags are read as cuDNN gets them."""
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True
    open_compute(tiny.config())
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(
    "allocate", [lambda: torch.empty(1 << 45), lambda: np.empty(1 << 45)], ids=["torch", "numpy"]
)
def test_a_machine_without_memory_is_told_what_helps(allocate: Callable[[], object]) -> None:
    """What really is raised when 128 TiB are asked for."""
    cpu = torch.device("cpu")
    with (
        pytest.raises(
            TgktEdgeError, match=r"`device=cpu`: its memory is too small: .*llocate .*`accumulate=4`"
        ) as at,
        oom_as_error(cpu),
    ):
        allocate()
    assert "give `device=cpu`" not in str(at.value)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), oom_as_error(cpu):
        torch.ones(2, 3) @ torch.ones(2, 3)


def too_large(*_: object, **__: object) -> object:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")


def test_too_little_memory_is_said_with_what_helps(
    finished: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = r"its memory is too small: CUDA out of memory\. Give adapt `accumulate=4`, a smaller `batch`"
    monkeypatch.setattr(job, "train_stages", too_large)
    inputs = RunInputs(tiny.inputs.target, None, source_model=str(finished.source))
    with pytest.raises(TgktEdgeError, match=messages) as caught:
        job.adapt(inputs, DEPTH, tmp_path / "run", tiny.config("method=source-only"))
    assert caught.value.exit_code == 1
    monkeypatch.setattr(answers, "predict_target", too_large)
    classes, _, sensor, ask = answers.run_answers(finished.path, "cpu")
    frames, _ = load_frames(tiny.data / "target", sensor, 37)
    assert classes
    for name in ask:
        with pytest.raises(TgktEdgeError, match=messages):
            ask[name](frames)
