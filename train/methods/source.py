"""Stage 1: train the source model on labelled RGB. Skipped where the user already has one."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Images
from tgkt_edge.train.batches import Store, batches, epoch_rng, random_views
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.checkpoint import load_imagenet
from tgkt_edge.train.nn.device import Compute, inverse_decay, set_rates
from tgkt_edge.train.nn.model import Classifier, SceneClassifier, normalise
from tgkt_edge.train.resume_state import StageState


def classifier_groups(
    model: Classifier, lr: float, head_lr: float, classifier: bool
) -> list[dict[str, object]]:
    """SGD parameter groups: backbone at ``lr``; bottleneck, and the classifier if it is to learn, at ``head_lr``."""
    head = model.head_parameters() + (list(model.classifier.parameters()) if classifier else [])
    return [{"params": list(model.backbone.parameters()), "base": lr}, {"params": head, "base": head_lr}]


def load_pretrained(model: SceneClassifier, config: AdaptConfig, log: RunLog) -> None:
    """Fill the backbone as ``config.weights`` says, and say if their scale was changed."""
    divisor = load_imagenet(model, config.weights)
    if divisor != 1:
        log.say(
            f"--weights {config.weights}: first convolution divided by {divisor:g}, its batch norm adjusted: the same "
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
    model = compute.place(model)
    sgd = torch.optim.SGD(
        classifier_groups(model, cfg.lr, cfg.head_lr, classifier=True),
        lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay, nesterov=cfg.momentum > 0,
    )  # fmt: skip
    store = Store(images.rgb, compute.device)
    labels = torch.from_numpy(images.labels).to(compute.device)
    steps = len(batches(np.random.default_rng(0), len(images), config.batch))
    done = state.load({"model": model}, {"sgd": sgd})

    with log.stage("source", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            model.train()
            rng = epoch_rng(config.seed, "source", epoch)
            for step, index in enumerate(batches(rng, len(images), config.batch), start=epoch * steps):
                set_rates(sgd, inverse_decay(step, cfg.epochs * steps))
                x = normalise(store.take(random_views(rng, index, store.side, size), size))
                with compute.autocast():
                    logits = model(x)  # (B, K)
                loss = F.cross_entropy(
                    logits.float(),
                    labels[torch.from_numpy(index).to(compute.device)],
                    label_smoothing=cfg.label_smoothing,
                )
                sgd.zero_grad(set_to_none=True)
                loss.backward()
                sgd.step()
                stage.step({"loss": loss})
            state.save(epoch + 1, {"model": model}, {"sgd": sgd})
    return model.eval()
