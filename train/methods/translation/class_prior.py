"""``--prior``: how frequent the classes are expected to be among the task's frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.names import clean, label_index
from tgkt_edge.data.table import Row, read_table
from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.train.methods.translation.estimated_prior import TRUSTED, estimated_prior
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.prior import log_softmax, mixed

Reals = NDArray[np.float64]

NAMED = ("estimated", "between", "shares", "half", "uniform")

DOUBT = 0.5
"""Of the class shares that the translation's own answers show, where the source model does not know any: the frequent
classes are answered too often, the rare ones too seldom."""

DOUBTS = (0.0, 0.5, 1.0)
"""Degrees of it whose teachers are averaged where nothing else tells the shares: each of them alone is far from the
best on some task."""

TOLERANCE = 1e-3
"""Shares in a file may miss a sum of 1 by this much, as rounded ones do."""


def read_prior(text: str, classes: Sequence[str]) -> Reals | None:
    """(K,) shares of a CSV ``class,share``; None for one of NAMED.

    Raises:
        ConfigError: no such file, a class that is unknown, missing or given twice, or shares that are no shares.
    """
    if text in NAMED:
        return None
    path = Path(text)
    if not path.is_file():
        raise ConfigError(
            f"`prior={text}`: neither a file nor one of {', '.join(NAMED)}. Expected a CSV with columns class,share."
        )
    try:
        rows = read_table(path, f"`prior={text}`", ("class", "share"))
    except DataError as error:
        raise ConfigError(str(error)) from error
    named = [clean(row.fields["class"]) for row in rows]
    known = label_index(classes, named)
    given = [known[name] for name in named if name in known]
    unknown = [name for name in named if name not in known]
    missing = [name for number, name in enumerate(classes) if number not in given]
    if unknown or missing or len(set(given)) < len(given):
        twice = sorted({classes[number] for number in given if given.count(number) > 1})
        found = [("unknown", unknown), ("missing", missing), ("given twice", twice)]
        problems = "; ".join(f"{what}: {', '.join(map(repr, some))}" for what, some in found if some)
        raise ConfigError(f"`prior={text}`: {problems}. The source model's classes are {', '.join(classes)}.")
    shares = dict(zip(given, rows, strict=True))
    values = np.array([_share(shares[number], text) for number in range(len(classes))])
    if not abs(values.sum() - 1) <= TOLERANCE:
        raise ConfigError(
            f"`prior={text}`: the shares sum to {values.sum():g}; expected 1. Divide each by that sum."
        )
    result: Reals = values / values.sum()
    return result


def refuse_labels_of_no_share(
    labelled: Labelled, prior: Reals | None, classes: Sequence[str], text: str
) -> None:
    """Refuse labels of a class that a given prior says no frame is of: one of the two is wrong.

    Args:
        prior: (K,) of :func:`read_prior`. text: what ``prior`` was.

    Raises:
        ConfigError: names the classes, and how many labels each has.
    """
    if prior is None:
        return
    counts = np.bincount(labelled.classes, minlength=len(classes))
    both = [
        f"{name} ({count})"
        for name, count, share in zip(classes, counts, prior, strict=True)
        if count and not share
    ]
    if both:
        raise ConfigError(
            f"`prior={text}` gives the share 0 to classes that `labels` has frames of: {', '.join(both)}. Expected a "
            f"share above 0 for each class that occurs."
        )


Towards = tuple[float, Reals]
"""A prior (K,), and how much what it leads to counts."""


def priors(
    name: str,
    shares: Reals | None,
    given: Reals | None,
    classes: int,
    opinions: Sequence[Reals] = (),
    trusted: tuple[float, float] = TRUSTED,
) -> list[Towards]:
    """Class priors for self-training, with weights that sum to 1; the teacher is the weighted mean of their results.

    Args:
        name: one of NAMED, or the file that ``given`` was read from.
        shares: (K,) class shares of the source's images; None, not known: :func:`answered_shares`, or uniform without
            ``opinions``.
        given: (K,) the user's own; taken as it is. classes: K.
        opinions: logits (N, K) of each translation. With two, "estimated" is the prior on which they agree best, as
            far as it can be trusted; the rest, and all of it with one, is "between"; with one and without ``shares``,
            DOUBTS of those that it answers.
        trusted: nats gained from which on it counts, and from which on it counts alone.
    """
    if given is not None:
        return [(1.0, given)]
    if shares is None and name == "estimated" and len(opinions) == 1:
        return [(1 / len(DOUBTS), answered_shares(opinions[0], doubt)) for doubt in DOUBTS]
    known = shares
    if known is None:
        known = answered_shares(opinions[0]) if len(opinions) else np.full(classes, 1 / classes)
    found, trust = [], 0.0
    if name == "estimated":
        if len(opinions) == 2:
            estimate = estimated_prior(opinions[0], opinions[1], known)
            trust = estimate.trust(trusted)
            found = [(trust, estimate.prior)]
        name = "between"
    by_name = {"shares": (0.0,), "half": (0.5,), "uniform": (1.0,), "between": (0.0, 0.5)}
    found += [((1 - trust) / len(by_name[name]), mixed(known, uniform)) for uniform in by_name[name]]
    return [(weight, prior) for weight, prior in found if weight > 0]


def answered_shares(logits: Reals, doubt: float = DOUBT) -> Reals:
    """(K,) mean of the answers (N, K) before they are balanced, ``doubt`` of its weight spread over all classes."""
    result: Reals = mixed(np.exp(log_softmax(logits)).mean(0), doubt)
    return result


def _share(row: Row, file: str) -> float:
    text = row.fields["share"].strip()
    try:
        value = float(text.replace(",", "."))  # as spreadsheets of many countries write it
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:  # also if it is not a number
        raise ConfigError(
            f"`prior={file}`, line {row.line}: the share of {clean(row.fields['class'])!r} is {text!r}; expected a "
            f"number from 0 to 1"
        )
    return value
