"""Configuration: what is refused and in which words, what wins over what, and the paper's numbers by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tgkt_edge.config import NAMED, AdaptConfig, TgktConfig, TgmbConfig, build_config, refuse_twice
from tgkt_edge.config_parsing import from_dict
from tgkt_edge.errors import ConfigError


def refused(*sets: str, file: str | None = None, flags: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(file, sets, flags)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.fixture
def yaml_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("batch: 16\ntgmb:\n  epochs: 40\n  lr: 1e-2\n", encoding="utf-8")
    return path


# The paper's numbers


def test_the_paper_by_name_is_the_paper() -> None:
    """Every number of METHOD.md's sections on the three stages, and of the network sizes that go with them."""
    paper = build_config("paper")
    assert paper.translator == "pixels"
    assert (paper.image_size, paper.batch, paper.holdout) == (224, 32, 0)  # it trains on every pair
    source = {
        "mode": "finetune",
        "c": 0.01,
        "keep": 0,
        "epochs": 20,
        "lr": 1e-3,
        "head_lr": 1e-2,
        "momentum": 0.9,
        "weight_decay": 1e-3,
    }
    assert dataclasses.asdict(paper.source) == {**source, "label_smoothing": 0.1}
    assert dataclasses.asdict(paper.tgmb) == {
        "epochs": 15, "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3, "d_lr": 1e-4,
        "rec": 1.0, "d1": 1.0, "d2": 1.0, "im": 0.2, "adversary": "flipped", "rec_distance": "mean",
        "optimizer": "sgd", "rec_epochs": 0,
    }  # fmt: skip
    assert dataclasses.asdict(paper.tgkt) == {
        "epochs": 15, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3,
        "kd": 1.0, "f": 0.2, "self_training": 1.0, "kd_order": "student-first", "kd_frames": "all",
        "f_distance": "mean", "student_norm": "source", "teacher_norm": "source",
        "pseudo_distance": "cosine", "pseudo_threshold": 0,
        "teacher_input": "translated", "im": 0.0, "im_prior": "uniform",
    }  # fmt: skip
    assert paper.method == "tgkt"
    shot: dict[str, Any] = {
        "epochs": 15,
        "lr": 1e-3,
        "head_lr": 1e-2,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "im": 1.0,
        "pseudo": 0.3,
    }
    shot |= {
        "f_distance": "mean",
        "student_norm": "source",
        "pseudo_distance": "cosine",
        "pseudo_threshold": 0,
    }
    assert dataclasses.asdict(paper.shot) == {**shot, "f": 0, "bns": 0}
    assert dataclasses.asdict(paper.socket) == {**shot, "f": 0.5, "bns": 0.5}


def test_the_paper_is_spelt_out_so_that_it_stays_when_defaults_move_on() -> None:
    for section in ("source", "tgmb", "tgkt", "shot", "socket"):
        fields = {item.name for item in dataclasses.fields(getattr(AdaptConfig(), section))}
        assert set(NAMED["paper"][section]) == fields


def test_building_does_not_change_the_named_configurations() -> None:
    before = yaml.safe_dump(NAMED)
    build_config("paper", ["tgmb.epochs=1", "batch=4"], {"tgkt.lr": 0.5})
    assert yaml.safe_dump(NAMED) == before


# What wins


def test_defaults_then_file_then_flags_then_set(yaml_file: Path) -> None:
    plain, file = build_config(), build_config(str(yaml_file))
    assert (file.batch, file.tgmb.epochs, file.tgmb.lr) == (16, 40, 0.01)
    assert file.tgmb.im == plain.tgmb.im  # what the file does not name stays
    assert file.tgkt == plain.tgkt
    flagged = build_config(str(yaml_file), [], {"batch": 8, "tgmb.epochs": 30})
    assert (flagged.batch, flagged.tgmb.epochs, flagged.tgmb.lr) == (8, 30, 0.01)
    both = build_config(str(yaml_file), ["tgmb.epochs=20"], {"batch": 8, "tgmb.epochs": 30})
    assert (both.batch, both.tgmb.epochs) == (8, 20)


@pytest.mark.parametrize("sets", [["translation.prior=uniform"], {"translation.prior": "uniform"}])
def test_an_argument_and_a_set_that_disagree_are_refused(sets: list[str] | dict[str, str]) -> None:
    """One of them would be ignored without a word. ``epochs`` is of every stage, which ``set_`` may change for one."""
    named = {"translation.prior": "half", "tgmb.epochs": 30, "seed": None, "method": None}
    with pytest.raises(ConfigError, match=r"`prior=half` and `set_=.*=uniform` set one option"):
        refuse_twice(named, sets)
    refuse_twice(named, ["translation.prior=half", "tgmb.epochs=3", "seed=4", "translation.prior"])


def test_the_last_set_wins_and_a_flag_not_given_changes_nothing(yaml_file: Path) -> None:
    assert build_config(None, ["batch=8", "batch=4"]).batch == 4
    assert build_config(str(yaml_file), [], {"batch": None}) == build_config(str(yaml_file))


# Unknown keys


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tgmb.epoch=3", "`set_=tgmb.epoch=3`: unknown key 'tgmb.epoch'. Did you mean 'tgmb.epochs'?"),
        ("batsh=3", "`set_=batsh=3`: unknown key 'batsh'. Did you mean 'batch'?"),
        ("tgkt.self=1", "unknown key 'tgkt.self'. Known: epochs, lr"),
        ("tgmb.zzz=3", "unknown key 'tgmb.zzz'. Known: epochs, lr, momentum"),
        ("batch.size=3", "batch = {'size': 3}: expected a whole number"),
        ("tgmb=3", "tgmb is 3, expected key: value pairs"),
    ],
)
def test_an_unknown_key_is_named_with_its_neighbour(text: str, words: str) -> None:
    assert words in refused(text)


def test_an_unknown_key_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("tgkt: {learning_rate: 1}\n")
    assert f"`config={path}`: unknown key 'tgkt.learning_rate'" in refused(file=str(path))


# Values


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch=many", "batch = 'many': expected a whole number"),
        ("batch=8.0", "batch = 8.0: expected a whole number"),
        ("batch=true", "batch = True: expected a whole number"),
        ("tgmb.lr=fast", "tgmb.lr = 'fast': expected a number"),
        ("tgmb.lr=true", "tgmb.lr = True: expected a number"),
        ("tgmb.lr=.nan", "expected a number"),
        ("tgmb.lr=.inf", "expected a number"),
        ("tgmb.lr=[1]", "tgmb.lr = [1]: expected a number"),
        ("device=3", "device = 3: expected text"),
        ("precision=fp8", "precision = 'fp8': expected one of auto, fp32, bf16"),
        ("tgmb.adversary=nice", "expected one of flipped, eq3-minmax"),
        ("tgmb.epochs=0", "tgmb.epochs = 0: expected more than 0"),
        ("tgmb.im=-0.1", "tgmb.im = -0.1: expected 0 or more"),
        ("source.momentum=1", "source.momentum = 1.0: expected 0 to below 1"),
        ("source.label_smoothing=1.5", "source.label_smoothing = 1.5: expected 0 to below 1"),
        ("image_size=16", "image_size = 16: ResNet-50 shrinks by 32; expected at least 32 pixels"),
        ("batch=1", "batch = 1: batch norm needs at least 2 frames a step"),
        ("batch", "`set_=batch`: expected key=value"),
        ("=3", "`set_==3`: expected key=value"),
        ("batch={", "`set_=batch={`: the value is not YAML"),
    ],
)
def test_a_bad_value_is_named_with_what_was_wanted(text: str, words: str) -> None:
    message = refused(text)
    assert words in message
    assert message.startswith(f"`set_={text}`")


def test_yamls_1e3_is_text_and_still_a_number(yaml_file: Path) -> None:
    assert yaml.safe_load("1e-3") == "1e-3"  # YAML 1.1 wants 1.0e-3; people write 1e-3
    assert build_config(None, ["tgmb.lr=1e-3"]).tgmb.lr == 0.001
    assert build_config(str(yaml_file)).tgmb.lr == 0.01
    whole = build_config(None, ["tgmb.lr=1"]).tgmb.lr
    assert whole == 1.0
    assert isinstance(whole, float)


def test_weights_of_zero_are_allowed_since_they_are_the_ablations() -> None:
    config = build_config(None, ["tgmb.d1=0", "tgmb.d2=0", "tgmb.im=0", "tgkt.kd=0", "tgkt.f=0"])
    assert config.tgmb == TgmbConfig(d1=0, d2=0, im=0)
    assert config.tgkt == TgktConfig(kd=0, f=0)


def test_python_callers_are_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"tgmb\.lr = 0: expected more than 0"):
        TgmbConfig(lr=0)
    with pytest.raises(ConfigError, match="seed = -1"):
        AdaptConfig(seed=-1)


# Files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds NoneType, expected key: value pairs"),
        ("- batch\n", "holds list, expected key: value pairs"),
        ("batch: [8\n", "not valid YAML"),
        ("tgmb:\n", "tgmb is None, expected key: value pairs"),
        ("batch: 0\n", "batch = 0: expected more than 0"),
    ],
)
def test_a_file_that_is_no_configuration(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    message = refused(file=str(path))
    assert words in message
    assert str(path) in message


def test_neither_a_file_nor_a_name() -> None:
    assert "neither a file nor one of the named ones: paper" in refused(file="papre")


def test_what_is_written_is_read_back(yaml_file: Path) -> None:
    config = build_config(str(yaml_file), ["tgkt.kd_order=teacher-first", "seed=3"])
    again = from_dict(AdaptConfig, yaml.safe_load(yaml.safe_dump(dataclasses.asdict(config))), "config.yaml")
    assert again == config


def test_options_that_need_each_other_may_be_set_one_by_one() -> None:
    for sets in (("arch=resnet18", "weights=none"), ("weights=none", "arch=resnet18")):
        built = build_config(None, [f"student.{one}" for one in sets], {})
        assert (built.student.arch, built.student.weights) == ("resnet18", "none")
    with pytest.raises(ConfigError, match=r"`student_weights=none`: a resnet50 starts from"):
        build_config(None, ["student.weights=none"], {})


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"source.epochs": 0}, "`epochs=0`"),
        ({"batch": 0}, "`batch=0`"),
        ({"student.arch": 3}, "`student=3`"),
    ],
)
def test_a_bad_flag_is_named_as_it_was_given(flags: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(None, [], flags)
    assert str(caught.value).startswith(name)
