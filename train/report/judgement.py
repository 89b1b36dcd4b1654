"""What a verdict is, whoever reached it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from tgkt_edge.train.report.comparison import Item

Word = Literal["helped", "no evidence", "hurt"]

EXCHANGED = (
    "On the frames of the pairs the source model answers something else than on their RGB, as if the halves had been "
    "exchanged among the pairs; check that they belong together, or label some frames to know."
)


@dataclass(frozen=True)
class Verdict:
    """``verdict``, one ``sentence`` saying why, the ``evidence``, and ``warnings`` that a person should read.

    ``over``: whether it is about accuracy over frames or over classes (balanced); empty where there is no evidence.
    ``modality_gap``: how far frames lie from RGB (:func:`reading.modality_gap`); None: not known.
    """

    verdict: Word
    sentence: str
    evidence: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    over: Literal["frames", "classes", ""] = ""
    modality_gap: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As report.json has it."""
        return dataclasses.asdict(self)


def figures(item: Item) -> str:
    """For a sentence."""
    return f"{item.value:+.3f}, 90 % interval {item.low:+.3f} to {item.high:+.3f}"


def structure_sentence(structure: Item, than: str) -> str:
    """What neighborhoods say: ``than`` is "better than ..." or "worse than ..."."""
    return (
        f"The target network's classes fit the neighbourhoods of the frames {than} ({figures(structure)}). This "
        f"is about accuracy over frames."
    )
