"""How long a whole run still takes: one number for all its stages and the report, from what was measured so far.

Before anything is measured, a part's cost is nominal: how often a ResNet-50 answers an image in it, and seconds of
linear algebra, on two cores. Each part that is begun corrects its own rate, and all of them those to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tgkt_edge.config import AdaptConfig

ANSWER_S = 0.06
"""Nominal seconds for one image of 224 pixels through a ResNet-50."""

TRAINED = 3
"""So many answers cost as much as one image forwards and backwards."""

SMALLER = 0.4
"""What another target network costs beside a ResNet-50, about: a ResNet-18."""

OF_MODEL, GENERIC = "RGB of the source", "RGB of the source, generic"
"""Features of labelled images: by the network that was trained on them, and by the one that describes the frames."""

WAY_BACK = "RGB of pairs for the way back"

OWN_LOOK = {
    "paired frames": "normals of pairs to the source model",
    "target": "normals of the task to the source model",
}
"""Features of frames by an imported model, which are corrected beside the generic ones that are translated."""

_KNOWN = 0.02  # share of a part, or of the run, from which its own rate counts


_CHOICE, _ANSWERS, _PAGES = "choice on pairs left out", "answers", "pages"
_NO_NETWORK = (_CHOICE, _ANSWERS, _PAGES)
"""Parts that cost about the same however large images are, and of which a network's speed says little."""


@dataclass
class _Part:
    cost: float  # nominal seconds
    done: float = 0.0  # share
    measured: float = 0.0  # share of it that took time here, and was not there already
    seconds: float = 0.0


class TimeLeft:
    """Counts what each part of a run took.

    Args:
        stages: the parts of every stage in order, with their nominal seconds.
    """

    def __init__(
        self, stages: Mapping[str, Mapping[str, float]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stages = {
            stage: {name: _Part(cost) for name, cost in parts.items()} for stage, parts in stages.items()
        }
        self._clock, self._last = clock, clock()
        self._stage = ""

    def expected(self, factor: float) -> dict[str, float]:
        """Seconds of each stage that is still to be done, where a network takes ``factor`` of its nominal time."""
        return {
            stage: sum(part.cost * (1.0 if name in _NO_NETWORK else factor) for name, part in parts.items())
            for stage, parts in self._stages.items()
        }

    def begin(self, stage: str) -> None:
        """A stage begins: those before it are over, whether they had to be trained or lay there."""
        for name in self._stages:
            if name == stage:
                break
            self.end(name)
        self._stage, self._last = stage, self._clock()

    def end(self, stage: str) -> None:
        """A stage is over, with all that was expected of it and turned out not to be needed."""
        for part in self._stages.get(stage, {}).values():
            part.done = 1.0

    def advance(self, name: str, done: float, *, known: bool = False) -> None:
        """``done``: the share of a part of this stage that is done now. known: it was there already, in no time."""
        now, part = self._clock(), self._stages.get(self._stage, {}).get(name)
        if part is not None:
            if not known:
                part.measured += max(0.0, done - part.done)
                part.seconds += now - self._last
            part.done = done
        self._last = now

    def seconds(self) -> float | None:
        """Seconds that are left; None before enough was measured to tell."""
        parts = [part for stage in self._stages.values() for part in stage.values()]
        costs, took = sum(part.cost * part.measured for part in parts), sum(part.seconds for part in parts)
        if costs < _KNOWN * sum(part.cost * (1 - part.done + part.measured) for part in parts) or took <= 0:
            return None
        slower = took / costs
        return sum(
            (1 - part.done)
            * (
                part.seconds / part.measured
                if part.measured >= _KNOWN
                else part.cost * (min(max(slower, 1 / 3), 3.0) if name in _NO_NETWORK else slower)
            )
            for stage in self._stages.values()
            for name, part in stage.items()
        )


def in_words(seconds: float) -> str:
    """``95 s``, ``12 min``, ``3 h 20 min``: no more digits than an estimate has."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def parts_of_run(
    config: AdaptConfig,
    images: int,
    target: int,
    pairs: int,
    held: int,
    depth: bool,
    own: bool,
    kept: int = 0,
    back: bool = False,
    looks: bool = False,
) -> dict[str, dict[str, float]]:
    """What :class:`TimeLeft` expects of a run.

    Args:
        images: labelled ones that the source model learns from; 0: it is there. target, pairs, held: frames, pairs to
            train on, pairs kept for the report. depth: frames have surface normals.
        own: the source model's own features describe the frames.
        kept: labelled images of a model of another program whose features are to be stored; back: there are such
            features, from which a translation the other way learns. looks: the source model is one that may
            look at depth itself.
    """
    answer = ANSWER_S * (config.image_size / 224) ** 2
    views = answer * config.translation.views
    step = answer * TRAINED
    stages: dict[str, dict[str, float]] = {}
    if images:
        trained = {} if config.linear_source else {"source": config.source.epochs * images * step}
        stages["source"] = {**trained, OF_MODEL: images * views}
    if kept:
        stages["source"] = {OF_MODEL: kept * views, GENERIC: kept * views}
    networks = 2
    if config.by_features:
        encodings = 2 if depth and config.translation.encodings != "plain" else 1
        # Translated from, and what the network sees: the same where no generic features describe the frames.
        names = ("normals",) if config.weights == "none" else ("relative normals", "normals")
        start = config.translation.start  # whether the ridge may correct the identity
        corrects = start == "identity" or (start == "auto" and not depth)
        looks = looks and depth and not back and start == "auto" and encodings > 1
        likely = 0.75 * target * views  # each encoding of the task's frames: not all of them are chosen
        stages["translate"] = {
            "RGB of pairs": pairs * views,
            "plain frames of pairs": pairs * views,
            **({f"{names[0]} frames of pairs": pairs * views} if encodings > 1 else {}),
            **({WAY_BACK: pairs * views} if back else {}),
            **({OWN_LOOK["paired frames"]: pairs * views} if looks else {}),
            **({"frames of pairs to the source model": pairs * views} if corrects and not own else {}),
            _CHOICE: 10.0 * (3 if encodings > 1 else 1),
            "plain frames of the task": likely if encodings > 1 else target * views,
            **({f"{name} frames of the task": likely for name in names} if encodings > 1 else {}),
            **({} if own or not corrects else {"frames of the task to the source model": likely}),
            **({OWN_LOOK["target"]: target * views} if looks else {}),
            _ANSWERS: 12.0,
        }
        if config.method == "tgkt":
            stages["tgkt"] = {"tgkt": config.student.epochs * target * (step + answer)}
            if config.distills:
                smaller = SMALLER * (step * (target + min(target, pairs)) + answer * target)
                # Of the task they are kept; of the pairs the translation saw other normals than the network does.
                again = pairs * views if encodings > 1 and len(names) > 1 else 1e-3 * pairs
                stages["tgkt"] = {
                    "frames of the task": 1e-3 * target,
                    "frames of pairs": again,
                    "tgkt": config.distill.epochs * smaller,
                }
            networks = 3
    elif config.continues:
        stages["continue"] = {"frames": target * views, _ANSWERS: 12.0}
        if config.continuing.epochs:
            stages["tgkt"] = {"tgkt": config.continuing.epochs * target * (step + answer)}
    elif config.method in ("tgmb", "tgkt"):
        stages["tgmb"] = {"tgmb": config.tgmb.epochs * target * (2 * step + answer)}
        if config.method == "tgkt":
            stages["tgkt"] = {"tgkt": config.tgkt.epochs * target * (2 * step + 3 * answer)}
        networks = 3 if config.method == "tgkt" else 2
    elif config.method in ("shot", "socket"):
        cfg = config.socket if config.method == "socket" else config.shot
        paired = step + answer if cfg.f else 0.0
        stages[config.method] = {config.method: cfg.epochs * target * (step + answer + paired)}
    else:
        networks = 1
    stages["report"] = {"report": answer * (networks * (target + held) + held), _PAGES: 3.0}
    return stages
