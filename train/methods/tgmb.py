"""Stage 2, TGMB: learn the translation net T, with the source model frozen (paper, section 3.1, algorithm 1)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig, TgmbConfig
from tgkt_edge.train.batches import Store, ahead, batches, endless, epoch_rng, random_views, steps_per_epoch
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.losses import (
    domain_loss,
    information_maximisation,
    squared_distance,
)
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.fused import on_fused_kernels
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms
from tgkt_edge.train.nn.model import Classifier, Translator, discriminator, normalise
from tgkt_edge.train.nn.optim import descend, nesterov_sgd
from tgkt_edge.train.resume_state import StageState


def train_tgmb(
    source: Classifier,
    target: Store,
    paired_rgb: Store,
    paired_frames: Store,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    state: StageState,
) -> Translator:
    """Train T and the discriminators D1, D2; return T of the last epoch in evaluation mode.

    Args:
        source: C(F_s(.)), frozen, in evaluation mode, on the device.
        target: unlabelled frames of the task (TR). paired_rgb, paired_frames: other scenes (TI), row by row.
    """
    cfg, size = config.tgmb, config.image_size
    torch.manual_seed(config.seed + 1)
    ranks = compute.ranks
    translator = compute.learner(Translator(), config.accumulate)
    d1, d2 = (discriminator(source.width).to(compute.device) for _ in range(2))
    optimizer = translator_optimizer(translator, cfg)
    adam = on_fused_kernels(
        torch.optim.Adam, [{"params": [*d1.parameters(), *d2.parameters()]}], lr=cfg.d_lr, betas=(0.5, 0.9)
    )
    # A frame is never alone: T gets it together with paired frames.
    steps = steps_per_epoch(len(target), config.batch, least=1)
    modules = {"translator": translator, "d1": d1, "d2": d2}
    optimizers: dict[str, torch.optim.Optimizer] = {"sgd": optimizer, "adam": adam}
    done = state.load(modules, optimizers)

    def forward(ti: Tensor, tr: Tensor) -> Outputs:
        # T sees TI and TR in one batch, so that its batch norm learns the mixture it is later used with.
        n = len(ti)
        with compute.autocast():
            translated = translator(torch.cat([ti, tr]))  # (2B, 3, S, S)
            features = source.features(translated)
            logits = source.classifier(features[n:])
        return translated[:n], features[:n].float(), features[n:].float(), logits

    rec_only = False

    def losses(outputs: Outputs, known: Outputs, rows: int) -> Terms:
        mean = partial(ranks.mean, size=rows)
        translated, fake_ti, fake_tr, logits = outputs
        rec = mean(squared_distance(known[0], translated, cfg.rec_distance))
        adv1, adv2 = map(mean, translator_adversary(d1, d2, fake_ti, fake_tr, cfg))
        im = information_maximisation(logits, None, ranks, rows)
        if rec_only:
            loss = cfg.rec * rec
        else:
            loss = cfg.rec * rec + cfg.d1 * adv1 + cfg.d2 * adv2 + cfg.im * im
        return {"loss": loss, "rec": rec, "d1": adv1, "d2": adv2, "im": im}

    objective = Objective(translator, forward, losses, config.accumulate)

    def drawn(epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
        rng = epoch_rng(config.seed, "tgmb", epoch)
        tr_batches = batches(rng, len(target), config.batch, least=1)
        ti_batches = endless(rng, len(paired_rgb), [len(index) for index in tr_batches])
        for tr, ti in zip(tr_batches, ti_batches, strict=True):
            mine = ranks.part(len(tr))  # as many TI as TR
            ti_views = random_views(rng, ti, paired_rgb.side, size)[mine]
            tr_views = random_views(rng, tr, target.side, size)[mine]
            rgb, ti_frames = (
                normalise(images.take(ti_views, size)) for images in (paired_rgb, paired_frames)
            )
            yield rgb, ti_frames, normalise(target.take(tr_views, size)), len(tr)

    with log.stage("tgmb", cfg.epochs, steps, done) as stage:
        for epoch in range(done, cfg.epochs):
            rec_only = epoch < cfg.rec_epochs
            taken = enumerate(ahead(drawn(epoch), compute.device), start=epoch * steps)
            for step, (rgb, ti_frames, tr_frames, rows) in taken:
                with torch.no_grad(), compute.autocast():
                    real = source.features(rgb)
                backward = partial(objective.backward, (ti_frames, tr_frames), (rgb,), rows)
                outputs, terms = descend(optimizer, backward, step, cfg.epochs * steps, ranks=ranks)

                # The discriminators learn from the same features: the source model is not run again for them.
                _, fake_ti, fake_tr, _ = outputs
                d_loss = ranks.mean(discriminator_loss(d1, d2, real.float(), fake_ti, fake_tr, cfg), rows)
                adam.zero_grad(set_to_none=True)
                d_loss.backward()
                ranks.sum_gradients([*d1.parameters(), *d2.parameters()])
                adam.step()
                stage.step({**terms, "disc": d_loss})
            state.save(epoch + 1, modules, optimizers)
    return translator.eval()


def translator_optimizer(translator: Translator, cfg: TgmbConfig) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum as the paper has it, or Adam with weight decay apart from the gradient."""
    groups = [{"params": list(translator.parameters()), "base": cfg.lr}]
    if cfg.optimizer == "adam":
        return on_fused_kernels(
            torch.optim.AdamW, groups, lr=cfg.lr, betas=(cfg.momentum, 0.999), weight_decay=cfg.weight_decay
        )
    return nesterov_sgd(groups, cfg)


def discriminator_loss(
    d1: nn.Module, d2: nn.Module, real: Tensor, fake_ti: Tensor, fake_tr: Tensor, cfg: TgmbConfig
) -> Tensor:
    """What D1 and D2 minimise: (2) and (3) as binary cross-entropy.

    D1 separates F_s of TI RGB (1) from translated TI (0). D2 separates translated TI (1) from translated TR (0); under
    "eq3-minmax" the other way round, as equation (3) is printed.

    Args:
        real, fake_ti, fake_tr: (B, 256) features that take no gradient.
    """
    ti_first = cfg.adversary == "flipped"
    return (
        domain_loss(d1(real), True)
        + domain_loss(d1(fake_ti), False)
        + domain_loss(d2(fake_ti), ti_first)
        + domain_loss(d2(fake_tr), not ti_first)
    )


def translator_adversary(
    d1: nn.Module, d2: nn.Module, fake_ti: Tensor, fake_tr: Tensor, cfg: TgmbConfig
) -> tuple[Tensor, Tensor]:
    """What T minimises against D1 and against D2, with gradients into ``fake_ti`` and ``fake_tr``.

    "flipped": labels swapped, which keeps gradients alive when a discriminator is confident: D1(T(TI)) -> 1 and
    D2(T(TR)) -> 1. "eq3-minmax": T minimises the likelihoods (2) and (3) that the discriminators maximise.
    """
    if cfg.adversary == "flipped":
        return domain_loss(d1(fake_ti), True), domain_loss(d2(fake_tr), True)
    return -domain_loss(d1(fake_ti), False), -(
        domain_loss(d2(fake_tr), True) + domain_loss(d2(fake_ti), False)
    )
