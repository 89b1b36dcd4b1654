"""Stage 3, TGKT, for a target network that is no copy of the source: it learns what the translation's network sees.

The translation's network describes a frame by its features phi (layers 2, 3 and 4 of a ResNet-50, standardised) and
reads the classes off them with C. The target network F_t has features of its own; a linear map M brings them to phi,
and C stays as it is, so that one frame gives a loss of thousands of numbers and not of K alone:

    L = CE(teacher's labels, C(M F_t(frame))) + features * mean |M F_t(frame) - phi(frame)|^2

the first on the task's frames, the second on those of the pairs as well. M and C are one matrix in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.batches import Store, ahead, batches, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.pseudo_labels import label_notes
from tgkt_edge.train.methods.student import CLIP
from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.fused import on_fused_kernels
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms
from tgkt_edge.train.nn.model import Classifier, FloatLinear, normalise
from tgkt_edge.train.nn.named_network import NamedClassifier, load_student
from tgkt_edge.train.nn.optim import descend
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState

Reals = NDArray[np.float64]

WARM_UP = 0.05
"""Share of the steps in which the learning rate rises to its full value."""


MAP_RATE = 0.1
"""Learning rate of M beside the backbone's: Adam moves each of its weights by the rate, and a logit adds up
thousands of rows of hundreds of them."""


MOMENTUM = 0.1
"""Of batch-norm statistics: those that it ends with are of the last steps, whose rate is nearly 0."""


@dataclass(frozen=True)
class Frames:
    """Frames and what the translation's network sees in them: ``phi`` (N, V, D), raw, in the encoding that it reads."""

    store: Store
    phi: Features


class Mapped(nn.Module):
    """C(M F(x)) while it learns: F of ``student``, M a linear layer, C frozen."""

    def __init__(self, student: NamedClassifier, head: nn.Linear) -> None:
        super().__init__()
        self.student = student
        self.map = FloatLinear(student.width, head.in_features)
        self.head = FloatLinear(head.in_features, head.out_features)
        self.head.load_state_dict({"weight": head.weight.detach(), "bias": head.bias.detach()})
        self.head.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) normalised frames -> (B, D) like phi, standardised, and (B, K) logits."""
        seen = self.map(self.student.features(x))
        return seen, self.head(seen)

    @torch.no_grad()
    def joined(self) -> NamedClassifier:
        """``student`` with M and C as its classifier."""
        first, last = self.head.weight.double(), self.map.weight.double()
        self.student.classifier.weight.copy_(first @ last)
        self.student.classifier.bias.copy_(first @ self.map.bias.double() + self.head.bias.double())
        return self.student


def distill(
    teacher: Classifier,
    target: Frames,
    pairs: Frames,
    labels: Reals,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    state: StageState,
) -> Classifier:
    """Train the network ``config.student.arch`` on random crops; returns it in evaluation mode.

    Args:
        teacher: the translation's network, frozen: its standardisation is that of phi, its classifier C.
        target: the task's frames. pairs: those of other scenes; without labels.
        labels: (N, K) of the teacher for the task's frames.
    """
    cfg, size = config.distill, config.image_size
    torch.manual_seed(config.seed + 4)
    student = NamedClassifier(config.student.arch, labels.shape[1], teacher.normals)
    load_student(student, config.student.weights)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM  # MobileNet's own, 0.01, is for a hundred thousand steps
    compute = _suited(student, compute, config)
    model = compute.learner(Mapped(student, teacher.classifier), config.accumulate)
    own, added = list(student.backbone.parameters()), list(model.map.parameters())
    groups: list[dict[str, Any]] = [
        {"params": own, "base": cfg.lr},
        {"params": added, "base": cfg.lr * MAP_RATE},
    ]
    adam = on_fused_kernels(torch.optim.AdamW, groups, lr=cfg.lr, weight_decay=cfg.weight_decay)
    teacher_features = [_standard(teacher, frames.phi) for frames in (target, pairs)]  # (N, D) each
    known = torch.from_numpy(labels).float()
    frames = len(target.store)
    count = frames + min(len(pairs.store), frames)  # many pairs must not crowd out the task's frames
    steps = steps_per_epoch(count, config.batch)
    done = state.load({"model": model}, {"adam": adam})
    previous: Tensor | None = state.extra.get("pseudo_labels")
    teacher_class = known.argmax(1)

    def forward(x: Tensor) -> Outputs:
        with compute.autocast():
            seen, logits = model(x)
        return seen, logits

    def losses(outputs: Outputs, beside: Outputs, rows: int) -> Terms:
        seen, logits = outputs
        y, phi = beside  # (B of the task's frames, K), (B, D)
        labelled = -(y * logits[: len(y)].float().log_softmax(1)).sum(1).sum() / max(len(y), 1)
        apart = (seen.float() - phi.to(compute.device).float()).square().mean()
        return {"loss": labelled + cfg.features * apart, "labels": labelled, "features": apart}

    objective = Objective(model, forward, losses, config.accumulate)

    def drawn(epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Frames of the task and of pairs, the labels of the former, what the teacher's network sees in both."""
        rng = epoch_rng(config.seed, "distill", epoch)
        of_pairs = np.arange(len(pairs.store))  # those of this epoch
        if len(of_pairs) > frames:
            of_pairs = rng.permutation(len(of_pairs))[:frames]
        for index in batches(rng, count, config.batch):
            mine, other = index[index < frames], of_pairs[index[index >= frames] - frames]
            parts = [(target, teacher_features[0], mine), (pairs, teacher_features[1], other)]
            views = [
                one.store.take(random_views(rng, rows, one.store.side, size), size)
                for one, _, rows in parts
                if len(rows)
            ]
            phi = torch.cat([values[torch.from_numpy(rows)] for _, values, rows in parts if len(rows)])
            y = known[torch.from_numpy(mine)].to(compute.device)
            yield normalise(torch.cat(views)), y, phi

    with log.stage("tgkt", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            if epoch:
                answers = predict_target(model.joined(), target.store, size, config.batch, compute)[1]
                stage.answers(epoch, answers.softmax(1))
                hard = answers.argmax(1).cpu()
                agrees = (hard == teacher_class).float().mean().item()
                stage.note(epoch, {**label_notes(hard, previous, labels.shape[1]), "teacher_agrees": agrees})
                previous = hard
            model.train()
            model.head.eval()
            taken = enumerate(ahead(drawn(epoch), compute.device), start=epoch * steps)
            for step, (x, y, phi) in taken:
                backward = partial(objective.backward, (x,), (y, phi), len(x))
                _, terms = descend(adam, backward, step, cfg.epochs * steps, CLIP, factor=rising_and_falling)
                stage.step(terms)
            keep = {} if previous is None else {"pseudo_labels": previous}
            state.save(epoch + 1, {"model": model}, {"adam": adam}, keep)
    learnt = model.joined().eval()
    answers = predict_target(learnt, target.store, size, config.batch, compute)[1]
    agrees = float((answers.argmax(1).cpu() == teacher_class).float().mean())
    log.say(_how_it_went(config, agrees, frames))
    return learnt


def rising_and_falling(step: int, total: int) -> float:
    """Factor on the learning rate: linear to 1 over WARM_UP of the steps, times half a cosine down to 0."""
    rising = max(1.0, WARM_UP * total)
    return min(1.0, (step + 1) / rising) * 0.5 * (1 + math.cos(math.pi * step / total))


def _standard(teacher: Any, phi: Features) -> Tensor:
    """(N, D) half precision on the CPU: the mean over the views, standardised as the teacher does."""
    mean, scale = (
        tensor.cpu().double().numpy() for tensor in (teacher.standard.mean, teacher.standard.scale)
    )
    found = phi.scratch(len(mean))
    for start, block in phi.blocks():
        rows = torch.from_numpy((block.mean(1, dtype=np.float64) - mean) / scale).half()
        found[start : start + len(block)] = rows.numpy()
    return torch.from_numpy(found)


def _suited(student: nn.Module, compute: Compute, config: AdaptConfig) -> Compute:
    """float32 where nothing else was asked for and bf16 is slower: depthwise convolutions on a CPU."""
    depthwise = any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in student.modules())
    if depthwise and compute.device.type == "cpu" and config.precision == "auto":
        return Compute(compute.device, "fp32")
    return compute


def _how_it_went(config: AdaptConfig, agrees: float, frames: int) -> str:
    start = (
        f"tgkt: the {config.student.arch} gives {agrees:.1%} of the {frames} target frames the class that its teacher "
        f"gives them"
    )
    if agrees < FEW:
        return (
            f"{start}: it has not learnt enough. `set_=distill.epochs={2 * config.distill.epochs}`, or "
            f"`student_weights` of a network that has seen more images"
        )
    if config.student.weights == "none":
        return (
            f"{start}. It began from nothing and saw these frames alone: on others it is less accurate, more so the "
            f"fewer they are (see the documentation, target networks). `student_weights` helps"
        )
    return start


FEW = 0.9
"""Share of agreement with the teacher under which the person is advised."""
