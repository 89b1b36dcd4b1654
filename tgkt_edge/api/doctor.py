"""``tgkt_edge.doctor``: what is installed here and what works."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tgkt_edge.doctor.examine import examine


def doctor() -> dict[str, Any]:
    """Examine this machine: libraries, GPU, cameras, and what to do about what is missing.

    Returns:
        ``run_works``: whether ``run`` works here. ``findings``: one dict a fact with ``check``, ``level`` ("ok",
        "warning" or "problem"), ``text`` and ``advice``, without home folders and the user's name.
    """
    findings, works = examine()
    return {"run_works": works, "findings": [asdict(finding) for finding in findings]}
