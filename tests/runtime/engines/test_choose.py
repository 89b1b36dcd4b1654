"""Which engine answers, and what is said of those that were skipped."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.plans import Fake, add_plan
from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engines import plan_names
from tgkt_edge.errors import BundleError, IncompatibleError, MissingDependency, TgktEdgeError, UsageError
from tgkt_edge.runtime import open_engine
from tgkt_edge.runtime.engines.select import ENGINES

TENSORRT = "engine: TensorRT 10.3.0, Orin; "
CPU = "engine: onnxruntime, CPU; "
WITHOUT_BOTH = " (no TensorRT plan, no CUDA; -v says more)"


def chosen(bundle: Bundle, *arguments: Any, **keywords: Any) -> list[str]:
    """What is said while an engine is opened, which is closed again."""
    messages: list[str] = []
    open_engine(bundle, *arguments, say=messages.append, **keywords).close()
    return messages


def all_precisions(bundle: Bundle) -> Bundle:
    for name in MODEL_FILES.values():
        (bundle.path / name).write_bytes((bundle.path / "model.onnx").read_bytes())
    return bundle.write()


def test_a_plan_that_loads_comes_first_and_nothing_was_passed_over(fake: Fake, bundle: Bundle) -> None:
    (line,) = chosen(add_plan(bundle))
    assert line == f"{TENSORRT}engines/fp32-sm87-00000000.plan, fp32, batch 1 to 8, made for 1"
    assert fake.machine.alive == 0


def test_without_plan_and_cuda_the_cpu_answers_in_one_line_and_v_has_both_reasons(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="tgkt_edge"):
        (answers,) = chosen(bundle)
    assert answers == f"{CPU}model.onnx, fp32{WITHOUT_BOTH}"
    tensorrt, cuda = caplog.messages
    assert tensorrt.startswith("engine tensorrt is skipped: the bundle holds no plan")
    assert f"tgkt-edge export {bundle.path} --trt" in tensorrt
    assert cuda.startswith("engine cuda is skipped: ONNX Runtime ")
    assert "no CUDAExecutionProvider" in cuda
    assert "[gpu]'" in cuda


def another_gpu(bundle: Bundle) -> Bundle:
    return add_plan(bundle, sidecar={"compute_capabilities": ["8.6"], "device": "RTX 3080"})


def another_version(bundle: Bundle) -> Bundle:
    return add_plan(bundle, version="10.2.0")


def another_flavour(bundle: Bundle) -> Bundle:
    return add_plan(bundle, sidecar={"flavour": "tensorrt_rtx"})


def another_precision(bundle: Bundle) -> Bundle:
    return add_plan(all_precisions(bundle), "fp16")


def changed_onnx(bundle: Bundle) -> Bundle:
    made: Bundle = add_plan(bundle)
    with made.model().open("ab") as file:
        file.write(b"\x72\x00")  # an empty metadata entry: as good a graph as before
    return made.replace_files(["model.onnx"])


def altered(bundle: Bundle) -> Bundle:
    made: Bundle = add_plan(bundle)
    path = made.path / plan_names(made)[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    return made


def edited_sidecar(bundle: Bundle) -> Bundle:
    made: Bundle = add_plan(bundle)
    path = made.path / f"{plan_names(made)[0]}.json"
    path.write_text(path.read_text().replace('"8.7"', '"8.6"'))
    return made


def not_named(bundle: Bundle) -> Bundle:
    add_plan(bundle)  # the manifest that names it is lost
    return bundle.replace_files([])


NEVER_LOADED: list[tuple[Any, str]] = [
    (
        another_gpu,
        r"built for RTX 3080 \(compute capability 8.6\), the GPU here is Orin \(compute capability 8.7\)",
    ),
    (another_version, r"built with TensorRT 10.2.0 and needs that version; here is 10.3.0"),
    (another_flavour, r"built with TensorRT-RTX 10.3.0, installed here is TensorRT 10.3.0"),
    (another_precision, "the bundle holds no fp32 plan"),
    (changed_onnx, r"model.onnx has changed since it was built"),
    (altered, r"was altered or truncated: .* its manifest says"),
    (edited_sidecar, r"plan.json was altered: its sha256"),
    (not_named, "the bundle holds no"),
]


@pytest.mark.parametrize(("prepare", "why"), NEVER_LOADED)
def test_a_plan_that_does_not_fit_is_passed_over_in_words_and_never_run(
    fake: Fake, bundle: Bundle, prepare: Any, why: str
) -> None:
    made = prepare(bundle)
    *tensorrt, answers = chosen(made)
    if prepare is not_named:
        assert (tensorrt, answers) == ([], f"{CPU}model.onnx, fp32{WITHOUT_BOTH}")
    else:
        assert tensorrt[0].startswith("engine tensorrt is skipped: ")
        assert answers == f"{CPU}model.onnx, fp32 (no CUDA; -v says more)"
    with pytest.raises(IncompatibleError, match=why) as caught:
        open_engine(made, engine="tensorrt")
    assert caught.value.exit_code == 4
    assert "run with `rebuild=True`" in str(caught.value)
    assert fake.deserialised == 0
    assert fake.machine.alive == 0


def test_what_tensorrt_or_the_gpu_refuses_is_passed_over(fake: Fake, bundle: Bundle) -> None:
    broken = add_plan(bundle, damaged=True)
    assert "kMAGIC_TAG" in chosen(broken)[0]
    with pytest.raises(IncompatibleError, match="kMAGIC_TAG"):
        open_engine(broken, engine="tensorrt")
    fake.machine.fails["cudaMalloc"] = fake.cuda.cudaError_t.cudaErrorMemoryAllocation
    good = add_plan(bundle)
    assert "GPU memory is used up" in chosen(good)[0]
    with pytest.raises(TgktEdgeError, match="GPU memory is used up"):
        open_engine(good, engine="tensorrt")


def test_why_graphs_are_not_used_is_said(fake: Fake, bundle: Bundle) -> None:
    assert chosen(add_plan(bundle, capturable=False))[1].startswith("CUDA graphs are not used")


def test_a_missing_library_is_exit_6_if_asked_for_and_passed_over_if_not(
    fake: Fake, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = add_plan(bundle)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(MissingDependency, match="cuda-bindings"):
        open_engine(made, engine="tensorrt")
    assert "cuda-bindings" in chosen(made)[0]
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    from tgkt_edge.trt import library as trt

    trt.find.cache_clear()
    with pytest.raises(MissingDependency, match="On JetPack 6: sudo apt install python3-libnvinfer"):
        open_engine(made, engine="tensorrt")
    assert "On JetPack 6" in chosen(made)[0]
    with pytest.raises(MissingDependency, match=r"has no CUDAExecutionProvider.*\[gpu\]"):
        open_engine(made, engine="cuda")


def test_cuda_that_is_listed_but_does_not_work_is_passed_over(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As onnxruntime-gpu does without its CUDA libraries: it makes a session that runs on the CPU."""
    ort: Any = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(
        ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    with pytest.warns(UserWarning, match="CUDAExecutionProvider"):
        cuda, answers = chosen(bundle)
    assert "has CUDAExecutionProvider but cannot use it here" in cuda
    assert answers == f"{CPU}model.onnx, fp32 (no TensorRT plan; -v says more)"
    with (
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(IncompatibleError, match="cannot use it here"),
    ):
        open_engine(bundle, engine="cuda")
    assert capfd.readouterr().out == ""  # where the records of a run go


def test_a_damaged_plan_does_not_hide_a_sound_one(fake: Fake, bundle: Bundle) -> None:
    made = edited_sidecar(bundle)
    both = add_plan(made, name="sm87-11111111")
    assert chosen(both)[0].startswith(f"{TENSORRT}engines/fp32-sm87-11111111.plan")


def test_auto_precision_is_what_the_engine_is_fastest_with(fake: Fake, bundle: Bundle) -> None:
    several = all_precisions(bundle)
    assert chosen(several, "auto")[-1] == f"{CPU}model.onnx, fp32{WITHOUT_BOTH}"
    full = add_plan(several)
    assert "fp32-sm87" in chosen(full, "auto")[-1]
    half = add_plan(full, "fp16")
    assert chosen(half, "auto") == [
        f"{TENSORRT}engines/fp16-sm87-00000000.plan, fp16, batch 1 to 8, made for 1"
    ]
    assert "model.int8.onnx, int8" in chosen(half, "int8")[-1]


def test_what_is_made_for_cpus_runs_there_without_a_word_on_others(fake: Fake, bundle: Bundle) -> None:
    made = add_plan(all_precisions(bundle))
    assert chosen(made, "int8-cpu") == [f"{CPU}model.int8-cpu.onnx, int8-cpu"]
    with pytest.raises(
        UsageError, match="`precision=int8-cpu` is made for ONNX Runtime on CPUs; plans are fp32, fp16, int8"
    ):
        open_engine(made, "int8-cpu", "tensorrt")


def test_an_engine_that_is_named_is_the_only_one_tried(fake: Fake, bundle: Bundle) -> None:
    made = add_plan(bundle)
    assert chosen(made, engine="cpu") == [f"{CPU}model.onnx, fp32"]
    assert chosen(made, engine="onnxruntime") == [f"{CPU}model.onnx, fp32 (no CUDA; -v says more)"]
    assert fake.deserialised == 0
    assert set(ENGINES) == {"auto", "tensorrt", "cuda", "cpu", "onnxruntime", "openvino"}


def test_the_last_engine_in_line_raises_its_own_error(bundle: Bundle) -> None:
    (bundle.path / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"model.onnx has 0 bytes"):
        open_engine(bundle)


# Building what does not load


@pytest.mark.parametrize("prepare", [lambda bundle: bundle, *(prepare for prepare, _ in NEVER_LOADED)])
def test_rebuild_builds_what_does_not_load_and_loads_it(fake: Fake, bundle: Bundle, prepare: Any) -> None:
    asked: list[tuple[Path, str]] = []

    def rebuild(old: Bundle, precision: str) -> Bundle:
        asked.append((old.path, precision))
        return add_plan(old, precision, name="sm87-22222222")

    (line,) = chosen(prepare(bundle), engine="tensorrt", rebuild=rebuild)
    assert line.startswith(f"{TENSORRT}engines/fp32-sm87-22222222.plan")
    assert asked == [(bundle.path, "fp32")]


def test_rebuild_leaves_a_plan_alone_that_loads(fake: Fake, bundle: Bundle) -> None:
    made = add_plan(bundle)
    assert "00000000" in chosen(made, rebuild=lambda *_: pytest.fail("it loads"))[0]


def test_a_build_that_fails_is_an_error_or_passed_over(fake: Fake, bundle: Bundle) -> None:
    def rebuild(old: Bundle, precision: str) -> Bundle:
        raise IncompatibleError("TensorRT could not build it")

    with pytest.raises(IncompatibleError, match="could not build it"):
        open_engine(bundle, engine="tensorrt", rebuild=rebuild)
    tensorrt, answers = chosen(bundle, rebuild=rebuild)
    assert tensorrt == "engine tensorrt is skipped: TensorRT could not build it"
    assert answers.startswith(CPU)


def test_nothing_is_built_where_it_could_not_run(
    bundle: Bundle, rtx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tgkt_edge.bundle.engines.find_gpu", lambda: (None, "there is no NVIDIA GPU here: none at all")
    )
    with pytest.raises(
        IncompatibleError, match="holds no fp32 plan; there is no NVIDIA GPU here: none at all"
    ):
        open_engine(bundle, engine="tensorrt", rebuild=lambda *_: pytest.fail("was built"))
    for engine in ("cpu", "cuda", "onnxruntime"):
        with pytest.raises(
            UsageError, match=f"`rebuild=True` builds a TensorRT plan, which `engine={engine}` does not"
        ):
            open_engine(bundle, engine=engine, rebuild=lambda *_: pytest.fail("was built"))
