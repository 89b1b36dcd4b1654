"""``--prior``: how frequent the classes are expected to be among the task's frames."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError
from tgkt_edge.train.methods.translation.prior import estimated_prior, mixed

Reals = NDArray[np.float64]

NAMED = ("estimated", "between", "shares", "half", "uniform")

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
            f"--prior {text}: neither a file nor one of {', '.join(NAMED)}. Expected a CSV with columns class,share."
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not {"class", "share"} <= set(reader.fieldnames or ()):
                raise ConfigError(f"--prior {text}: expected a CSV with columns class,share")
            rows = [(row["class"] or "", row["share"] or "") for row in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise ConfigError(f"--prior {text}: not a readable CSV: {error}") from error
    names = [name for name, _ in rows]
    unknown = [name for name in names if name not in classes]
    missing = [name for name in classes if name not in names]
    if unknown or missing or len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        found = [("unknown", unknown), ("missing", missing), ("given twice", twice)]
        problems = "; ".join(f"{what}: {', '.join(map(repr, some))}" for what, some in found if some)
        raise ConfigError(f"--prior {text}: {problems}. The source model's classes are {', '.join(classes)}.")
    shares = dict(rows)
    values = np.array([_share(shares[name], name, text) for name in classes])
    if not abs(values.sum() - 1) <= TOLERANCE:
        raise ConfigError(f"--prior {text}: the shares sum to {values.sum():g}; expected 1")
    result: Reals = values / values.sum()
    return result


def priors(
    name: str, shares: Reals | None, given: Reals | None, classes: int, opinions: Sequence[Reals] = ()
) -> list[Reals]:
    """The priors that self-training is done with; the mean of what comes out is the teacher.

    Args:
        name: one of NAMED, or what ``given`` was read from. shares: of the classes among the source's images; None
            where the source model does not know them: uniform then.
        opinions: logits of the translations; of two, "estimated" is what they agree best towards, else "between".
    """
    if given is not None:
        return [given]
    if name == "estimated":
        if shares is not None and len(opinions) == 2:
            return [estimated_prior(opinions[0], opinions[1], shares)[0]]
        name = "between"
    known = shares if shares is not None else np.full(classes, 1 / classes)
    by_name = {"shares": (0.0,), "half": (0.5,), "uniform": (1.0,), "between": (0.0, 0.5)}
    return [mixed(known, uniform) for uniform in by_name[name]]


def _share(text: str, name: str, file: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # also if it is not a number
        raise ConfigError(f"--prior {file}: the share of {name!r} is {text!r}; expected a number from 0 to 1")
    return value
