"""A target network of another kind learns what the translation's network sees, and its labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig, DistillConfig, StudentConfig, build_config
from tgkt_edge.errors import ConfigError
from tgkt_edge.train.batches import Store, Views
from tgkt_edge.train.logger import RunLog, StageLog
from tgkt_edge.train.methods.distill import Frames, Mapped, distill, rising_and_falling
from tgkt_edge.train.methods.translation.features import Features, Kind, extract
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, SceneClassifier, frozen, normalise
from tgkt_edge.train.nn.named_network import NamedClassifier
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState

CPU = Compute(torch.device("cpu"), "fp32")
Reals = NDArray[np.float64]
LABELS: Reals = np.eye(3)[[0, 1, 2, 1]] * 0.7 + 0.1


@pytest.fixture(scope="module")
def teacher(untrained: Classifier) -> Classifier:
    model = SceneClassifier(3, (2, 3, 4))
    model.backbone.load_state_dict(untrained.backbone.state_dict())
    return frozen(model)


@pytest.fixture(scope="module")
def seen(
    teacher: Classifier, four: tuple[Store, Store, Store], module_folder: Callable[[str], Path]
) -> tuple[Frames, Frames]:
    """The task's four frames and the pairs', with their features; the teacher is standardised by the former."""
    folder = module_folder("features")
    kind = Kind(teacher.pooled, True)

    def features(store: Store) -> Features:
        return extract("frames", teacher.backbone, store, kind, 32, 4, CPU, RunLog(None), folder)

    target, _, pairs = four
    own = features(target)
    (_, block), *_ = own.blocks()
    rows = torch.from_numpy(block.reshape(-1, block.shape[-1]))
    teacher.standard.mean.copy_(rows.mean(0))
    teacher.standard.scale.copy_(rows.std(0).clamp_min(1e-4))
    nn.init.normal_(teacher.classifier.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    return Frames(target, own), Frames(pairs, features(pairs))


def learnt(
    teacher: Classifier, seen: tuple[Frames, Frames], state: StageState | None = None, **options: object
) -> Classifier:
    options = {"epochs": 3, **options}
    return train(teacher, seen, LABELS, 4, state, **options)  # type: ignore[arg-type]


def train(
    teacher: Classifier,
    seen: tuple[Frames, Frames],
    labels: Reals,
    batch: int,
    state: StageState | None = None,
    arch: str = "shufflenet_v2_x0_5",
    **options: object,
) -> Classifier:
    settings = dataclasses.replace(DistillConfig(), **options)  # type: ignore[arg-type]
    student = StudentConfig(arch, "none")
    config = dataclasses.replace(AdaptConfig(), image_size=32, batch=batch, student=student, distill=settings)
    return distill(teacher, *seen, labels, config, CPU, RunLog(None), state or StageState(None, 0))


def levels(count: int) -> Store:
    """Frames of three kinds in turn, near, middle and far, each with noise of its own."""
    rng = np.random.default_rng(0)
    frames = [0.2 + 0.3 * (n % 3) + rng.uniform(-0.1, 0.1, (36, 36)) for n in range(count)]
    return Store((np.stack(frames) * 65535).astype(np.uint16), CPU.device)


@pytest.mark.slow
def test_it_learns_the_labels_and_the_teacher_stays(
    teacher: Classifier, seen: tuple[Frames, Frames], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    store = levels(24)
    phi = extract(
        "frames", teacher.backbone, store, Kind(teacher.pooled, True), 32, 8, CPU, RunLog(None), tmp_path
    )
    labels: Reals = np.eye(3)[np.arange(24) % 3] * 0.7 + 0.1
    student = train(
        teacher, (Frames(store, phi), seen[1]), labels, 28, arch="resnet18", epochs=16, features=0.1
    )
    assert isinstance(student, NamedClassifier)
    assert not student.training
    answers = predict_target(student, levels(24), 32, 8, CPU)[1]
    assert (answers.argmax(1).numpy() == np.arange(24) % 3).mean() > 0.9
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    told = " ".join(capfd.readouterr().err.split())
    assert "of the 24 target frames the class that its teacher gives them. It began from nothing" in told


def test_map_and_classifier_are_one_matrix_in_the_end(teacher: Classifier) -> None:
    torch.manual_seed(0)
    mapped = Mapped(NamedClassifier("shufflenet_v2_x0_5", 3), teacher.classifier).eval()
    x = normalise(torch.rand(2, 1, 32, 32))
    with torch.no_grad():
        seen, logits = mapped(x)
        torch.testing.assert_close(logits, teacher.classifier(seen))
        torch.testing.assert_close(mapped.joined()(x), logits, rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in mapped.head.parameters())


@pytest.mark.slow
def test_the_frames_of_pairs_are_learnt_from_where_features_count(
    teacher: Classifier, seen: tuple[Frames, Frames]
) -> None:
    """With other features of the pairs it is another network; without weight on features they change nothing."""

    class Shifted(Features):
        def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
            for start, block in super().blocks():
                yield start, block + 1

    own, other = seen
    moved = Frames(other.store, Shifted(other.phi._files, len(other.phi)))
    one, two = learnt(teacher, seen).state_dict(), learnt(teacher, (own, moved)).state_dict()
    assert not torch.equal(one["backbone.conv1.0.weight"], two["backbone.conv1.0.weight"])
    one, two = (learnt(teacher, (own, pairs), features=0.0).state_dict() for pairs in (other, moved))
    assert all(torch.equal(value, two[key]) for key, value in one.items())


class Stopped(Exception):
    """Stands for a power cut."""


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["shufflenet_v2_x0_5", "mobilenet_v3_small"])  # the second one has dropout
def test_an_interrupted_run_goes_on_bit_for_bit(
    arch: str,
    teacher: Classifier,
    seen: tuple[Frames, Frames],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "tgkt.safetensors"
    whole = learnt(teacher, seen, arch=arch).state_dict()
    usual = StageLog.step

    def step(self: StageLog, terms: dict[str, Tensor]) -> None:
        if self._step == 5:  # in the third epoch
            raise Stopped
        usual(self, terms)

    monkeypatch.setattr(StageLog, "step", step)
    with pytest.raises(Stopped):
        learnt(teacher, seen, StageState(file, 0), arch=arch)
    monkeypatch.setattr(StageLog, "step", usual)
    assert file.is_file()
    resumed = learnt(teacher, seen, StageState(file, 0), arch=arch).state_dict()
    assert [key for key, value in whole.items() if not torch.equal(value, resumed[key])] == []


def test_the_learning_rate_rises_and_falls() -> None:
    assert [rising_and_falling(step, 100) for step in (0, 4)] == pytest.approx([0.2, 0.996057], abs=1e-5)
    assert rising_and_falling(50, 100) == pytest.approx(0.5)
    assert rising_and_falling(99, 100) == pytest.approx(0.000247, abs=1e-5)
    assert rising_and_falling(0, 3) == 1  # a few steps are not spent on rising


def test_another_network_needs_the_way_that_teaches_it() -> None:
    with pytest.raises(ConfigError, match=r"`student=resnet18` with `method=translate`"):
        AdaptConfig(method="translate", student=StudentConfig("resnet18"))
    with pytest.raises(ConfigError, match=r"`student=resnet18` with `translator=pixels`"):
        AdaptConfig(translator="pixels", student=StudentConfig("resnet18"))
    with pytest.raises(ConfigError, match=r"`student_weights=none`: a resnet50 starts from"):
        build_config(None, ["student.weights=none"])


@pytest.mark.slow
def test_many_pairs_do_not_crowd_out_the_frames(
    teacher: Classifier, seen: tuple[Frames, Frames], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve frames of pairs beside four of the task: an epoch has four of each, other ones every time."""
    own, other = seen

    class Thrice(Features):
        def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
            ((start, block),) = super().blocks()
            yield start, np.concatenate([block] * 3)

    codes = np.concatenate([other.store._images.numpy().view(np.uint16)] * 3)
    many = Frames(Store(codes, CPU.device), Thrice(other.phi._files, 3 * len(other.phi)))
    taken: list[int] = []
    usual = Store.take

    def take(self: Store, views: Views, size: int) -> Tensor:
        if self is many.store:
            taken.extend(views.index.tolist())
        return usual(self, views, size)

    monkeypatch.setattr(Store, "take", take)
    learnt(teacher, (own, many), epochs=3)
    epochs = [set(taken[start : start + 4]) for start in (0, 4, 8)]
    assert len(taken) == 12
    assert [len(epoch) for epoch in epochs] == [4, 4, 4]
    assert len(set.union(*epochs)) > 4
