"""Public halves of keys, and what is said where a signature does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.errors import TgktEdgeError


def pub(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def refused(path: Path, *trust: Path) -> str:
    with pytest.raises(TgktEdgeError) as caught:
        open_trusted(path, trust)
    return str(caught.value)
