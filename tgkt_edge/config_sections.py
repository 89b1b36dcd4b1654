"""The sections of :class:`tgkt_edge.config.AdaptConfig`, one a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tgkt_edge.config_parsing import check
from tgkt_edge.errors import ConfigError

Distance = Literal["mean", "sum", "frobenius"]


@dataclass(frozen=True)
class SourceConfig:
    """Stage 1: the RGB classifier. A linear head on frozen features, or cross-entropy with label smoothing, SGD."""

    mode: Literal["auto", "linear", "finetune"] = (
        # "linear": class-balanced softmax regression on the frozen backbone of ``weights``, whose features stay
        # generic; "finetune": the whole network learns; "auto": linear where features are translated with weights
        "auto"
    )
    c: float = 0.01  # of the softmax regression, inverse of its L2 penalty, for one image
    keep: int = 2000  # images whose pooled features are stored with the model, for a translation the other way; 0: none
    epochs: int = 20  # of "finetune", as all that follows
    lr: float = 1e-3  # backbone, at step 0
    head_lr: float = 1e-2  # bottleneck and classifier, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    label_smoothing: float = 0.1  # share of the target spread over all classes

    def __post_init__(self) -> None:
        check(self, "source", positive=("c", "epochs", "lr", "head_lr"), unit=("momentum", "label_smoothing"))


@dataclass(frozen=True)
class ContinueConfig:
    """Continuing from a shipped network: a new head on its features (as ``translation`` says), then perhaps SGD."""

    epochs: int = 0  # of the whole network after that, as ``student`` says; 0: none

    def __post_init__(self) -> None:
        check(self, "continuing", positive=(), unit=())


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
    optimizer: Literal["sgd", "adam"] = "sgd"  # of T; Adam takes momentum as its first beta
    rec_epochs: int = 0  # first epochs of L_rec alone

    def __post_init__(self) -> None:
        check(self, "tgmb", positive=("epochs", "lr", "d_lr"), unit=("momentum",))


@dataclass(frozen=True)
class TranslationConfig:
    """Stage 2 in feature space: frames' features to those of the source model on RGB, in closed form."""

    views: int = (
        4  # fixed crops of each image: centre, its mirror image, top left, bottom right mirrored; 1 to 4
    )
    encodings: Literal["auto", "plain", "normals", "both"] = (
        # of depth maps: as they are, as surface normals, or both; "auto": what pairs left out favour
        "auto"
    )
    start: Literal["auto", "zero", "identity"] = (
        # what the ridge draws the translation to; "auto": as above; of depth the identity where the source model sees
        # what describes the frames, else zero
        "auto"
    )
    strength: float = 0.0  # of the ridge, for one view of a pair; 0: as above
    reverse: float = (
        300.0  # strength of the ridge back, from the source's features to the frames'; 0: not that way
    )
    reverse_c: float = (
        0.01  # of the softmax regression on the source's features as frame features, for one image
    )
    reverse_weight: float = (
        2.0  # of its logits beside those of the translation of frames, both of unit spread
    )
    reverse_head: Literal["auto", "regression", "means"] = (
        # for a translation from zero, on these features: a softmax regression, or how like a frame is to the class
        # means; "auto": the one that tells more of what the translation of frames answers
        "auto"
    )
    scale: float = 3.0  # spread that the logits are brought to
    prior: str = "estimated"  # expected class shares: estimated, between, shares, half, uniform, or a CSV
    components: int = (
        64  # main directions of the frames that self-training sees, at most a third of the frames
    )
    rounds: int = 12  # of self-training; 0: the translation's own answers are the teacher
    c: float = 8.0  # of the softmax regression in self-training, inverse of its L2 penalty, over the number of frames
    keep: float = 0.5  # weight of the first answers' log probabilities in every round
    spread: float = (
        0.7  # share of its nearest frames in a frame's answer, after self-training; 0: each for itself
    )
    spread_power: float = 2.0  # of the mixed answers, which mixing made less sure
    neighbors: int = 5  # of these frames, by the cosine of their main directions
    head_c: float = (
        8.0  # of the softmax regression that makes the network which is exported, over that number
    )
    force: bool = False  # go on where pairs left out show that nothing was translated

    def __post_init__(self) -> None:
        check(
            self,
            "translation",
            positive=(
                "views",
                "components",
                "neighbors",
                "spread_power",
                "c",
                "head_c",
                "reverse_c",
                "scale",
            ),
            unit=("spread",),
        )
        if self.views > 4:
            raise ConfigError(f"translation.views = {self.views}: expected 1 to 4")


@dataclass(frozen=True)
class StudentConfig:
    """Stage 3 after a translation in feature space: the target network learns the teacher's soft labels."""

    arch: str = (
        # resnet50: a copy of the translation's network; any other name of torchvision's or timm:NAME: see ``distill``
        "resnet50"
    )
    weights: str = "imagenet"  # where another network than resnet50 starts: imagenet, none, or a file
    epochs: int = 2  # of a copy, as all that follows
    lr: float = 1e-4  # backbone, at step 0
    head_lr: float = 1e-4  # classifier, at step 0
    momentum: float = 0.9
    weight_decay: float = 1e-3
    norms: Literal["frozen", "batch"] = (
        # batch-norm statistics while it learns: those that it starts with and its head was fitted on, or each batch's
        "frozen"
    )
    mixup: float = 0.0  # both parameters of the Beta distribution that two frames are mixed by; 0: none are
    renew_after: int = 2  # epochs after which the labels are renewed before each further one
    keep: float = 0.5  # weight of the first answers' log probabilities in renewed labels
    ema: float = 1.0  # epochs that the result, a moving average of the weights, reaches back; 0: the last

    def __post_init__(self) -> None:
        check(self, "student", positive=("epochs", "lr", "head_lr"), unit=("momentum",))


@dataclass(frozen=True)
class DistillConfig:
    """Stage 3 after a translation in feature space, for a target network of another kind (``student.arch``)."""

    epochs: int = 20
    lr: float = (
        1e-3  # AdamW, the largest: it rises over the first twentieth of the steps and falls to 0 in a cosine
    )
    weight_decay: float = 0.05
    features: float = 1.0  # weight of the distance to the features of the translation's network

    def __post_init__(self) -> None:
        check(self, "distill", positive=("epochs", "lr"), unit=())


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
    kd_frames: Literal["all", "agreeing"] = (
        "agreeing"  # L_kd on all target frames, or only where the teacher's class is the pseudo-label
    )
    f_distance: Distance = "mean"  # how L_f sums its squares
    student_norm: Literal["source", "target"] = "target"  # batch-norm statistics that the student starts with
    teacher_norm: Literal["source", "translated"] = "translated"  # batch-norm statistics that the teacher has
    pseudo_distance: Literal["cosine", "euclidean"] = "cosine"  # nearest centroid in (12) and (14)
    pseudo_threshold: int = 0  # classes with this many frames or fewer are dropped between the two rounds
    teacher_input: Literal["translated", "frame"] = "translated"  # "frame": grey repeated three times, no T
    im: float = (
        1.0  # weight of L_IM (5) of the target network on target frames, as SHOT has it; the paper has none
    )
    im_prior: Literal["uniform", "teacher", "start", "pseudo"] = (
        # Shares of the classes that L_IM draws the mean prediction to: all alike, the mean prediction of the teacher
        # or of the student before its first step, or those of the pseudo-labels.
        "pseudo"
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
