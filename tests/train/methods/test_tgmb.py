"""Stage 2: which way the adversaries pull, what stays frozen, and one recorded step against the plain formulas."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig, TgmbConfig
from tgkt_edge.train.batches import Store, batches, endless, epoch_rng, random_views
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.tgmb import discriminator_loss, train_tgmb, translator_adversary
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, discriminator, frozen, normalise
from tgkt_edge.train.resume_state import StageState

CPU = Compute(torch.device("cpu"), "fp32")
FLIPPED, MINMAX = TgmbConfig(), TgmbConfig(adversary="eq3-minmax")
CONFIG = AdaptConfig(image_size=32, batch=4, weights="none", tgmb=TgmbConfig(epochs=1))


@pytest.fixture(scope="module")
def source() -> SceneClassifier:
    torch.manual_seed(0)
    model = SceneClassifier(3)
    for module in model.modules():  # statistics of some images, so that activations stay near one
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(normalise(torch.rand(8, 3, 32, 32)))
    frozen(model)
    return model


def stores(n: int) -> tuple[Store, Store, Store]:
    """Target frames, paired RGB and paired frames."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 65536, (2, n, 37, 37), dtype=np.uint16)
    rgb = rng.integers(0, 256, (n, 37, 37, 3), dtype=np.uint8)
    return Store(codes[0], CPU.device), Store(rgb, CPU.device), Store(codes[1], CPU.device)


class Constant(nn.Module):
    """A discriminator that answers sigmoid(a feature's first number)."""

    def forward(self, features: Tensor) -> Tensor:
        return features[:, :1]


def probability(p: float, n: int = 2) -> Tensor:
    """Features that Constant gives probability p."""
    return torch.full((n, 256), math.log(p / (1 - p)))


# Equations (2) to (4)


def test_discriminator_loss_by_hand() -> None:
    real, fake_ti, fake_tr = probability(0.8), probability(0.6), probability(0.3)
    d = Constant()
    # D1: real 1, T(TI) 0. D2: T(TI) 1, T(TR) 0.
    expected = -(math.log(0.8) + math.log(0.4) + math.log(0.6) + math.log(0.7))
    assert discriminator_loss(d, d, real, fake_ti, fake_tr, FLIPPED).item() == pytest.approx(
        expected, rel=1e-5
    )
    # As (3) is printed, D2's labels are the other way round.
    printed = -(math.log(0.8) + math.log(0.4) + math.log(0.4) + math.log(0.3))
    assert discriminator_loss(d, d, real, fake_ti, fake_tr, MINMAX).item() == pytest.approx(printed, rel=1e-5)


def test_flipped_adversary_by_hand() -> None:
    first, second = translator_adversary(Constant(), Constant(), probability(0.6), probability(0.3), FLIPPED)
    assert first.item() == pytest.approx(-math.log(0.6), rel=1e-5)  # D1(T(TI)) -> 1
    assert second.item() == pytest.approx(-math.log(0.3), rel=1e-5)  # D2(T(TR)) -> 1


def test_minmax_adversary_is_the_likelihood_that_the_discriminators_raise() -> None:
    fake_ti, fake_tr = probability(0.6), probability(0.3)
    first, second = translator_adversary(Constant(), Constant(), fake_ti, fake_tr, MINMAX)
    assert first.item() == pytest.approx(math.log(1 - 0.6), rel=1e-5)  # of (2), the term with T
    assert second.item() == pytest.approx(math.log(0.3) + math.log(1 - 0.6), rel=1e-5)  # (3) as printed
    # Together with the term of real images, which T cannot change, it is minus what the discriminators minimise.
    real = probability(0.8)
    d_loss = discriminator_loss(Constant(), Constant(), real, fake_ti, fake_tr, MINMAX).item()
    assert first.item() + second.item() + math.log(0.8) == pytest.approx(-d_loss, rel=1e-5)


@pytest.mark.slow
def test_a_step_of_the_translator_fools_both_discriminators(source: SceneClassifier) -> None:
    torch.manual_seed(3)
    translator, d1, d2 = Translator(), discriminator(), discriminator()
    x = normalise(torch.rand(8, 1, 32, 32))

    def answers() -> tuple[Tensor, Tensor]:
        features = source.features(translator(x))
        return features[:4], features[4:]

    with torch.no_grad():
        ti, tr = answers()
        before = d1(ti).sigmoid().mean().item(), d2(tr).sigmoid().mean().item()
    for which, discriminator_of in enumerate((d1, d2)):
        stepped = copy.deepcopy(translator)
        loss = translator_adversary(d1, d2, *answers(), FLIPPED)[which]
        gradients = torch.autograd.grad(loss, list(translator.parameters()))
        scale = 1e-2 / max(g.abs().max().item() for g in gradients)
        with torch.no_grad():
            for parameter, gradient in zip(stepped.parameters(), gradients, strict=True):
                parameter.sub_(scale * gradient)
            features = source.features(stepped(x))
            after = discriminator_of((features[:4], features[4:])[which]).sigmoid().mean().item()
        assert after > before[which]


def test_flipped_second_adversary_moves_only_the_translated_target_frames() -> None:
    torch.manual_seed(0)
    ti, tr = torch.randn(4, 256, requires_grad=True), torch.randn(4, 256, requires_grad=True)
    first, second = translator_adversary(discriminator(), discriminator(), ti, tr, FLIPPED)
    assert torch.autograd.grad(first, tr, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(second, ti, allow_unused=True)[0] is None


# Training


@pytest.mark.slow
def test_training_leaves_the_source_model_bit_identical(source: SceneClassifier, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in source.state_dict().items()}
    assert any(name.endswith("running_mean") for name in before)
    torch.manual_seed(CONFIG.seed + 1)
    start = Translator().state_dict()
    with RunLog(None) as log:
        trained = train_tgmb(source, *stores(6), CONFIG, CPU, log, StageState(None, 0))
    after = source.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert not source.training
    assert not trained.training
    for name, value in trained.state_dict().items():
        assert not torch.equal(value, start[name]), f"{name} did not change"


@pytest.mark.slow
def test_the_first_recorded_step_is_the_papers_loss_computed_plainly(
    source: SceneClassifier, tmp_path: Path
) -> None:
    """T and F_s run once in training; here every term is computed on its own, F_s again for each discriminator."""
    config = replace(CONFIG, seed=5)
    target, rgb, frames = stores(4)  # one batch: one step
    with RunLog(tmp_path) as log:
        train_tgmb(source, target, rgb, frames, config, CPU, log, StageState(None, 0))
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    recorded = json.loads(line)

    torch.manual_seed(config.seed + 1)
    translator, d1, d2 = Translator(), discriminator(), discriminator()
    rng = epoch_rng(config.seed, "tgmb", 0)
    (tr,) = batches(rng, 4, 4)
    (ti,) = endless(rng, 4, [4])
    ti_views, tr_views = random_views(rng, ti, 37, 32), random_views(rng, tr, 37, 32)
    x_ti_s = normalise(rgb.take(ti_views, 32))
    x_t = normalise(torch.cat([frames.take(ti_views, 32), target.take(tr_views, 32)]))
    with torch.no_grad():
        translated = translator(x_t)
        t_ti, t_tr = translated[:4], translated[4:]
        p = source(t_tr).softmax(1)
        mean = p.mean(0)
        rec = (x_ti_s - t_ti).square().mean()
        adv1 = -F.logsigmoid(d1(source.features(t_ti))).mean()
        adv2 = -F.logsigmoid(d2(source.features(t_tr))).mean()
        im = (mean * (mean + 1e-5).log()).sum() - (p * (p + 1e-5).log()).sum(1).mean()
        disc = -(
            F.logsigmoid(d1(source.features(x_ti_s))).mean()
            + F.logsigmoid(-d1(source.features(t_ti))).mean()
            + F.logsigmoid(d2(source.features(t_ti))).mean()
            + F.logsigmoid(-d2(source.features(t_tr))).mean()
        )
    plain = {"rec": rec, "d1": adv1, "d2": adv2, "im": im, "disc": disc}
    plain["loss"] = rec + adv1 + adv2 + 0.2 * im
    for name, value in plain.items():
        assert recorded[name] == pytest.approx(value.item(), rel=1e-5, abs=1e-5), name


@pytest.mark.slow
def test_a_weight_of_zero_takes_a_term_out(source: SceneClassifier) -> None:
    """The ablations of Table 4 by configuration alone: reconstruction only does not depend on the source model."""

    def trained(model: SceneClassifier, **weights: float) -> dict[str, Tensor]:
        config = replace(CONFIG, tgmb=replace(CONFIG.tgmb, **weights))  # type: ignore[arg-type]
        with RunLog(None) as log:
            return train_tgmb(model, *stores(4), config, CPU, log, StageState(None, 0)).state_dict()

    torch.manual_seed(9)
    other = copy.deepcopy(source)
    nn.init.normal_(other.bottleneck.linear.weight)
    alone, alone_other = trained(source, d1=0, d2=0, im=0), trained(other, d1=0, d2=0, im=0)
    whole, whole_other = trained(source), trained(other)
    name = "double_conv.0.weight"
    assert torch.equal(alone[name], alone_other[name])
    assert not torch.equal(whole[name], whole_other[name])
    assert not torch.equal(whole[name], alone[name])
