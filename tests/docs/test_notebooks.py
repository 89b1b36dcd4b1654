"""The notebooks of the documentation run from the first cell to the last, without a network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.checkout import REPOSITORY

NOTEBOOKS = REPOSITORY / "docs" / "notebooks"


@pytest.mark.parametrize("name", sorted(file.stem for file in NOTEBOOKS.glob("*.ipynb")))
@pytest.mark.slow
def test_a_notebook_runs_and_its_saved_answers_have_no_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where its work folder is made
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # whoever asks the network gets no answer
    file = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    saved = [cell.get("outputs", []) for cell in notebook.cells]
    assert not [out for outputs in saved for out in outputs if out.output_type == "error"]
    assert any(saved), "saved without answers, which its page shows"
    assert file.stat().st_size < 150_000
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    printed = [len(cell.get("outputs", [])) for cell in notebook.cells]
    assert [count > 0 for count in printed] == [len(outputs) > 0 for outputs in saved]
