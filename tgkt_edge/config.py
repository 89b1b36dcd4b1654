"""Every number of the method as a frozen dataclass; unknown keys and bad values are refused by name.

The paper's ablations: ``--config paper`` and what is set. ``benchmarks/tables.py --rows table4`` has them ready.

===== ============================= ===================================================================
Table Row                           ``--method`` and ``--set``
===== ============================= ===================================================================
4     L_rec                         tgmb: tgmb.d1=0 tgmb.d2=0 tgmb.im=0
4     L_rec + L_D1                  tgmb: tgmb.d2=0 tgmb.im=0
4     L_rec + L_D2                  tgmb: tgmb.d1=0 tgmb.im=0
4     L_rec + L_D1 + L_D2           tgmb: tgmb.im=0
4     all                           tgmb
5     L_kd                          tgkt: tgkt.f=0 tgkt.self_training=0
5     L_kd + L_f                    tgkt: tgkt.self_training=0
5     L_kd + L_self                 tgkt: tgkt.f=0
5     all                           tgkt
6     alpha_d 0, 0.1, 0.5, 1, 5     tgmb: tgmb.d1=A tgmb.d2=A tgmb.im=0
6     alpha_im 0, 0.1, 0.2, 0.5, 1  tgmb: tgmb.im=A
7     beta_f 0, 0.1, 0.2, 0.5, 2    tgkt: tgkt.f=B tgkt.self_training=0
7     beta_self 0, 0.1, 0.5, 1, 2   tgkt: tgkt.self_training=B
--    L_rec + L_IM                  tgmb: tgmb.d1=0 tgmb.d2=0
===== ============================= ===================================================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tgkt_edge.config_parsing import check, from_dict, merge, nested
from tgkt_edge.config_sections import (
    ContinueConfig,
    Distance,
    DistillConfig,
    ShotConfig,
    SocketConfig,
    SourceConfig,
    StudentConfig,
    TgktConfig,
    TgmbConfig,
    TranslationConfig,
)
from tgkt_edge.errors import ConfigError

__all__ = [
    "NAMED",
    "AdaptConfig",
    "ContinueConfig",
    "Distance",
    "DistillConfig",
    "ShotConfig",
    "SocketConfig",
    "SourceConfig",
    "StudentConfig",
    "TgktConfig",
    "TgmbConfig",
    "TranslationConfig",
    "build_config",
]


@dataclass(frozen=True)
class AdaptConfig:
    """The whole of ``tgkt-edge adapt``."""

    method: Literal["tgkt", "translate", "tgmb", "socket", "shot", "source-only", "continue"] = (
        "tgkt"  # "continue" comes with ``continue_``, and with nothing else
    )
    translator: Literal["features", "pixels"] = (
        "features"  # of tgkt: in feature space, or the paper's T on images
    )
    image_size: int = 224  # side of the network's input, pixels
    batch: int = 32  # frames a step; of target and of paired frames each
    accumulate: int = 1  # parts in which a step's batch is computed, one after the other, to spare memory
    compile: bool = False  # torch.compile on the networks that learn, where there is a compiler
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the hardware has it, else fp32
    weights: str = "imagenet"  # imagenet, none, or a safetensors file with torchvision's ResNet-50 names
    save_every_s: float = 60.0  # seconds between two saves of resume state
    holdout: float = 0.1  # share of the pairs that no stage trains on: the report's evidence; 0 to 0.5
    source: SourceConfig = field(default_factory=SourceConfig)
    translation: TranslationConfig = field(default_factory=TranslationConfig)
    student: StudentConfig = field(default_factory=StudentConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    continuing: ContinueConfig = field(default_factory=ContinueConfig)
    tgmb: TgmbConfig = field(default_factory=TgmbConfig)
    tgkt: TgktConfig = field(default_factory=TgktConfig)
    shot: ShotConfig = field(default_factory=ShotConfig)
    socket: SocketConfig = field(default_factory=SocketConfig)

    def __post_init__(self) -> None:
        check(self, "", positive=("batch", "accumulate"), unit=())
        if self.method == "translate" and self.translator != "features":
            raise ConfigError(
                f"translator = {self.translator}: the method translate is the translation of features. For the paper's "
                f"T alone give the method tgmb."
            )
        if self.distills and not (self.method == "tgkt" and self.translator == "features"):
            other = f"`translator={self.translator}`" if self.method == "tgkt" else f"`method={self.method}`"
            raise ConfigError(
                f"`student={self.student.arch}` with {'`continue_`' if self.continues else other}: the target network "
                f"starts from a trained one there, whose architecture it keeps. Another one learns with `method=tgkt` "
                f"and `translator=features`, the defaults."
            )
        if self.continues and self.translator != "features":
            raise ConfigError(
                f"translator = {self.translator}: a shipped network is continued without any; leave it out"
            )
        if self.image_size < 32:
            raise ConfigError(
                f"image_size = {self.image_size}: ResNet-50 shrinks by 32; expected at least 32 pixels"
            )
        if self.batch < 2:
            raise ConfigError(f"batch = {self.batch}: batch norm needs at least 2 frames a step")
        if self.batch < 2 * self.accumulate:
            raise ConfigError(
                f"accumulate = {self.accumulate} with batch = {self.batch}: batch norm needs at least 2 frames a part; "
                f"expected at most {self.batch // 2}, or a larger batch"
            )
        if self.compile and self.method == "socket" and self.socket.bns:
            raise ConfigError(
                "compile = true with method = socket: it looks at what goes into each batch norm, which a compiled "
                "network does not show. Leave compile out, or give socket.bns = 0."
            )
        if self.source.mode == "linear" and self.weights == "none":
            raise ConfigError(
                "source.mode = linear with weights = none: features of a network that learnt nothing carry no classes. "
                "Give pretrained weights, or source.mode = finetune."
            )
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed = {self.seed}: expected 0 or more, below 2**63")
        if self.holdout > 0.5:
            raise ConfigError(f"holdout = {self.holdout}: expected 0 to 0.5, a share of the pairs")

    @property
    def by_features(self) -> bool:
        """Whether features are translated, and no pixels."""
        return self.method == "translate" or (self.method == "tgkt" and self.translator == "features")

    @property
    def continues(self) -> bool:
        """Whether a shipped network is gone on with."""
        return self.method == "continue"

    @property
    def baseline(self) -> str:
        """Name of what the target network is compared with."""
        return "shipped" if self.continues else "source-only"

    @property
    def distills(self) -> bool:
        """Whether the target network is of another kind than the translation's."""
        return self.student.arch != "resnet50"

    @property
    def linear_source(self) -> bool:
        """Whether a source model that is made now is a linear head on frozen features."""
        if self.source.mode == "auto":
            return self.by_features and self.weights != "none"
        return self.source.mode == "linear"


# Every value as in the paper (its slips resolved), spelt out so that it stays when the defaults move on.
NAMED: dict[str, dict[str, Any]] = {
    "paper": {
        "image_size": 224,
        "batch": 32,
        "holdout": 0.0,
        "translator": "pixels",
        "source": {
            "mode": "finetune", "c": 0.01, "keep": 0, "epochs": 20, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9,
            "weight_decay": 1e-3, "label_smoothing": 0.1,
        },
        "tgmb": {
            "epochs": 15, "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3, "d_lr": 1e-4,
            "rec": 1.0, "d1": 1.0, "d2": 1.0, "im": 0.2, "adversary": "flipped", "rec_distance": "mean",
            "optimizer": "sgd", "rec_epochs": 0,
        },
        "tgkt": {
            "epochs": 15, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3,
            "kd": 1.0, "f": 0.2, "self_training": 1.0, "kd_order": "student-first", "kd_frames": "all",
            "student_norm": "source", "teacher_norm": "source", "f_distance": "mean",
            "pseudo_distance": "cosine", "pseudo_threshold": 0,
            "teacher_input": "translated", "im": 0.0, "im_prior": "uniform",
        },
        "shot": {
            "epochs": 15, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3,
            "im": 1.0, "pseudo": 0.3, "f": 0.0, "bns": 0.0, "f_distance": "mean", "student_norm": "source",
            "pseudo_distance": "cosine", "pseudo_threshold": 0,
        },
        "socket": {
            "epochs": 15, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3,
            "im": 1.0, "pseudo": 0.3, "f": 0.5, "bns": 0.5, "f_distance": "mean", "student_norm": "source",
            "pseudo_distance": "cosine", "pseudo_threshold": 0,
        },
    },
}  # fmt: skip


ARGUMENTS = {"student.arch": "student", "student.weights": "student_weights"}
"""Arguments of ``adapt`` that are not called as the last part of the key that they set."""


def argument_of(key: str) -> str:
    """The argument of ``adapt`` that sets a dotted key."""
    return ARGUMENTS.get(key, key.rpartition(".")[2])


def refuse_twice(named: Mapping[str, Any], sets: Mapping[str, Any] | Sequence[str]) -> None:
    """Refuse options that an argument and ``set_`` give different values: one would be ignored without a word.

    ``epochs`` is of every stage, and ``set_`` may well give one of them another number.

    Args:
        named: dotted keys to values of arguments; None means "not given". sets: as ``adapt`` takes them.

    Raises:
        ConfigError: names both.
    """
    texts = sets if not isinstance(sets, Mapping) else [f"{key}={value}" for key, value in sets.items()]
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        given = None if key.endswith(".epochs") or not equals else named.get(key)
        if given is not None and str(given).lower() != value.lower():
            raise ConfigError(
                f"`{argument_of(key)}={given}` and `set_={text}` set one option, {key}, to two values. Give one."
            )


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
        from_dict(AdaptConfig, tree, f"`config={file}`")
    merged = merge(dataclasses.asdict(AdaptConfig()), tree)
    for key, value in (flags or {}).items():
        if value is not None:
            # Checked alone first, so that the message names this flag.
            argument = argument_of(key)
            from_dict(AdaptConfig, nested(key, value), f"`{argument}={value}`")
            merged = merge(merged, nested(key, value))
    from_dict(AdaptConfig, merged, "configuration")
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"`set_={text}`: expected key=value, for example `set_=tgmb.epochs=30`")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"`set_={text}`: the value is not YAML: {error}") from error
        # Checked alone first, so that the message names this --set.
        from_dict(AdaptConfig, nested(key.strip(), parsed), f"`set_={text}`")
        merged = merge(merged, nested(key.strip(), parsed))
    built = from_dict(AdaptConfig, merged, "configuration")
    # Of two options, which may come one by one.
    if not built.distills and built.student.weights != "imagenet":
        raise ConfigError(
            f"`student_weights={built.student.weights}`: a resnet50 starts from the network of the translation. Leave "
            f"it out, or name another network by `student`."
        )
    asked = [f"`set_={text}`" for text in sets if text.partition("=")[0].strip() == "translation.prior"]
    if (flags or {}).get("translation.prior") is not None:
        asked.append(f"`prior={(flags or {})['translation.prior']}`")
    if asked and not (built.by_features or built.continues):
        raise ConfigError(
            f"{asked[0]}: only a translation of features balances its answers towards a prior; method = "
            f"{built.method} with translator = {built.translator} does not. Leave it out, or give `method=tgkt` or "
            f"translate with `translator=features`."
        )
    return built


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise ConfigError(f"`config={path}`: neither a file nor one of the named ones: {', '.join(NAMED)}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"`config={path}`: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"`config={path}`: holds {type(values).__name__}, expected key: value pairs")
    return values
