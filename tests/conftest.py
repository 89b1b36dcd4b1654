"""Fixtures of all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tgkt_edge import trt
from tgkt_edge.errors import MissingDependency

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout these tests belong to."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real frames that are not part of the project: ``TGKT_EDGE_DATA``, else ``../shared/data`` beside the checkout."""
    path = Path(os.environ.get("TGKT_EDGE_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no real data: {path} does not exist (set TGKT_EDGE_DATA)")
    return path


@pytest.fixture(scope="session")
def rtx() -> trt.TensorRt:
    """TensorRT-RTX, which builds plans for GPUs that are not here."""
    try:
        found = trt.find()
    except MissingDependency as error:
        pytest.skip(str(error))
    if found.flavour != "tensorrt_rtx":
        pytest.skip(f"{found.text} is installed here, not TensorRT-RTX")
    return found
