"""What ``benchmark`` measured decides which engine ``auto`` takes on the CPU: for that file, processor and versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import save_bundle, save_model
from tests.support.openvino import need_openvino
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.evaluation import cpu_engines
from tgkt_edge.evaluation.cpu_engines import cache_file, openvino_is_faster, remember
from tgkt_edge.runtime import open_engine


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = cache_file()
    assert found == tmp_path / "cache" / "tgkt-edge" / "cpu-engines.json"
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return save_bundle(tmp_path / "bundle")


def rows(cpu: list[float], openvino: list[float], batch: int = 1) -> list[dict[str, Any]]:
    return [
        {"precision": "fp32", "engine": engine, "batch": batch, "round_medians_ms": medians}
        for engine, medians in (("cpu", cpu), ("openvino", openvino))
    ]


def test_the_median_of_the_rounds_ratios_decides(bundle: Bundle) -> None:
    assert openvino_is_faster(bundle, "fp32") is None  # nobody measured
    assert remember(bundle, rows([10, 20, 30], [8, 40, 20])) == [
        "fp32: OpenVINO is 1.25 times as fast as ONNX Runtime here; `engine=auto` takes openvino"
    ]
    assert openvino_is_faster(bundle, "fp32") == 1.25
    assert remember(bundle, rows([10, 20, 30], [9, 16, 25])) == []  # 1.2: nothing changes
    assert openvino_is_faster(bundle, "fp32") == 1.2
    assert remember(bundle, rows([10.0], [9.8])) == [
        "fp32: OpenVINO is 1.02 times as fast as ONNX Runtime here; `engine=auto` takes cpu (ONNX Runtime)"
    ]
    assert openvino_is_faster(bundle, "fp32") is None


def test_what_is_not_kept(bundle: Bundle, cache: Path) -> None:
    remember(bundle, rows([10], [5], batch=8))  # not how a camera's frames are answered
    remember(bundle, rows([0.9], [0.1]))  # too small to matter
    remember(bundle, rows([10], []))  # did not run
    remember(bundle, rows([10], [5])[:1])
    assert openvino_is_faster(bundle, "fp32") is None
    assert not cache.parent.exists()  # nor is a file made for nothing


def test_another_file_processor_or_version_was_not_measured(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(bundle, rows([10], [5]))
    other = save_bundle(tmp_path / "other")
    assert openvino_is_faster(other, "fp32") == 2  # the same bytes
    save_model(other.path / "model.onnx", maps=True)
    assert openvino_is_faster(other.write(), "fp32") is None
    for name, value in (("_processor", lambda: "another"), ("_version", lambda name: "0.1")):
        with monkeypatch.context() as patch:
            patch.setattr(cpu_engines, name, value)
            assert openvino_is_faster(bundle, "fp32") is None
    assert openvino_is_faster(bundle, "fp32") == 2


def test_auto_takes_it_and_says_why_and_who_is_named_stays(bundle: Bundle) -> None:
    need_openvino()
    lines: list[str] = []
    assert open_engine(bundle, say=lines.append).name == "onnxruntime, CPU"
    remember(bundle, rows([10], [5]))
    assert open_engine(bundle, say=lines.append).name == "openvino, CPU"
    assert lines[-1].startswith(
        "engine: openvino, CPU; model.onnx, fp32; 2.00 times as fast as ONNX Runtime when it was measured here"
    )
    assert open_engine(bundle, engine="cpu").name == "onnxruntime, CPU"
    assert open_engine(bundle, lanes=2).name == "onnxruntime, CPU"  # files, side by side: another matter


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": "b"}', "\x00\xff"])
def test_a_damaged_cache_is_none(bundle: Bundle, cache: Path, text: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(text, encoding="utf-8")
    assert openvino_is_faster(bundle, "fp32") is None
    remember(bundle, rows([10], [5]))
    assert openvino_is_faster(bundle, "fp32") == 2
    json.loads(cache.read_text())


def test_a_home_that_cannot_be_written_is_no_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    for home in ("/dev/null/none", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        monkeypatch.setenv("HOME", home or "relative")
        assert remember(bundle, rows([10], [5])) == []
        assert openvino_is_faster(bundle, "fp32") is None


def test_only_so_many_are_kept(bundle: Bundle, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({str(n): 1.0 for n in range(300)}))
    remember(bundle, rows([10], [5]))
    kept = json.loads(cache.read_text())
    assert len(kept) == cpu_engines.MOST
    assert "299" in kept
    assert openvino_is_faster(bundle, "fp32") == 2
