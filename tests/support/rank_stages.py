"""Some steps of each stage in float32 on a CPU, alone or as one of several ranks; rank 0 writes what each leaves.

python -m tests.support.rank_stages FOLDER [STAGE ...] [OPTION=VALUE ...] [running-statistics]
torchrun --nproc-per-node 2 -m tests.support.rank_stages FOLDER

With ``running-statistics`` batch norms use those while they train, too, so that no frame depends on its batch.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from tests.support.counts import repeats
from tgkt_edge.config import build_config
from tgkt_edge.data.sets import Images
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.shot import train_shot
from tgkt_edge.train.methods.source import train_source
from tgkt_edge.train.methods.student import train_student
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.methods.tgmb import train_tgmb
from tgkt_edge.train.nn.checkpoint import load_imagenet, save_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, frozen, normalise
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.nn.ranks import open_ranks
from tgkt_edge.train.resume_state import StageState

COUNT, SIDE, CLASSES = 11, 37, 3
"""Images of each kind, their side, and classes: one batch an epoch, of which two ranks take five and six."""

STEPS = repeats(3, 10)

STILL = "running-statistics"

RATES = {"source": 1e-5, "tgmb": 1e-4, "tgkt": 1e-4, "shot": 1e-4, "socket": 1e-6, "student": 1e-4}
"""Learning rates: SOCKET's gradient is large."""

SETS = (
    "image_size=32", "batch=11", "precision=fp32", "device=cpu",
    *(f"{stage}.epochs={STEPS}" for stage in ("source", "tgmb", "tgkt", "shot", "socket", "student")),
    "tgmb.rec_epochs=1", "tgkt.im=0.5", "student.mixup=0.3", "student.ema=1.0", "student.norms=batch",
    # Small steps: ten large ones of a random network blow a rounding up to anything.
    *(f"{stage}.lr={lr}" for stage, lr in RATES.items()),
    *(f"{stage}.head_lr={10 * lr}" for stage, lr in RATES.items() if stage != "tgmb"), "tgmb.d_lr=1e-6",
)  # fmt: skip


def write_weights(file: Path) -> None:
    """A random ResNet-50 with damped residual branches, whose batch norms know some images."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None)
    for module in network.modules():
        if isinstance(module, Bottleneck):
            nn.init.constant_(module.bn3.weight, 0.1)
    calibrate(network)
    save_file(network.state_dict(), file)


def calibrate(network: nn.Module) -> None:
    """Let the running statistics be those of noise."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(normalise(torch.rand(16, 3, 32, 32)))
    for norm in norms:
        norm.momentum = 0.1


def networks(weights: Path) -> tuple[SceneClassifier, Translator]:
    """A source model and a T of random heads: the same ones each time, which a stage may change."""
    return copy.deepcopy(_networks(weights))


@cache
def _networks(weights: Path) -> tuple[SceneClassifier, Translator]:
    torch.manual_seed(0)
    model, translator = SceneClassifier(CLASSES), Translator()
    load_imagenet(model, str(weights))
    calibrate(model)
    calibrate(translator)
    return frozen(model), frozen(translator)


def hold_norms_still() -> None:
    """Let torch's batch norm answer in training as it does in evaluation; only its weights still learn."""
    whole = F.batch_norm

    def still(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Tensor:
        return whole(x, mean, var, weight, bias, False, *rest[1:])

    torch.nn.functional.batch_norm = still  # type: ignore[assignment]


def main() -> None:
    """Run the stages that are named, or all."""
    torch.set_num_threads(1)
    torch.backends.mkldnn.set_flags(False)  # see one_torch_thread()
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    if STILL in words:
        hold_norms_still()
    sets = [*SETS, *(word for word in words if "=" in word)]
    chosen = [word for word in words if "=" not in word and word != STILL]
    cpu = torch.device("cpu")
    ranks = open_ranks(cpu)
    compute = Compute(cpu, "fp32", ranks)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 65536, (2, COUNT, SIDE, SIDE), dtype=np.uint16)
    rgb = rng.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    target, photos, paired = Store(codes[0], cpu), Store(rgb, cpu), Store(codes[1], cpu)
    images = Images(rgb, np.arange(COUNT) % CLASSES, tuple("abc"), tuple(map(str, range(COUNT))))
    soft = rng.dirichlet(np.ones(CLASSES), COUNT)
    log, state = RunLog(None), StageState(None, 1e9)
    weights = folder / f"weights-{ranks.rank}.st"
    write_weights(weights)
    config = build_config(None, [*sets, f"weights={weights}"])

    def shot(method: str) -> nn.Module:
        both = build_config(None, [*sets, f"weights={weights}", f"method={method}", "shot.f=0.5"])
        return train_shot(networks(weights)[0], target, photos, paired, both, compute, log, state)

    def tgkt() -> nn.Module:
        source, translator = networks(weights)
        return train_tgkt(source, translator, target, photos, paired, config, compute, log, state)

    stages: dict[str, Callable[[], nn.Module]] = {
        "source": lambda: train_source(images, config, compute, log, state),
        "tgmb": lambda: train_tgmb(networks(weights)[0], target, photos, paired, config, compute, log, state),
        "tgkt": tgkt,
        "shot": lambda: shot("shot"),
        "socket": lambda: shot("socket"),
        "student": lambda: train_student(
            networks(weights)[0],
            target,
            soft,
            soft,
            np.full(CLASSES, 1 / CLASSES),
            config,
            compute,
            log,
            state,
        ),
    }
    if ranks.first:
        save_tensors(folder / "start.safetensors", dict(networks(weights)[0].state_dict()), {})
    for name in chosen or stages:
        found = stages[name]()
        tensors = dict(found.state_dict())
        if isinstance(found, SceneClassifier):
            tensors["answers"] = predict_target(found, target, 32, 3, compute)[1]
        if ranks.first:
            kept = {key: value.float().contiguous() for key, value in tensors.items()}
            save_tensors(folder / f"{name}.safetensors", kept, {})
    weights.unlink()  # 100 MB


if __name__ == "__main__":
    main()
