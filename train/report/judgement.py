"""What a verdict is, whoever reached it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from tgkt_edge.train.report.comparison import Item

Word = Literal["helped", "no evidence", "hurt"]


@dataclass(frozen=True)
class Verdict:
    """``verdict``, one ``sentence`` saying why, the ``evidence``, and ``warnings`` that a person should read.

    ``over``: whether it is about accuracy over frames or over classes (balanced); empty where there is no evidence.
    """

    verdict: Word
    sentence: str
    evidence: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    over: Literal["frames", "classes", ""] = ""

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
