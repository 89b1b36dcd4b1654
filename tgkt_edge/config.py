"""Every number of the method as a frozen dataclass; unknown keys and bad values are refused by name."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from tgkt_edge.errors import ConfigError

Distance = Literal["mean", "sum", "frobenius"]
C = TypeVar("C")


@dataclass(frozen=True)
class SourceConfig:
    """Stage 1: the RGB classifier. Cross-entropy with label smoothing, SGD."""

    epochs: int = 20
    lr: float = 1e-3  # backbone, at step 0
    head_lr: float = 1e-2  # bottleneck and classifier, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    label_smoothing: float = 0.1  # share of the target spread over all classes

    def __post_init__(self) -> None:
        _check(self, "source", positive=("epochs", "lr", "head_lr"), unit=("momentum", "label_smoothing"))


@dataclass(frozen=True)
class TgmbConfig:
    """Stage 2: the translation net. ``rec + d1 L_D1 + d2 L_D2 + im L_IM`` (equation 6)."""

    epochs: int = 15
    lr: float = 1e-3  # translation net, SGD, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    d_lr: float = 1e-4  # discriminators, Adam
    rec: float = 1.0  # weight of L_rec (1)
    d1: float = 1.0  # weight of L_D1 (2); the paper's alpha_d is d1 = d2
    d2: float = 1.0  # weight of L_D2 (3)
    im: float = 0.2  # weight of L_IM (5): alpha_im of Tables 4 and 6
    adversary: Literal["flipped", "eq3-minmax"] = "flipped"  # how T plays against D1 and D2
    rec_distance: Distance = "mean"  # how L_rec sums its squares

    def __post_init__(self) -> None:
        _check(self, "tgmb", positive=("epochs", "lr", "d_lr"), unit=("momentum",))


@dataclass(frozen=True)
class TgktConfig:
    """Stage 3: the target network. ``kd L_kd + f L_f + self L_self`` (equation 10)."""

    epochs: int = 15
    lr: float = 1e-3  # backbone, at step 0
    head_lr: float = 1e-2  # bottleneck, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    kd: float = 1.0  # weight of L_kd (7)
    f: float = 0.2  # weight of L_f (8): beta_f
    self_training: float = 1.0  # weight of L_self (9): beta_self
    kd_order: Literal["student-first", "teacher-first"] = (
        "student-first"  # KL(student || teacher) as written in (7)
    )
    kd_frames: Literal["all", "agreeing"] = (
        "agreeing"  # L_kd only where teacher and pseudo-label name one class
    )
    f_distance: Distance = "mean"  # how L_f sums its squares
    student_norm: Literal["source", "target"] = "target"  # batch-norm statistics that the student starts with
    teacher_norm: Literal["source", "translated"] = "translated"  # batch-norm statistics that the teacher has
    pseudo_distance: Literal["cosine", "euclidean"] = "cosine"  # nearest centroid in (12) and (14)
    pseudo_threshold: int = 0  # classes with this many frames or fewer are dropped between the two rounds
    views: int = 0  # distinct crops of each frame, whose teacher outputs are kept; 0: every crop is new

    def __post_init__(self) -> None:
        _check(self, "tgkt", positive=("epochs", "lr", "head_lr"), unit=("momentum",))


@dataclass(frozen=True)
class AdaptConfig:
    """The whole of ``tgkt-edge adapt``."""

    image_size: int = 224  # side of the network's input, pixels
    batch: int = 32  # frames a step; of target and of paired frames each
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the hardware has it, else fp32
    weights: str = "imagenet"  # imagenet, none, or a safetensors file with torchvision's ResNet-50 names
    save_every_s: float = 60.0  # seconds between two saves of resume state
    holdout: float = 0.1  # share of the pairs that no stage trains on: the report's evidence; 0 to 0.5
    source: SourceConfig = field(default_factory=SourceConfig)
    tgmb: TgmbConfig = field(default_factory=TgmbConfig)
    tgkt: TgktConfig = field(default_factory=TgktConfig)

    def __post_init__(self) -> None:
        _check(self, "", positive=("batch",), unit=())
        if self.image_size < 32:
            raise ConfigError(
                f"image_size = {self.image_size}: ResNet-50 shrinks by 32; wanted at least 32 pixels"
            )
        if self.batch < 2:
            raise ConfigError(f"batch = {self.batch}: batch norm needs at least 2 frames a step")
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}: wanted 0 or more")
        if self.holdout > 0.5:
            raise ConfigError(f"holdout = {self.holdout}: wanted 0 to 0.5, a share of the pairs")


# Every value as in the paper (its slips resolved), spelt out so that it stays when the defaults move on.
NAMED: dict[str, dict[str, Any]] = {
    "paper": {
        "image_size": 224,
        "batch": 32,
        "holdout": 0.0,
        "source": {
            "epochs": 20, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3, "label_smoothing": 0.1,
        },
        "tgmb": {
            "epochs": 15, "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3, "d_lr": 1e-4,
            "rec": 1.0, "d1": 1.0, "d2": 1.0, "im": 0.2, "adversary": "flipped", "rec_distance": "mean",
        },
        "tgkt": {
            "epochs": 15, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3,
            "kd": 1.0, "f": 0.2, "self_training": 1.0, "kd_order": "student-first", "kd_frames": "all",
            "student_norm": "source", "teacher_norm": "source", "f_distance": "mean",
            "pseudo_distance": "cosine", "pseudo_threshold": 0, "views": 0,
        },
    },
}  # fmt: skip


def from_dict(cls: type[C], values: Any, where: str, prefix: str = "") -> C:
    """Build a dataclass from plain values. Sub-dictionaries fill nested dataclasses.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a value of the wrong type, or a bad value.
    """
    if not isinstance(values, dict):
        raise ConfigError(
            f"{where}: {prefix.removesuffix('.') or 'the configuration'} is {values!r}, wanted key: value pairs"
        )
    hints = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"Did you mean '{prefix}{near[0]}'?" if near else f"Known: {', '.join(hints)}."
            raise ConfigError(f"{where}: unknown key '{prefix}{key}'. {hint}")
        hint_type = hints[key]
        if dataclasses.is_dataclass(hint_type):
            arguments[key] = from_dict(typing.cast(type, hint_type), value, where, f"{prefix}{key}.")
        else:
            arguments[key] = _typed(value, hint_type, f"{where}: {prefix}{key}")
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def build_config(
    file: str | None = None, sets: Sequence[str] = (), flags: dict[str, Any] | None = None
) -> AdaptConfig:
    """Defaults, then a YAML file or a named configuration, then flags, then ``--set key=value``.

    Args:
        file: path of a YAML file, or a name in NAMED.
        sets: ``section.key=value`` texts; values are read as YAML.
        flags: dotted keys to values from other flags; None means "not given".

    Raises:
        ConfigError: names the file or the --set text.
    """
    import yaml

    tree: dict[str, Any] = {}
    if file is not None:
        tree = NAMED[file] if file in NAMED else _read_yaml(Path(file))
        from_dict(AdaptConfig, tree, f"--config {file}")
    merged = _merge(dataclasses.asdict(AdaptConfig()), tree)
    for key, value in (flags or {}).items():
        if value is not None:
            merged = _merge(merged, _nested(key, value))
    from_dict(AdaptConfig, merged, "command line")
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {text}: wanted key=value, for example --set tgmb.epochs=30")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text}: the value is not YAML: {error}") from error
        # Checked alone first, so that the message names this --set.
        from_dict(AdaptConfig, _nested(key.strip(), parsed), f"--set {text}")
        merged = _merge(merged, _nested(key.strip(), parsed))
    return from_dict(AdaptConfig, merged, "command line")


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise ConfigError(f"--config {path}: neither a file nor one of the named ones: {', '.join(NAMED)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: holds {type(values).__name__}, wanted key: value pairs")
    return values


def _nested(key: str, value: Any) -> dict[str, Any]:
    head, dot, rest = key.partition(".")
    return {head: _nested(rest, value) if dot else value}


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _typed(value: Any, wanted: Any, where: str) -> Any:
    """``value`` as ``wanted``. YAML reads 1e-3 as text and 1 as int: both are fine where a float is wanted."""
    origin = typing.get_origin(wanted)
    if origin is Literal:
        allowed = typing.get_args(wanted)
        if value not in allowed:
            raise ConfigError(f"{where} = {value!r}: wanted one of {', '.join(map(str, allowed))}")
        return value
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        (wanted,) = (kind for kind in typing.get_args(wanted) if kind is not type(None))
    if wanted is float and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    elif (wanted is int and type(value) is int) or (wanted in (str, bool) and type(value) is wanted):
        return value
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    raise ConfigError(f"{where} = {value!r}: wanted {names.get(wanted, str(wanted))}")


def _check(config: Any, section: str, positive: tuple[str, ...], unit: tuple[str, ...]) -> None:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        name = f"{section}.{item.name}" if section else item.name
        if item.name in positive and value <= 0:
            raise ConfigError(f"{name} = {value}: wanted more than 0")
        if value < 0:
            raise ConfigError(f"{name} = {value}: wanted 0 or more")
        if item.name in unit and value >= 1:
            raise ConfigError(f"{name} = {value}: wanted 0 to below 1")
