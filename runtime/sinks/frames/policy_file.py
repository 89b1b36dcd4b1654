"""``DIR/policy.json``: how the frames beside it were chosen, and what the next run goes on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgkt_edge.io.atomic import write_json
from tgkt_edge.io.recording_format import POLICY

SCHEMA = 1
"""Version of policy.json."""

_HOW = (
    "random: a uniform sample of all different frames that were classified while this folder was written (those with "
    "the largest numbers drawn from their content; all above 'floor' are here). Accuracy estimated on it is that of "
    "the frames the camera saw. uncertain, novel: chosen for being difficult or unlike those kept before, so accuracy "
    "estimated on them says nothing about the whole."
)


def read_policy_file(folder: Path) -> dict[str, Any]:
    """What an earlier run left: ``salt``, ``floor``, ``seen`` and ``duplicates``; empty: there is no file.

    Raises:
        ValueError, KeyError, TypeError: it is damaged. OSError: it cannot be read.
    """
    path = folder / POLICY
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return {key: values[key] for key in ("salt", "floor", "seen", "duplicates")}


def write_policy_file(
    folder: Path, budget: int, parts: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any]
) -> None:
    """Write it in one step. Raises OSError or TgktEdgeError.

    Args:
        budget: bytes. parts: ``share`` of the budget and number of ``frames``, by part. state: as read_policy_file
            returns it.
    """
    write_json(
        folder / POLICY,
        {
            "schema": SCHEMA,
            "budget_bytes": budget,
            "parts": parts,
            **state,
            "random_share_of_frames": 1 - max(0.0, float(state["floor"])),
            "how": _HOW,
        },
    )
