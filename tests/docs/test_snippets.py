"""The Python programs that the documentation shows run as they stand, with a folder of frames in place of a camera."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import save_bundle
from tests.support.checkout import REPOSITORY
from tests.support.cli import cli_environment, run_cli
from tests.support.images import make_frames, save_frames

GIVEN = """
import cv2
import numpy as np
frame = cv2.imread("frame.png", cv2.IMREAD_UNCHANGED)
"""
"""What a page takes as given: a raw frame."""


def programs(page: str) -> list[str]:
    """The blocks of Python in a page."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages name: a bundle, frames, a frame, a run's records, and a version of one's own."""
    folder = tmp_path_factory.mktemp("snippets")
    save_bundle(folder / "bundle")
    save_frames(folder / "frames", make_frames(4))
    shutil.copy(sorted((folder / "frames").iterdir())[0], folder / "frame.png")
    done = run_cli(
        "run", folder / "bundle", "--camera", folder / "frames", "--sink", f"jsonl:{folder}/run.jsonl"
    )
    assert done.code == 0, done.stderr
    shutil.copy(REPOSITORY / "examples" / "preprocess.py", folder / "mine.py")
    (folder / "tests").symlink_to(REPOSITORY / "tests")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "count", "after"),
    [
        ("README.md", 1, "assert decision.label in model.classes"),
        ("docs/run.md", 1, "assert len(decisions) == 2 and decision.frame == 3"),
        (
            "docs/predict.md",
            2,
            "assert summary.frames == 4 and set(unsure) <= set(table['path'].to_pylist())",
        ),
        ("docs/records.md", 1, "assert len(labels) == 4"),
        ("docs/preprocessing.md", 1, "assert np.abs(found - codes).max() == 0"),
    ],
)
def test_the_programs_of_a_page_run(page: str, count: int, after: str, place: Path) -> None:
    if page == "docs/predict.md":
        pytest.importorskip("pyarrow")
    blocks = programs(page)
    assert len(blocks) == count
    text = "\n".join([GIVEN, *blocks, after]).replace("realsense://", "frames")
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=place, env=cli_environment(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_objects_that_pages_show_are_json() -> None:
    shown = 0
    for page in ("README.md", "docs/records.md"):
        for block in re.findall(
            r"^```json\n(.*?)^```$", (REPOSITORY / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            decoder, rest = json.JSONDecoder(), block.strip()
            while rest:
                value, end = decoder.raw_decode(rest)
                assert isinstance(value, dict)
                rest, shown = rest[end:].lstrip(), shown + 1
    assert shown >= 5
