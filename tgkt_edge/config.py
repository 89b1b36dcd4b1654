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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tgkt_edge.config_parsing import check, from_dict, merge, nested
from tgkt_edge.errors import ConfigError

Distance = Literal["mean", "sum", "frobenius"]


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
        check(self, "source", positive=("epochs", "lr", "head_lr"), unit=("momentum", "label_smoothing"))


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
    optimiser: Literal["sgd", "adam"] = "sgd"  # of T; Adam takes momentum as its first beta
    rec_epochs: int = 0  # first epochs of L_rec alone, in the first round
    guide: float = 1.0  # from the second round on: weight of KL(through T || target network) on target frames

    def __post_init__(self) -> None:
        check(self, "tgmb", positive=("epochs", "lr", "d_lr"), unit=("momentum",))


@dataclass(frozen=True)
class TgktConfig:
    """Stage 3: the target network. ``kd L_kd + f L_f + self L_self`` (equation 10), and ``im L_IM``."""

    epochs: int = 15
    lr: float = 1e-3  # backbone, at step 0
    head_lr: float = 1e-2  # bottleneck, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    kd: float = 1.0  # weight of L_kd (7)
    f: float = 0.2  # weight of L_f (8): beta_f
    self_training: float = 0.3  # weight of L_self (9): beta_self; the paper has 1.0
    kd_order: Literal["student-first", "teacher-first"] = (
        "student-first"  # KL(student || teacher) as written in (7)
    )
    kd_frames: Literal["all", "agreeing", "confident"] = (
        # "agreeing": L_kd only where teacher and pseudo-label name one class; "confident": weighed by the teacher's
        # largest probability
        "agreeing"
    )
    kd_paired: float = 0.0  # weight of L_kd on paired frames, where F_s of their RGB teaches
    f_distance: Distance = "mean"  # how L_f sums its squares
    student_norm: Literal["source", "target"] = "target"  # batch-norm statistics that the student starts with
    teacher_norm: Literal["source", "translated"] = "translated"  # batch-norm statistics that the teacher has
    pseudo_distance: Literal["cosine", "euclidean"] = "cosine"  # nearest centroid in (12) and (14)
    pseudo_threshold: int = 0  # classes with this many frames or fewer are dropped between the two rounds
    views: int = 0  # distinct crops of each frame, whose teacher outputs are kept; 0: every crop is new
    teacher_input: Literal["translated", "frame"] = "translated"  # "frame": grey repeated three times, no T
    pseudo_balance: float = 0.0  # frames of a class of n weigh n^-this in L_self; 1: all classes alike
    pseudo_from: Literal["student", "mean"] = (
        "student"  # probabilities in (11); "mean": half the teacher's, half the student's
    )
    im: float = (
        1.0  # weight of L_IM (5) of the target network on target frames, as SHOT has it; the paper has none
    )
    im_prior: Literal["uniform", "teacher", "start", "pseudo"] = (
        # Shares of the classes that L_IM draws the mean prediction to: all alike, the mean prediction of the teacher
        # or of the student before its first step, or those of the pseudo-labels.
        "pseudo"
    )
    bns: float = 0.0  # weight of batch-norm statistics matching on target frames, as SOCKET has it
    kd_warmup: int = 0  # epochs over which the weight of L_kd grows from 0
    ema: float = (
        0.0  # epochs that the result, a moving average of the weights, reaches back; 0: the last weights
    )

    def __post_init__(self) -> None:
        check(self, "tgkt", positive=("epochs", "lr", "head_lr"), unit=("momentum",))


@dataclass(frozen=True)
class ShotConfig:
    """Baseline SHOT: ``im L_IM + pseudo L_self + f L_f + bns L_bns`` on the target frames, without T."""

    epochs: int = 15
    lr: float = 1e-3  # backbone, at step 0
    head_lr: float = 1e-2  # bottleneck, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    im: float = 1.0  # weight of L_ent - L_div
    pseudo: float = 0.3  # weight of the cross-entropy with pseudo-labels
    f: float = 0.0  # weight of the distance of paired TI features
    bns: float = 0.0  # weight of batch-norm statistics matching on target frames
    f_distance: Distance = "mean"  # how L_f sums its squares
    student_norm: Literal["source", "target"] = "source"  # batch-norm statistics that the student starts with
    pseudo_distance: Literal["cosine", "euclidean"] = "cosine"
    pseudo_threshold: int = 0

    def __post_init__(self) -> None:
        check(self, self._section(), positive=("epochs", "lr", "head_lr"), unit=("momentum",))

    @classmethod
    def _section(cls) -> str:
        return "shot"


@dataclass(frozen=True)
class SocketConfig(ShotConfig):
    """Baseline SOCKET: SHOT with paired TI features and batch-norm statistics."""

    f: float = 0.5
    bns: float = 0.5

    @classmethod
    def _section(cls) -> str:
        return "socket"


@dataclass(frozen=True)
class AdaptConfig:
    """The whole of ``tgkt-edge adapt``."""

    method: Literal["tgkt", "tgmb", "socket", "shot", "source-only"] = "tgkt"
    rounds: int = 1  # of TGMB and TGKT in turn; from the second on, the target network so far guides T
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
    shot: ShotConfig = field(default_factory=ShotConfig)
    socket: SocketConfig = field(default_factory=SocketConfig)

    def __post_init__(self) -> None:
        check(self, "", positive=("batch", "rounds"), unit=())
        if self.rounds > 1 and self.method != "tgkt":
            raise ConfigError(f"rounds = {self.rounds}: only the method tgkt has rounds, not {self.method}")
        if self.image_size < 32:
            raise ConfigError(
                f"image_size = {self.image_size}: ResNet-50 shrinks by 32; expected at least 32 pixels"
            )
        if self.batch < 2:
            raise ConfigError(f"batch = {self.batch}: batch norm needs at least 2 frames a step")
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}: expected 0 or more")
        if self.holdout > 0.5:
            raise ConfigError(f"holdout = {self.holdout}: expected 0 to 0.5, a share of the pairs")


# Every value as in the paper (its slips resolved), spelt out so that it stays when the defaults move on.
NAMED: dict[str, dict[str, Any]] = {
    "paper": {
        "image_size": 224,
        "batch": 32,
        "rounds": 1,
        "holdout": 0.0,
        "source": {
            "epochs": 20, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3, "label_smoothing": 0.1,
        },
        "tgmb": {
            "epochs": 15, "lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-3, "d_lr": 1e-4,
            "rec": 1.0, "d1": 1.0, "d2": 1.0, "im": 0.2, "adversary": "flipped", "rec_distance": "mean",
            "optimiser": "sgd", "rec_epochs": 0, "guide": 1.0,
        },
        "tgkt": {
            "epochs": 15, "lr": 1e-3, "head_lr": 1e-2, "momentum": 0.9, "weight_decay": 1e-3,
            "kd": 1.0, "f": 0.2, "self_training": 1.0, "kd_order": "student-first", "kd_frames": "all",
            "student_norm": "source", "teacher_norm": "source", "f_distance": "mean",
            "pseudo_distance": "cosine", "pseudo_threshold": 0, "views": 0,
            "teacher_input": "translated", "im": 0.0, "bns": 0.0, "kd_warmup": 0,
            "pseudo_from": "student", "im_prior": "uniform", "ema": 0.0, "kd_paired": 0.0, "pseudo_balance": 0.0,
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
    merged = merge(dataclasses.asdict(AdaptConfig()), tree)
    for key, value in (flags or {}).items():
        if value is not None:
            merged = merge(merged, nested(key, value))
    from_dict(AdaptConfig, merged, "command line")
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {text}: expected key=value, for example --set tgmb.epochs=30")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {text}: the value is not YAML: {error}") from error
        # Checked alone first, so that the message names this --set.
        from_dict(AdaptConfig, nested(key.strip(), parsed), f"--set {text}")
        merged = merge(merged, nested(key.strip(), parsed))
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
        raise ConfigError(f"--config {path}: holds {type(values).__name__}, expected key: value pairs")
    return values
