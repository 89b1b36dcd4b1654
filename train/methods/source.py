"""Stage 1: train the source model on labelled RGB. Skipped where the user already has one."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import Images
from tgkt_edge.train.batches import Store, batches, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.checkpoint import load_imagenet
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, normalise
from tgkt_edge.train.nn.optim import classifier_sgd, descend
from tgkt_edge.train.nn.shared_norm import share_norms
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
    model = share_norms(compute.place(model), ranks)
    sgd = classifier_sgd(model, cfg, classifier=True)
    store = Store(images.rgb, compute.device)
    labels = torch.from_numpy(images.labels).to(compute.device)
    steps = steps_per_epoch(len(images), config.batch)
    done = state.load({"model": model}, {"sgd": sgd})

    with log.stage("source", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            model.train()
            rng = epoch_rng(config.seed, "source", epoch)
            for step, index in enumerate(batches(rng, len(images), config.batch), start=epoch * steps):
                mine = ranks.part(len(index))
                x = normalise(store.take(random_views(rng, index, store.side, size)[mine], size))
                with compute.autocast():
                    logits = model(x)  # (B, K)
                loss = F.cross_entropy(
                    logits.float(),
                    labels[torch.from_numpy(index[mine]).to(compute.device)],
                    label_smoothing=cfg.label_smoothing,
                )
                loss = ranks.mean(loss, len(index))
                descend(sgd, loss, step, cfg.epochs * steps, ranks=ranks)
                stage.step({"loss": loss})
            state.save(epoch + 1, {"model": model}, {"sgd": sgd})
    return model.eval()
