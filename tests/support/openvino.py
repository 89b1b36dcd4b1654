"""OpenVINO, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def need_openvino() -> None:
    """Skip where it is not installed. Without importing it: its package would look a host up."""
    if find_spec("openvino") is None:
        pytest.skip("needs openvino (extra openvino)")
