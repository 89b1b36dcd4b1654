"""The networks against the paper's own figures and METHOD.md's traps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tgkt_edge.train.nn.model import (
    FEATURES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Bottleneck,
    SceneClassifier,
    Translator,
    discriminator,
    frozen,
    normalise,
)


@pytest.fixture(scope="module")
def classifier() -> SceneClassifier:
    torch.manual_seed(0)
    # Many classes, so that the sample variance of the classifier's weights is known to within a per cent.
    return SceneClassifier(200)


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# Translation net


def test_translator_has_the_papers_2851_parameters() -> None:
    # 3*16*9 + 2*16 + 16*16*9 + 2*16 + 16*3 + 3
    assert count(Translator()) == 432 + 32 + 2304 + 32 + 48 + 3 == 2851


def test_translator_costs_the_papers_190840832_macs_at_256_pixels() -> None:
    """Counted as thop does: a convolution's multiplications, bias left out, and 4 a batch-norm output element."""
    macs = 0

    def add(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += output.numel() * module.in_channels * module.kernel_size[0] * module.kernel_size[1]
        elif isinstance(module, nn.BatchNorm2d):
            macs += 4 * output.numel()

    model = Translator().eval()
    for module in model.modules():
        module.register_forward_hook(add)
    with torch.no_grad():
        model(torch.zeros(1, 3, 256, 256))
    assert macs == 190_840_832


def test_translated_images_are_rgb_in_the_imagenet_normalised_space() -> None:
    torch.manual_seed(0)
    model = Translator().train()
    with torch.no_grad():
        model.out_conv.weight.mul_(1000)  # drives the sigmoid to both of its ends
        out = model(normalise(torch.rand(4, 1, 32, 32)))
    assert out.shape == (4, 3, 32, 32)
    for channel, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)):
        # 0 and 1 in the unit space: for red (0 - 0.485) / 0.229 = -2.118 and (1 - 0.485) / 0.229 = 2.249
        assert out[:, channel].min().item() == pytest.approx((0 - mean) / std, abs=1e-3)
        assert out[:, channel].max().item() == pytest.approx((1 - mean) / std, abs=1e-3)


def test_translation_stays_float32_under_bf16_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert Translator()(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


# Inputs


def test_a_one_channel_frame_enters_as_itself_three_times() -> None:
    frame = torch.rand(2, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(normalise(frame), normalise(frame.repeat(1, 3, 1, 1)))


def test_normalise_by_hand() -> None:
    unit = torch.tensor([0.485, 0.456, 1.0]).view(1, 3, 1, 1)
    # the means of red and green become 0; blue: (1 - 0.406) / 0.225 = 2.64
    torch.testing.assert_close(normalise(unit).flatten(), torch.tensor([0.0, 0.0, 2.64]))


# Classifier


def test_features_are_256_wide_and_may_be_negative(classifier: SceneClassifier) -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        classifier.eval()
        features = classifier.features(x)
        logits = classifier(x)
    assert features.shape == (2, 256) == (2, FEATURES)
    # No ReLU after the bottleneck: a batch-normed feature is negative about as often as positive.
    assert 0.2 < (features < 0).float().mean().item() < 0.8
    assert torch.equal(logits, classifier.classifier(features))
    assert logits.shape == (2, 200)


def test_the_bottleneck_is_a_linear_layer_and_a_batch_norm_only(classifier: SceneClassifier) -> None:
    kinds = [type(module) for module in classifier.bottleneck.children()]
    assert kinds == [nn.Linear, nn.BatchNorm1d]
    assert classifier.bottleneck.linear.weight.shape == (256, 2048)


def test_the_bottleneck_starts_xavier_normal_with_zero_bias() -> None:
    torch.manual_seed(0)
    linear = Bottleneck().linear
    assert torch.count_nonzero(linear.bias) == 0
    # xavier: sqrt(2 / (2048 + 256)) = 0.02946; nn.Linear's own would be 1 / sqrt(3 * 2048) = 0.01276
    assert linear.weight.std().item() == pytest.approx(math.sqrt(2 / 2304), rel=0.01)


def test_the_weight_normed_classifier_computes_with_its_xavier_initialisation(
    classifier: SceneClassifier,
) -> None:
    """Initialising after the weight norm was put on would silently do nothing: the effective weight is computed."""
    effective = classifier.classifier.weight
    # xavier: sqrt(2 / (256 + 200)) = 0.0662; nn.Linear's own would be 1 / sqrt(3 * 256) = 0.0361
    assert effective.std().item() == pytest.approx(math.sqrt(2 / 456), rel=0.02)
    assert torch.count_nonzero(classifier.classifier.bias) == 0
    basis = torch.eye(256)
    with torch.no_grad():
        torch.testing.assert_close(classifier.classifier(basis), effective.T)


def test_the_classifier_is_weight_normed_row_by_row(classifier: SceneClassifier) -> None:
    parts = dict(classifier.classifier.named_parameters())
    magnitude = parts["parametrizations.weight.original0"]
    direction = parts["parametrizations.weight.original1"]
    assert magnitude.shape == (200, 1)
    by_definition = magnitude * direction / direction.norm(dim=1, keepdim=True)
    torch.testing.assert_close(classifier.classifier.weight, by_definition)


def test_the_backbone_has_the_v15_strides(classifier: SceneClassifier) -> None:
    for layer in (classifier.backbone.layer2, classifier.backbone.layer3, classifier.backbone.layer4):
        assert layer[0].conv1.stride == (1, 1)  # v1 strides here
        assert layer[0].conv2.stride == (2, 2)  # v1.5 strides here


def test_the_classifier_has_resnet50s_parameters_and_its_head(classifier: SceneClassifier) -> None:
    # torchvision's ResNet-50 has 25,557,032, its last layer 2048 * 1000 + 1000
    backbone = 25_557_032 - 2_049_000
    head = (2048 * 256 + 256 + 2 * 256) + (256 * 200 + 200 + 200)
    assert count(classifier) == backbone + head
    assert not any(isinstance(module, nn.Dropout) for module in classifier.modules())
    assert classifier.num_classes == 200


def test_a_frozen_model_learns_nothing_but_passes_gradients_on() -> None:
    model = frozen(Translator())
    x = torch.zeros(1, 3, 8, 8, requires_grad=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model(x).sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# Discriminators


def test_a_discriminator_is_256_500_500_1() -> None:
    model = discriminator()
    linear = [module for module in model if isinstance(module, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(256, 500), (500, 500), (500, 1)]
    assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert model(torch.zeros(3, 256)).shape == (3, 1)
