"""`predict`: what a table holds, in each format; what is refused."""

from __future__ import annotations

import csv
import json
import sys
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import tgkt_edge
from tests.support.bundles import save_bundle
from tests.support.images import make_frames, save_frames
from tests.support.pipeline import InstantEngine
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import MissingDependency, SourceLostError, UsageError
from tgkt_edge.runtime import open_engine
from tgkt_edge.runtime.infer.preprocess_stage import prepare
from tgkt_edge.runtime.predict import answers
from tgkt_edge.runtime.predict.predict import batch_size
from tgkt_edge.runtime.sinks import STDOUT


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run_records(bundle: Bundle, source: object, folder: Path) -> list[dict[str, Any]]:
    with (folder / "run.jsonl").open("w+", encoding="utf-8") as out:
        tgkt_edge.run(bundle.path, str(source), sinks=[STDOUT], top_k=9, out=out, live=False)
        out.seek(0)
        return [record for line in out if "event" not in (record := json.loads(line))]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """12 frames; the first file is damaged, one frame is all invalid, one of another size."""
    frames = make_frames(12)
    frames[3][:] = 0
    frames[7] = frames[7][:, :40]
    folder = save_frames(tmp_path / "frames", frames)
    (folder / "frame_0.png").write_bytes(b"\x89PNG broken")
    return folder


@pytest.mark.parametrize("batch", [None, 1, 4, 100])
def test_rows_are_what_run_answers(
    tmp_path: Path, depth_bundle: Bundle, mixed: Path, batch: int | None
) -> None:
    records = run_records(depth_bundle, mixed, tmp_path)
    summary = tgkt_edge.predict(depth_bundle.path, str(mixed), tmp_path / "t.jsonl", batch=batch, live=False)
    rows = rows_of(tmp_path / "t.jsonl")
    assert (summary.frames, summary.bad, summary.resumed, summary.stopped) == (12, 3, 0, "end")
    assert len(records) == len(rows) == 12
    assert len({row.get("label") for row in rows}) > 2  # else equality would prove little
    for record, row in zip(records, rows, strict=True):
        assert [row[key] for key in ("frame", "path")] == [record["frame"], record["source"]]
        assert row.get("error") == record.get("error")
        assert row.get("label") == record.get("label")
        if "label" in row:
            given = {one["label"]: one["probability"] for one in record["top"]}
            assert list(row["probabilities"]) == list(depth_bundle.classes)
            if batch in (None, 1):  # on a CPU: one frame a call
                assert row["probabilities"] == given
            assert row["probabilities"] == pytest.approx(given, abs=1e-6)
            assert row["probability"] == max(row["probabilities"].values())


@pytest.mark.parametrize("batch", [1, 4])
def test_rows_do_not_depend_on_how_threads_share_the_work(
    tmp_path: Path, depth_bundle: Bundle, mixed: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many calls at once as processors each thread decodes what it has inferred; else others decode."""
    listed = tmp_path / "many.csv"
    names = [f"{mixed.name}/frame_{number % 12}.png" for number in range(30)]
    listed.write_text("\n".join(["frame", *names]), encoding="utf-8")
    threads = set()

    def watched(*given: Any) -> Any:
        threads.add(threading.current_thread().name.rpartition("_")[0])
        return prepare(*given)

    monkeypatch.setattr(answers, "prepare", watched)
    tables = {}
    for processors, decode in ((1, "tgkt-edge lane"), (64, "tgkt-edge decode")):
        monkeypatch.setattr(answers, "usable_cpus", lambda count=processors: count)
        threads.clear()
        tgkt_edge.predict(
            depth_bundle.path, str(listed), tmp_path / f"{decode}.jsonl", batch=batch, live=False
        )
        assert threads == {decode}
        tables[decode] = rows_of(tmp_path / f"{decode}.jsonl")
    one, other = tables.values()
    assert len(one) == len(other) == 30
    bad = [number for number in range(30) if number % 12 in (0, 3, 7)]
    for mine, its in zip(one, other, strict=True):
        assert ("error" in mine) == (mine["frame"] in bad)
        for key in ("frame", "path", "label", "error", "health"):
            assert mine.get(key) == its.get(key)
        assert mine.get("probabilities", {}) == pytest.approx(its.get("probabilities", {}), abs=1e-6)


def test_csv_and_parquet_hold_the_same_bit_for_bit(tmp_path: Path, depth_bundle: Bundle, mixed: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for name in ("t.jsonl", "t.csv", "t.parquet"):
        tgkt_edge.predict(depth_bundle.path, str(mixed), tmp_path / name, live=False)
    rows = rows_of(tmp_path / "t.jsonl")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "t.parquet")
    fields = ["frame", "time", "label", "probability", "health", "error", "path"]
    names = [*fields, *(f"p_{name}" for name in depth_bundle.classes)]
    assert table.column_names == list(cells[0]) == names
    for row, cell, line in zip(rows, cells, table.to_pylist(), strict=True):
        assert [int(cell["frame"]), line["frame"]] == [row["frame"]] * 2
        assert [cell["path"], line["path"]] == [row["path"]] * 2
        assert [cell["error"], line["error"] or ""] == [row.get("error", "")] * 2
        assert [cell["label"], line["label"] or ""] == [row.get("label", "")] * 2
        assert [cell["health"].split(), line["health"]] == [row.get("health", [])] * 2
        assert abs(line["time"].timestamp() - row["time"]) < 60
        for name in depth_bundle.classes:
            own = row.get("probabilities", {}).get(name)
            assert line[f"p_{name}"] == own
            assert (np.float32(cell[f"p_{name}"]) if cell[f"p_{name}"] else None) == own
    assert any(row.get("health") == ["invalid"] for row in rows)
    job = json.loads(table.schema.metadata[b"tgkt_edge"])
    assert job["bundle"] == depth_bundle.digest
    assert not list(tmp_path.glob("*.partial"))


def test_a_table_of_a_list_of_a_recording_and_of_a_video(tmp_path: Path, depth_bundle: Bundle) -> None:
    """The same frames, however they are kept, get the same answers."""
    frames = make_frames(6)
    folder = save_frames(tmp_path / "f", frames)
    (tmp_path / "list.csv").write_text("frame\n" + "".join(f"f/frame_{n}.png\n" for n in range(6)))
    for form in ("png", "ffv1"):
        tgkt_edge.record(str(folder), tmp_path / form, sensor="depth", form=form, live=False)
    tables = []
    for source in ("f", "f/*.png", "list.csv", "png", "ffv1"):
        out = tmp_path / "t.csv"
        tgkt_edge.predict(depth_bundle.path, str(tmp_path / source), out, batch=1, overwrite=True, live=False)
        with out.open(encoding="utf-8", newline="") as file:
            tables.append([[row["frame"], row["label"], row["p_office"]] for row in csv.DictReader(file)])
    assert len(tables[0]) == 6
    assert all(table == tables[0] for table in tables)
    recorded = json.loads((tmp_path / "png" / "frames.jsonl").read_text().splitlines()[2])
    tgkt_edge.predict(depth_bundle.path, str(tmp_path / "png"), tmp_path / "r.jsonl", live=False)
    assert rows_of(tmp_path / "r.jsonl")[2]["time"] == pytest.approx(recorded["time"], abs=1e-5)


def test_answers_of_a_calibrated_bundle_are_calibrated(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "b")
    softer = Bundle(
        path=bundle.path, classes=bundle.classes, sensor=bundle.sensor, size=bundle.size,
        calibration={"temperature": 3.0},
    ).write()  # fmt: skip
    folder = save_frames(tmp_path / "f", make_frames(3))
    tgkt_edge.predict(softer.path, str(folder), tmp_path / "t.jsonl", batch=3, live=False)
    records = run_records(softer, folder, tmp_path)
    assert [row["probability"] for row in rows_of(tmp_path / "t.jsonl")] == pytest.approx(
        [record["probability"] for record in records], abs=1e-6
    )


def test_a_table_that_is_there(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder, out = save_frames(tmp_path / "f", make_frames(3)), tmp_path / "t.csv"

    def again(**other: Any) -> Any:
        arguments = {"bundle": depth_bundle.path, "source": str(folder), "out": out, "live": False, **other}
        return tgkt_edge.predict(**arguments)

    out.write_text("my own notes\n")
    with pytest.raises(UsageError, match=r"t\.csv already exists, and no t\.csv\.job\.json"):
        again()
    assert out.read_text() == "my own notes\n"
    assert again(overwrite=True).frames == 3
    table = out.read_bytes()
    assert (again().resumed, out.read_bytes()) == (3, table)  # complete: nothing to do
    other = save_bundle(tmp_path / "other")
    (other.path / "note.txt").write_text("another digest")
    other.write()
    with pytest.raises(UsageError, match="begun with another bundle: rows of the two"):
        again(bundle=other.path)
    with pytest.raises(UsageError, match=r"begun with another batch \(1, now 2\)"):
        again(batch=2)
    save_frames(folder, make_frames(1, seed=5), "frame_9{}.png")
    with pytest.raises(UsageError, match=r"begun with another list of files \(names, sizes or times\): rows"):
        again()
    assert out.read_bytes() == table
    assert again(overwrite=True).frames == 4
    second = {
        "source": str(save_frames(tmp_path / "nir", [frame >> 8 for frame in make_frames(2)])),
        "out": tmp_path / "u.csv",
    }
    cv2.imwrite(str(tmp_path / "nir/frame_0.png"), np.full((8, 8), 9, np.uint8))
    with pytest.raises(SourceLostError, match="uint8 pixels"):
        again(**second)
    assert (tmp_path / "u.csv.partial").exists()
    (tmp_path / "nir/frame_0.png").unlink()
    assert again(**second).frames == 1  # other files, but not one row was there
    (tmp_path / "t.csv.job.json").write_text("{")
    with pytest.raises(UsageError, match=r"t\.csv\.job\.json cannot be read"):
        again()


def test_what_is_refused(tmp_path: Path, depth_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_frames(tmp_path / "f", make_frames(2))
    listed = tmp_path / "list.csv"
    listed.write_text("frame\nf/frame_0.png\n")

    def refused(source: object = folder, out: str = "t.csv", **more: Any) -> str:
        with pytest.raises((UsageError, SourceLostError, MissingDependency)) as caught:
            tgkt_edge.predict(depth_bundle.path, str(source), tmp_path / out, live=False, **more)
        return str(caught.value)

    assert "expected a name that ends in .parquet, .csv, .jsonl" in refused(out="t.txt")
    assert "expected at least 1" in refused(batch=0)
    assert "For a camera: tgkt-edge run" in refused("/dev/video0")
    assert "does not exist" in refused(tmp_path / "none.csv")
    assert "does not exist. Expected recorded frames: a folder," in refused(tmp_path / "none")
    assert "lists the frames" in refused(listed, out="list.csv", overwrite=True)
    assert listed.read_text().startswith("frame\n")
    eight = save_frames(tmp_path / "eight", make_frames(2, "uint8"))
    assert "uint8 pixels, but the sensor is uint16" in refused(eight)
    dark = save_frames(tmp_path / "dark", [np.zeros((48, 64), np.uint16)] * 3)
    assert "none of 3 frames could be classified" in refused(dark, out="dark.csv")
    assert len((tmp_path / "dark.csv").read_text().splitlines()) == 4
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "[tables]" in refused(out="t.parquet")
    assert not (tmp_path / "t.parquet.partial").exists()  # refused before any work


def test_batches_follow_the_engine() -> None:
    class Plan(InstantEngine):
        max_batch = 8

    class Gpu(InstantEngine):
        name = "onnxruntime, CUDA"

    class Cpu(InstantEngine):
        name = "onnxruntime, CPU"

    assert [batch_size(engine, None) for engine in (Plan(), Gpu(), Cpu())] == [8, 32, 1]
    assert batch_size(Gpu(), 500) == 500
    with pytest.raises(UsageError, match=r"at most 8.*--max-batch 9"):
        batch_size(Plan(), 9)


def test_a_bundle_answers_as_its_engine(tmp_path: Path, depth_bundle: Bundle) -> None:
    """The last group of a batch is shorter; its answers are the engine's own."""
    folder = save_frames(tmp_path / "f", make_frames(5))
    tgkt_edge.predict(depth_bundle.path, str(folder), tmp_path / "t.jsonl", batch=2, live=False)
    from tgkt_edge.preprocess import preprocess

    engine = open_engine(depth_bundle)
    for row, frame in zip(rows_of(tmp_path / "t.jsonl"), make_frames(5), strict=True):
        unit = preprocess(frame, depth_bundle.sensor, depth_bundle.size)
        expected = engine.infer(unit[np.newaxis])[1][0]
        np.testing.assert_allclose(list(row["probabilities"].values()), expected, atol=1e-6)
