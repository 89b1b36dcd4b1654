"""Stage 1: train the source model on labelled RGB. Skipped where the user already has one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Images
from tgkt_edge.train.batches import Store, ahead, batches, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.checkpoint import load_imagenet
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms
from tgkt_edge.train.nn.model import SceneClassifier, normalise
from tgkt_edge.train.nn.optim import classifier_sgd, descend
from tgkt_edge.train.resume_state import StageState


def load_pretrained(model: SceneClassifier, config: AdaptConfig, log: RunLog) -> None:
    """Fill the backbone from ``config.weights``, and log it if their scale was changed."""
    divisor = load_imagenet(model, config.weights)
    if divisor != 1:
        log.say(
            f"`weights={config.weights}`: first convolution divided by {divisor:g}, its batch norm adjusted: the same "
            f"network at torchvision's scale, without which this layer hardly learns"
        )


def train_source(
    images: Images, config: AdaptConfig, compute: Compute, log: RunLog, state: StageState
) -> SceneClassifier:
    """Cross-entropy with label smoothing on random crops; returns the model of the last epoch in evaluation mode."""
    cfg, size = config.source, config.image_size
    torch.manual_seed(config.seed)
    model = SceneClassifier(len(images.classes))
    load_pretrained(model, config, log)
    ranks = compute.ranks
    model = compute.learner(model, config.accumulate)
    sgd = classifier_sgd(model, cfg, classifier=True)
    store = Store(images.rgb, compute.device)
    labels = torch.from_numpy(images.labels).to(compute.device)
    steps = steps_per_epoch(len(images), config.batch)
    done = state.load({"model": model}, {"sgd": sgd})

    def forward(x: Tensor) -> Outputs:
        with compute.autocast():
            return (model(x),)  # (B, K)

    def losses(outputs: Outputs, known: Outputs, rows: int) -> Terms:
        loss = F.cross_entropy(outputs[0].float(), known[0], label_smoothing=cfg.label_smoothing)
        return {"loss": ranks.mean(loss, rows)}

    objective = Objective(model, forward, losses, config.accumulate, by_row=True)

    def drawn(epoch: int) -> Iterator[tuple[Tensor, Tensor, int]]:
        rng = epoch_rng(config.seed, "source", epoch)
        for index in batches(rng, len(images), config.batch):
            mine = ranks.part(len(index))
            x = normalise(store.take(random_views(rng, index, store.side, size)[mine], size))
            yield x, labels[torch.from_numpy(index[mine]).to(compute.device)], len(index)

    with log.stage("source", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            model.train()
            for step, (x, y, rows) in enumerate(ahead(drawn(epoch), compute.device), start=epoch * steps):
                backward = partial(objective.backward, (x,), (y,), rows)
                _, terms = descend(sgd, backward, step, cfg.epochs * steps, ranks=ranks)
                stage.step(terms)
            state.save(epoch + 1, {"model": model}, {"sgd": sgd})
    return model.eval()
