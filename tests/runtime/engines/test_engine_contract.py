"""What every engine keeps to: ONNX Runtime on the CPU and on CUDA, TensorRT on its GPU and on one that is faked.

A machine without a GPU skips what runs on one. That a plan is not the bundle's is seen without.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bundles import CLASSES, save_model
from tests.support.openvino import need_openvino
from tests.support.plans import Fake, Real, add_plan
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.bundle.engines import plan_names, plans
from tgkt_edge.errors import IncompatibleError, MissingDependency
from tgkt_edge.io.atomic import write_json
from tgkt_edge.runtime import Engine, TensorRtEngine, open_engine
from tgkt_edge.system.gpu import find_gpu
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import build_plans


@dataclass(frozen=True)
class Subject:
    """An engine under test.

    Attributes:
        open: opens it for a bundle, or skips where that cannot be here. most: largest batch; None: any.
    """

    open: Callable[[Bundle], Engine]
    most: int | None = None


@pytest.fixture(
    params=[
        "cpu",
        "openvino",
        pytest.param("cuda", marks=pytest.mark.hardware),
        pytest.param("tensorrt", marks=pytest.mark.hardware),
        "tensorrt, GPU faked",
    ]
)
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "cpu":
        return Subject(lambda bundle: open_engine(bundle, engine="cpu"))
    if request.param == "openvino":
        return Subject(openvino)
    if request.param == "cuda":
        return Subject(cuda)
    if request.param == "tensorrt":
        return Subject(tensorrt, 8)
    request.getfixturevalue("fake")
    return Subject(lambda bundle: open_engine(add_plan(bundle), engine="tensorrt"), 8)


def openvino(bundle: Bundle) -> Engine:
    need_openvino()
    return open_engine(bundle, engine="openvino")


def cuda(bundle: Bundle) -> Engine:
    ort: Any = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" not in ort.get_available_providers() or find_gpu()[0] is None:
        pytest.skip("needs onnxruntime-gpu and a GPU")
    return open_engine(bundle, engine="cuda")


def tensorrt(bundle: Bundle) -> Engine:
    if find_gpu()[0] is None:
        pytest.skip("needs a GPU")
    try:
        trt.find()
    except MissingDependency as error:
        pytest.skip(str(error))
    return open_engine(build_plans(bundle.path, ["fp32"], BuildOptions(level=0)), engine="tensorrt")


@pytest.fixture
def engine(subject: Subject, bundle: Bundle) -> Iterator[Engine]:
    opened = subject.open(bundle)
    yield opened
    opened.close()


def unit(count: int, size: int = 32) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, 1, size, size), dtype=np.float32)


def test_answers_have_the_stated_shapes_and_sum_to_one(engine: Engine) -> None:
    logits, probabilities = engine.infer(unit(5))
    for answer in (logits, probabilities):
        assert answer.shape == (5, len(CLASSES))
        assert answer.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    spread = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(probabilities, spread / spread.sum(axis=1, keepdims=True), rtol=1e-5)


def test_answers_are_those_of_the_cpu(engine: Engine, depth_bundle: Bundle) -> None:
    reference = open_engine(depth_bundle, engine="cpu")
    for count in (1, 3, 1, 8):
        for ours, theirs in zip(engine.infer(unit(count)), reference.infer(unit(count)), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_batch_equals_one_by_one(engine: Engine) -> None:
    batch = unit(3)
    single = np.concatenate([engine.infer(batch[i : i + 1])[0] for i in range(3)])
    np.testing.assert_allclose(engine.infer(batch)[0], single, rtol=1e-5, atol=1e-6)


def test_threads_that_ask_at_once_each_get_their_own_answer(engine: Engine) -> None:
    batch = unit(16)
    expected = [engine.infer(frame[np.newaxis])[0] for frame in batch]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: engine.infer(batch[number % 16][np.newaxis])[0], range(320)))
    for number, logits in enumerate(found):
        np.testing.assert_array_equal(logits, expected[number % 16])


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (unit(1).astype(np.float64), "batch of float64: expected float32"),
        ((unit(1) * 255).astype(np.uint8), "batch of uint8: expected float32"),
        (unit(1)[0], r"shape \(1, 32, 32\): expected \(N, 1, 32, 32\)"),
        (unit(1, size=31), r"shape \(1, 1, 31, 31\)"),
        (np.repeat(unit(1), 3, axis=1), r"shape \(1, 3, 32, 32\)"),
        (unit(0), "N >= 1"),
        ([[0.0]], "batch of list"),
    ],
)
def test_wrong_batches_are_refused_and_the_next_one_is_answered(
    engine: Engine, batch: Any, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        engine.infer(batch)
    assert engine.infer(unit(1))[0].shape == (1, 3)


def test_a_batch_over_the_maximum_is_refused_with_what_to_do(subject: Subject, engine: Engine) -> None:
    if subject.most is None:
        assert engine.infer(unit(64))[0].shape == (64, 3)
        return
    assert engine.infer(unit(subject.most))[0].shape == (subject.most, 3)
    with pytest.raises(ValueError, match=r"batch of 9 frames: .* takes 1 to 8.*`max_batch=9`"):
        engine.infer(unit(9))
    assert engine.infer(unit(1))[0].shape == (1, 3)


def test_closed_engine_refuses(engine: Engine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.infer(unit(1))


def test_maps_come_with_the_same_answers_where_the_graph_has_them(subject: Subject, bundle: Bundle) -> None:
    plain = subject.open(bundle)
    assert plain.grid is None  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="has no output maps"):
        plain.infer_maps(unit(1))  # type: ignore[attr-defined]
    plain.close()
    save_model(bundle.path / "model.onnx", maps=True)
    mapped = subject.open(dataclasses.replace(bundle, maps=(7, 7)).write())
    assert mapped.grid == (7, 7)  # type: ignore[attr-defined]
    logits, probabilities, maps = mapped.infer_maps(unit(3))  # type: ignore[attr-defined]
    for ours, theirs in zip((logits, probabilities), mapped.infer(unit(3)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert maps.shape == (3, len(CLASSES), 7, 7)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps.mean((2, 3)), logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="expected float32"):
        mapped.infer_maps(unit(1).astype(np.float64))  # type: ignore[attr-defined]
    mapped.close()
    with pytest.raises(ValueError, match="closed"):
        mapped.infer_maps(unit(1))  # type: ignore[attr-defined]


def test_probabilities_are_calibrated_and_logits_are_not(subject: Subject, bundle: Bundle) -> None:
    shutil.copytree(bundle.path, bundle.path.with_name("soft"))
    soft = dataclasses.replace(bundle, path=bundle.path.with_name("soft"), calibration={"temperature": 2.0})
    plain, softened = subject.open(bundle), subject.open(soft.write())
    logits, probabilities = softened.infer(unit(2))
    np.testing.assert_allclose(logits, plain.infer(unit(2))[0], rtol=1e-5)
    spread = np.exp(logits / 2)
    np.testing.assert_allclose(probabilities, spread / spread.sum(axis=1, keepdims=True), rtol=1e-5)
    plain.close()
    softened.close()


# A model that is not the bundle's: for each engine, what stands in its file and what is said of it.

CHANGES: list[tuple[dict[str, Any], dict[str, str]]] = [
    (
        {"input": "image"},
        {"onnx": r"inputs \['image'\]", "plan": r"it has inputs \['image'\], expected \['frame'\]"},
    ),
    (
        {"output": "softmax"},
        {"onnx": r"outputs \['logits', 'softmax'\]", "plan": r"it has outputs \['logits', 'softmax'\]"},
    ),
    (
        {"size": 48},
        {
            "onnx": r"frame has shape .*48",
            "plan": r"its input frame is fp32 \[-1, 1, 48, 48\], expected fp32",
        },
    ),
    (
        {"classes": ("a", "b")},
        {
            "onnx": r"logits has shape .*2",
            "plan": r"its output logits is fp32 \[-1, 2\], expected fp32 \[-1, 3\]",
        },
    ),
]


@pytest.mark.parametrize(("changes", "text"), CHANGES)
def test_an_onnx_file_that_disagrees(bundle: Bundle, changes: dict[str, Any], text: Any) -> None:
    save_model(bundle.path / "model.onnx", **changes)
    edited = bundle.write()
    for name in ("cpu", "openvino"):
        if name == "openvino":
            need_openvino()
        with pytest.raises(IncompatibleError, match=text["onnx"]):
            open_engine(edited, engine=name)


@pytest.mark.parametrize(("changes", "text"), CHANGES)
def test_a_plan_that_disagrees_though_its_sidecar_does_not(
    fake: Fake, bundle: Bundle, tmp_path: Path, changes: dict[str, Any], text: Any
) -> None:
    save_model(tmp_path / "other.onnx", **changes)
    with pytest.raises(IncompatibleError, match=text["plan"]):
        fake.open(bundle, graph=tmp_path / "other.onnx")
    assert fake.deserialised == 1
    assert fake.machine.alive == 0


@pytest.mark.parametrize(("changes", "text"), CHANGES)
def test_a_real_plan_whose_sidecar_disagrees_is_never_loaded(
    real: Real, changes: dict[str, Any], text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plan,) = plans(real.bundle)
    size, count = changes.get("size", 32), len(changes.get("classes", "abc"))
    answer = {"dtype": "fp32", "shape": [-1, count]}
    values = plan.sidecar.to_dict()
    values["inputs"] = {changes.get("input", "frame"): {"dtype": "fp32", "shape": [-1, 1, size, size]}}
    values["outputs"] = {"logits": answer, changes.get("output", "probabilities"): answer}
    write_json(real.bundle.path / f"{plan.name}.json", values)
    edited = real.bundle.replace_files([f"{plan.name}.json"])  # a manifest that vouches for it
    monkeypatch.setattr(
        "tgkt_edge.runtime.engines.tensorrt.read_plan", lambda *_: pytest.fail("the plan was read")
    )
    with pytest.raises(IncompatibleError, match=text["plan"]):
        TensorRtEngine(edited, plans(edited)[0], real.machine)


def test_half_precision_answers_are_refused(fake: Fake, bundle: Bundle, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(bundle.model()))
    model.graph.output[0].name = "plain"
    model.graph.node[-2].output[0] = model.graph.node[-1].input[0] = "plain"
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT16, ["N", 3]))
    model.graph.node.append(helper.make_node("Cast", ["plain"], ["logits"], to=TensorProto.FLOAT16))
    onnx.save(model, tmp_path / "half.onnx")
    with pytest.raises(IncompatibleError, match=r"its output logits is fp16 \[-1, 3\], expected fp32"):
        fake.open(bundle, graph=tmp_path / "half.onnx")


def test_the_plan_of_one_batch_size_may_say_so_in_its_shapes(fake: Fake, bundle: Bundle) -> None:
    answer = {"dtype": "fp32", "shape": [2, 3]}
    fixed = {
        "inputs": {"frame": {"dtype": "fp32", "shape": [2, 1, 32, 32]}},
        "outputs": {"logits": answer, "probabilities": answer},
    }
    engine = fake.open(bundle, profile=Profile(2, 2, 2), sidecar=fixed)
    assert engine.infer(unit(2))[0].shape == (2, 3)
    engine.close()
    made = add_plan(bundle, profile=Profile(1, 2, 4), sidecar=fixed)
    with pytest.raises(IncompatibleError, match=r"its input frame is fp32 \[2, 1, 32, 32\]"):
        TensorRtEngine(made, plans(made)[0])
    assert len(plan_names(made)) == 1
