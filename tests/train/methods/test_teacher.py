"""The teacher of TGKT: which network answers to what, with which batch-norm statistics, and without gradients."""

from __future__ import annotations

import pytest
import torch

from tests.support.training import Stores, tgkt_options
from tgkt_edge.train.batches import Store, center_views
from tgkt_edge.train.methods.teacher import make_teacher
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator, normalise

CPU = Compute(torch.device("cpu"), "fp32")


def cropped(store: Store) -> torch.Tensor:
    return normalise(store.take(center_views(torch.arange(4).numpy(), store.side, 32), 32))


def test_frames_go_through_translator_source_and_classifier(
    untrained: Classifier, translator: Translator, four: Stores
) -> None:
    teacher = make_teacher(untrained, translator, four[0], tgkt_options(), CPU)
    frames = cropped(four[0])
    with torch.no_grad():
        expected = untrained(translator(frames))
    found = teacher.logits(frames)
    assert torch.equal(found, expected)
    assert not found.requires_grad
    torch.testing.assert_close(teacher.answers(four[0], tgkt_options()), expected.softmax(1))


def test_frames_may_enter_as_they_are(untrained: Classifier, translator: Translator, four: Stores) -> None:
    teacher = make_teacher(untrained, translator, four[0], tgkt_options("tgkt.teacher_input=frame"), CPU)
    with torch.no_grad():
        assert torch.equal(teacher.logits(cropped(four[0])), untrained(cropped(four[0])))


@pytest.mark.slow
def test_rgb_is_seen_by_the_source_itself(
    untrained: Classifier, translator: Translator, four: Stores
) -> None:
    """Whatever batch-norm statistics the network has that sees translated frames."""
    rgb = cropped(four[1])
    with torch.no_grad():
        expected = untrained.features(rgb)
    for norm in ("source", "translated"):
        teacher = make_teacher(untrained, translator, four[0], tgkt_options(f"tgkt.teacher_norm={norm}"), CPU)
        found = teacher.features(rgb)
        assert torch.equal(found, expected)
        assert not found.requires_grad


def test_the_statistics_may_be_those_of_the_translated_frames(
    untrained: Classifier, translator: Translator, four: Stores
) -> None:
    before = {key: value.clone() for key, value in untrained.state_dict().items()}
    teacher = make_teacher(untrained, translator, four[0], tgkt_options("tgkt.teacher_norm=translated"), CPU)
    translated = teacher.translated_source
    with torch.no_grad():
        seen = untrained.backbone.conv1(translator(cropped(four[0])))  # (4, 64, H, W)
    torch.testing.assert_close(
        translated.backbone.bn1.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-4
    )
    changed = [key for key, value in translated.state_dict().items() if not torch.equal(value, before[key])]
    assert changed
    assert all(key.endswith(("running_mean", "running_var", "num_batches_tracked")) for key in changed)
    assert all(torch.equal(value, before[key]) for key, value in untrained.state_dict().items())
