"""Which features a translation takes: none that this source model, sensor and options have no use for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.choice import Candidate
from tgkt_edge.train.methods.translation.features import Encoding, Features, Kind
from tgkt_edge.train.methods.translation.setting import (
    FEW_PAIRS,
    RELATIVE,
    Of,
    PairInputs,
    Setting,
    look_at_frames,
    look_at_pairs,
)
from tgkt_edge.train.methods.translation.source_features import EARLY, FEATURES, LABELS
from tgkt_edge.train.nn.imported import ImportedClassifier, Pixels, Trunk
from tgkt_edge.train.nn.model import Classifier, SceneClassifier

ONE = torch.zeros(1)
IMAGES = {FEATURES: ONE, LABELS: ONE}
LAST, ALL = (4,), (2, 3, 4)
NORMALS: Encoding = RELATIVE


@pytest.fixture(scope="module")
def linear() -> Classifier:
    """A head on generic features, as ``source.mode=linear`` makes it."""
    return SceneClassifier(3, LAST)


@pytest.fixture(scope="module")
def trained() -> Classifier:
    """With a bottleneck, and a backbone of its own."""
    return SceneClassifier(3)


@pytest.fixture(scope="module")
def imported() -> Classifier:
    return ImportedClassifier(Trunk(nn.Identity(), Pixels()), 512, [[0], [1], [2]], {})


def setting(
    source: Classifier,
    beside: dict[str, Tensor],
    depth: bool,
    backbone: nn.Module | None = None,
    pairs: int = FEW_PAIRS,
    **options: object,
) -> Setting:
    cfg = TranslationConfig(**options)  # type: ignore[arg-type]
    offset = 0.1 if depth else None
    return Setting.of(source, beside, source.backbone if backbone is None else backbone, offset, pairs, cfg)


def looked_at(chosen: Setting) -> tuple[PairInputs, list[tuple[Of, str, tuple[int, ...], str]]]:
    """What of the pairs is asked for, as (images, whose features, layers, encoding)."""
    calls: list[tuple[Of, str, tuple[int, ...], str]] = []

    def features(name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        whose = "source" if network is chosen.source.backbone else "generic"
        calls.append((images, whose, kind.layers, kind.encoding))
        return Features([], 4)

    return look_at_pairs(chosen, features), calls


def test_depth_corrects_the_identity_and_tries_normals(linear: Classifier) -> None:
    chosen = setting(linear, {}, True)
    assert chosen.starts == (True,)
    assert chosen.encodings == (("plain",), (NORMALS,), ("plain", NORMALS))
    pairs, calls = looked_at(chosen)
    assert calls == [
        ("paired RGB", "source", LAST, "plain"),
        ("paired frames", "source", ALL, "plain"),
        ("paired frames", "source", ALL, NORMALS),
    ]
    assert pairs.seen is not None  # the plain frame's last layer


def test_normals_are_of_the_code_where_no_generic_features_describe_the_frames(
    linear: Classifier, trained: Classifier
) -> None:
    own = setting(trained, {}, True)
    assert own.encodings == (("plain",), ("normals",), ("plain", "normals"))
    assert setting(trained, {}, True, linear.backbone).encodings == (
        ("plain",),
        (NORMALS,),
        ("plain", NORMALS),
    )
    made = dict[str, Rows]()

    def features(name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        made[f"{images} {kind.encoding}"] = Rows(3584)
        return made[f"{images} {kind.encoding}"]

    chosen = Candidate(("plain", "normals"), 300.0, False)
    found = look_at_frames(own, chosen, look_at_pairs(own, features), features)
    assert found.normals
    assert found.network is made["target normals"]
    assert not any(NORMALS in name for name in made)


def test_relative_normals_know_where_the_range_begins(linear: Classifier) -> None:
    chosen = setting(linear, {}, True)
    assert chosen.frame_kind(NORMALS).offset == 0.1
    assert chosen.frame_kind("plain") == Kind(ALL, True, "plain", chosen.views)  # of no use to others


def test_what_is_tried_can_be_set(linear: Classifier, trained: Classifier) -> None:
    assert setting(linear, {}, True, start="zero").starts == (False,)
    assert setting(linear, {}, False).starts == (False, True)  # of other frames both are tried
    # A source model that sees frames by other features than describe them understands no depth map.
    assert setting(trained, {}, True, linear.backbone).starts == (False,)
    assert setting(trained, {}, True, linear.backbone, start="identity").starts == (True,)


def test_normals_alone_do_not_show_what_the_source_model_sees(linear: Classifier) -> None:
    pairs, calls = looked_at(setting(linear, {}, True, encodings="normals", start="zero"))
    assert [call[3] for call in calls[1:]] == [NORMALS]
    assert pairs.seen is None
    pairs, calls = looked_at(setting(linear, {}, True, encodings="normals"))
    assert [call[3] for call in calls[1:]] == ["plain", NORMALS]  # plain ones are corrected
    assert pairs.seen is not None


CORRECTED, FROM_ZERO = (Candidate((NORMALS,), 300.0, identity) for identity in (True, False))


def test_the_way_back_of_depth_leads_to_all_encodings(linear: Classifier) -> None:
    chosen = setting(linear, IMAGES, True)
    assert chosen.goes_back(CORRECTED)
    assert chosen.back_to(CORRECTED) == ("plain", NORMALS)
    assert setting(linear, IMAGES, True, encodings="normals").back_to(CORRECTED) == (NORMALS,)
    # Pairs that chose an encoding for a map from zero chose for the way back, too.
    assert setting(linear, IMAGES, True, start="zero").back_to(FROM_ZERO) == (NORMALS,)


class Rows(Features):
    """Four images of random features, in one view."""

    def __init__(self, width: int) -> None:
        super().__init__([], 4, width)

    def last(self, width: int) -> Features:
        return Rows(width)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        assert self._width is not None
        yield 0, np.random.default_rng(0).normal(size=(4, 1, self._width)).astype(np.float32)


@pytest.mark.parametrize(
    ("encodings", "network"),
    [(("plain",), "plain"), ((NORMALS,), "normals"), (("plain", NORMALS), "normals")],
)
def test_the_network_is_fitted_on_normals_of_the_code_where_relative_ones_were_chosen(
    linear: Classifier, encodings: tuple[Encoding, ...], network: Encoding
) -> None:
    chosen, made = setting(linear, {}, True), dict[str, Rows]()

    def features(name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        made[f"{images} {kind.encoding}"] = Rows(3584)
        return made[f"{images} {kind.encoding}"]

    found = look_at_frames(
        chosen, Candidate(encodings, 300.0, True), look_at_pairs(chosen, features), features
    )
    assert found.network is made[f"target {network}"]
    assert found.normals == (network == "normals")
    assert "paired frames normals" not in made  # of the pairs nobody needs these


def test_the_way_back_of_depth_takes_a_hundred_pairs(linear: Classifier) -> None:
    few, enough = FEW_PAIRS - 1, FEW_PAIRS
    assert not setting(linear, IMAGES, True, pairs=few).goes_back(CORRECTED)
    assert setting(linear, IMAGES, True, pairs=enough).goes_back(CORRECTED)
    assert not setting(linear, IMAGES, True, pairs=enough, reverse=0.0).goes_back(CORRECTED)
    assert not setting(linear, {}, True, pairs=enough).goes_back(CORRECTED)  # there are no images
    # What is set by hand to start from zero has nothing else to begin with.
    assert setting(linear, IMAGES, True, pairs=few, start="zero").goes_back(FROM_ZERO)
    # Other frames have one of whichever kind the translation is.
    near = setting(linear, IMAGES | {EARLY: ONE}, False, pairs=few)
    assert near.goes_back(CORRECTED)
    assert near.goes_back(FROM_ZERO)
    assert not setting(linear, IMAGES, False, pairs=few).goes_back(CORRECTED)  # layers 2 and 3 are missing


def test_frames_that_look_like_rgb_try_the_identity_too(linear: Classifier) -> None:
    chosen = setting(linear, {}, False)
    assert chosen.starts == (False, True)
    assert chosen.encodings == (("plain",),)
    pairs, calls = looked_at(chosen)
    assert calls == [("paired RGB", "source", LAST, "plain"), ("paired frames", "source", ALL, "plain")]
    assert pairs.rgb is pairs.rgb_as_kept


def test_the_way_back_corrects_the_identity_where_all_layers_of_the_images_are_kept(
    linear: Classifier,
) -> None:
    assert not setting(linear, IMAGES, False).corrects_back
    assert not setting(linear, IMAGES | {EARLY: ONE}, True).corrects_back  # depth does not look like RGB
    assert not setting(linear, IMAGES | {EARLY: ONE}, False, reverse=0.0).corrects_back
    chosen = setting(linear, IMAGES | {EARLY: ONE}, False)
    assert chosen.corrects_back
    pairs, calls = looked_at(chosen)
    assert calls[0] == ("paired RGB", "source", ALL, "plain")
    assert pairs.rgb is not pairs.rgb_as_kept  # its last layer


def test_a_trained_source_sees_frames_by_features_of_its_own(trained: Classifier, linear: Classifier) -> None:
    """Generic ones describe the frame; the source's own are what is corrected, if the identity is tried."""
    depth, nir = (setting(trained, {}, kind, linear.backbone) for kind in (True, False))
    assert not depth.shared
    assert ("paired frames", "source", LAST, "plain") not in looked_at(depth)[1]
    assert looked_at(nir)[1] == [
        ("paired RGB", "source", LAST, "plain"),
        ("paired frames", "generic", ALL, "plain"),
        ("paired frames", "source", LAST, "plain"),
    ]


def test_an_imported_model_needs_generic_features_of_the_rgb_for_the_way_back_alone(
    imported: Classifier, linear: Classifier
) -> None:
    without, kept = (setting(imported, beside, True, linear.backbone) for beside in ({}, IMAGES))
    pairs, calls = looked_at(without)
    assert calls[:2] == [("paired RGB", "source", (), "plain"), ("paired frames", "generic", ALL, "plain")]
    assert pairs.rgb is pairs.rgb_as_kept
    pairs, calls = looked_at(kept)
    assert calls[:2] == [("paired RGB", "source", (), "plain"), ("paired RGB", "generic", LAST, "plain")]
    assert pairs.rgb is not pairs.rgb_as_kept


def test_an_imported_model_looks_at_depth_itself(imported: Classifier, linear: Classifier) -> None:
    """At normals of the code, beside the generic features that are translated from zero."""
    chosen = setting(imported, {}, True, linear.backbone)
    assert chosen.own_look == "normals"
    assert chosen.starts == (False,)
    pairs, calls = looked_at(chosen)
    assert calls[-1] == ("paired frames", "source", (), "normals")
    assert pairs.own is not None
    assert pairs.seen is None
    made = dict[str, Rows]()

    def features(name: str, network: nn.Module, images: Of, kind: Kind) -> Features:
        whose = "source" if network is chosen.source.backbone else "generic"
        made[f"{images} {whose} {kind.encoding}"] = Rows(512 if whose == "source" else 3584)
        return made[f"{images} {whose} {kind.encoding}"]

    look = look_at_frames(chosen, FROM_ZERO, look_at_pairs(chosen, features), features).own_look
    assert look is not None
    assert look.pairs is made["paired frames source normals"]
    assert look.task is made["target source normals"]
    other = [
        setting(linear, {}, True),  # it sees what describes the frames
        setting(imported, {}, False, linear.backbone),  # has tried to correct what it sees of the frame
        setting(imported, IMAGES, True, linear.backbone),  # generic features of its images tell as much
        setting(imported, {}, True, linear.backbone, start="zero"),
        setting(imported, {}, True, linear.backbone, encodings="plain"),
    ]
    for one in other:
        assert one.own_look is None
        pairs, calls = looked_at(one)
        assert pairs.own is None
        assert ("paired frames", "source", (), "normals") not in calls


def test_a_program_of_which_nothing_but_answers_is_known_does_not(linear: Classifier) -> None:
    program = ImportedClassifier(Trunk(nn.Identity(), Pixels()), 512, [[0], [1], [2]], {"program": "onnx"})
    assert setting(program, {}, True, linear.backbone).own_look is None
