"""Options of earlier versions: refused by name where a person gives them, and what becomes of runs begun with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.config_parsing import from_dict
from tgkt_edge.config_removed import REMOVED, RENAMED, removed_options, without_removed
from tgkt_edge.errors import ConfigError


def refused(*sets: str, file: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(file, sets)
    assert caught.value.exit_code == 2
    return str(caught.value)


def nested(key: str, value: Any) -> dict[str, Any]:
    section, dot, name = key.rpartition(".")
    return {section: {name: value}} if dot else {name: value}


@pytest.mark.parametrize("key", REMOVED)
def test_a_removed_option_is_named_with_what_to_do(key: str, tmp_path: Path) -> None:
    """Whatever its value: one that switched it off is of no more use than another."""
    for value in ("0", "2"):
        message = refused(f"{key}={value}")
        assert message.startswith(f"`set_={key}={value}`: the option '{key}' was removed in this version: ")
        assert message.endswith(" Leave it out.")
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(nested(key, 1)))
    assert refused(file=str(file)).startswith(f"`config={file}`: the option '{key}' was removed in this ver")


def test_a_removed_value_is_named_with_what_to_do() -> None:
    message = refused("tgkt.kd_frames=confident")
    assert message.startswith(
        "`set_=tgkt.kd_frames=confident`: tgkt.kd_frames = 'confident': this value was remov"
    )
    assert message.endswith(" Leave the option out.")
    assert "expected one of all, agreeing" in refused("tgkt.kd_frames=confidant")


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_option_is_told_its_name(old: str) -> None:
    message = refused(f"{old}=adam")
    assert (
        message
        == f"`set_={old}=adam`: the option '{old}' is called '{RENAMED[old]}' in this version. Write that."
    )
    assert build_config(None, [f"{RENAMED[old]}=adam"]).tgmb.optimizer == "adam"


def test_no_option_is_both_removed_and_there() -> None:
    sections = dataclasses.asdict(AdaptConfig())
    known = {f"{name}.{key}" for name, value in sections.items() if isinstance(value, dict) for key in value}
    assert not {*REMOVED, *RENAMED} & (known | set(sections))
    assert set(RENAMED.values()) <= known


OFF: dict[str, Any] = {
    "rounds": 1,
    "tgmb": {"epochs": 3, "guide": 1.0, "optimiser": "adam"},
    "tgkt": {
        "bns": 0.0, "ema": 0.0, "kd_paired": 0.0, "kd_warmup": 0, "pseudo_balance": 0.0, "pseudo_from": "student",
        "views": 0, "kd_frames": "all", "lr": 0.5,
    },
}  # fmt: skip
"""As the version before wrote it for a run that used none of them."""


def test_a_run_that_used_none_of_them_is_read_as_if_they_had_never_been() -> None:
    assert removed_options(OFF) == []
    today = without_removed(OFF)
    assert today == {"tgmb": {"epochs": 3, "optimizer": "adam"}, "tgkt": {"kd_frames": "all", "lr": 0.5}}
    config = from_dict(AdaptConfig, today, "config.yaml")
    assert (config.tgmb.optimizer, config.tgkt.lr) == ("adam", 0.5)
    assert OFF["tgmb"]["optimiser"] == "adam"  # what was given is left alone


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rounds", 2), ("tgkt.bns", 0.5), ("tgkt.ema", 2.0), ("tgkt.kd_paired", 0.5), ("tgkt.kd_warmup", 3),
        ("tgkt.pseudo_balance", 1.0), ("tgkt.pseudo_from", "mean"), ("tgkt.views", 4), ("tgkt.kd_frames", "confident"),
    ],
)  # fmt: skip
def test_a_run_that_used_one_is_known(key: str, value: Any) -> None:
    assert removed_options(nested(key, value)) == [f"{key} = {value}"]
    from_dict(AdaptConfig, without_removed(nested(key, value)), "config.yaml")


def test_what_is_no_configuration_has_no_removed_options() -> None:
    assert removed_options({"tgkt": None, "tgmb": 3}) == []
    assert without_removed({"tgkt": None, "tgmb": 3}) == {"tgkt": None, "tgmb": 3}
