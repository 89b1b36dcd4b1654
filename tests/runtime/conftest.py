"""A small real bundle, a camera's driver, and a pipe."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from tests.support.bundles import save_bundle
from tgkt_edge.bundle.bundle import Bundle


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The compiled V4L2 shim, for LD_PRELOAD: see the head of v4l2_shim.c."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to compile the V4L2 shim")
    library = tmp_path_factory.mktemp("shim") / "v4l2_shim.so"
    source = Path(__file__).with_name("v4l2_shim.c")
    subprocess.run(
        [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True
    )
    return str(library)


@pytest.fixture(scope="session")
def depth_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle for a 16-bit depth camera in millimetres, 0 invalid. Read only."""
    return save_bundle(tmp_path_factory.mktemp("depth") / "bundle")


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """The reading and the writing end of a pipe."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as taken, os.fdopen(writer, "w") as given:
        yield taken, given
