"""Folders and files that this user may not read: said, and never skipped as if they were not there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.cli import cli_environment

pytestmark = pytest.mark.slow

ENVIRONMENT = cli_environment()
LOAD = """
import sys
from pathlib import Path
from tgkt_edge.data.loading import load_frames, load_images
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import PRESETS
try:
    path = Path(sys.argv[2])
    load_images(path, 16) if sys.argv[1] == "--source" else load_frames(path, PRESETS["depth"], 16)
except DataError as error:
    print(error)
"""


@pytest.fixture
def classes(tmp_path: Path) -> Iterator[Path]:
    """Three class folders, one of which may not be listed, and a CSV that may not be opened."""
    for name in ("kitchen", "office", "secret"):
        (tmp_path / name).mkdir()
        assert cv2.imwrite(str(tmp_path / name / "1.png"), np.full((24, 32, 3), 90, np.uint8))
    (tmp_path / "frames.csv").write_text("frame\nkitchen/1.png\n")
    (tmp_path / "secret").chmod(0)
    (tmp_path / "frames.csv").chmod(0)
    yield tmp_path
    (tmp_path / "secret").chmod(0o755)


def as_anybody(*words: str) -> str:
    """What the program says that runs without root's power to read everything."""
    drop: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything, and there is no setpriv to give that up")
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", LOAD, *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_class_folder_that_cannot_be_listed_is_no_missing_class(classes: Path) -> None:
    messages = as_anybody("--source", str(classes))
    assert f"`source` {classes}: {classes / 'secret'} cannot be read: Permission denied" in messages


def test_a_table_that_cannot_be_opened(classes: Path) -> None:
    messages = as_anybody("--target", str(classes / "frames.csv"))
    assert messages == f"`target` {classes / 'frames.csv'}: cannot be read: Permission denied\n"
