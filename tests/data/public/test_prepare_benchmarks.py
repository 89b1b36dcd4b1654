"""``--data`` of benchmarks/tables.py: names, prepared folders, and NAME:SRC."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import DataSet, open_data
from paper_figures import Row

from tgkt_edge.data.public.prepare import prepare


def test_sunrgbd_is_sixteen_tasks_with_the_papers_figures(sun: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    tasks = open_data(f"sunrgbd:{sun}", work)
    assert len({task.name for task in tasks}) == 16
    assert all(Row("tgkt", "tgkt").figure(task.name) for task in tasks)
    for task in tasks:
        files = (task.source, task.target, task.paired, task.labelled, Path(task.sensor))
        assert all(file.is_file() for file in files)
    before = tasks[0].source.stat().st_mtime_ns
    assert open_data(f"sunrgbd:{sun}", work) == tasks  # what is prepared is used again
    assert tasks[0].source.stat().st_mtime_ns == before
    assert open_data(str(work / "sunrgbd"), work) == tasks


def test_a_prepared_folder_goes_by_its_name(sun: Path, tmp_path: Path) -> None:
    prepare("sunrgbd", sun, tmp_path / "mine", source_domain="kv1", target_domain="kv2")
    assert open_data(str(tmp_path / "mine"), tmp_path) == [DataSet("mine", tmp_path / "mine")]
    with pytest.raises(SystemExit, match="unknown data set yours: nyuv2-5 or epfl-6, or a folder"):
        open_data("yours", tmp_path)


def test_the_sets_at_hand(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TGKT_EDGE_DATA", str(data_dir))
    for name, frames in (("nyuv2-5", 814), ("epfl-6", 152)):
        (data,) = open_data(name, tmp_path)
        assert data.name == name
        assert len(data.labelled.read_text().splitlines()) == frames + 1
