"""The TensorRT engine's own work, on the CUDA and TensorRT of ``fakes``: memory, order, graphs, batches, failures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.plans import Fake, add_plan
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.bundle.engines import plans
from tgkt_edge.errors import IncompatibleError, TgktEdgeError
from tgkt_edge.runtime import OnnxRuntimeEngine, TensorRtEngine
from tgkt_edge.runtime.engines.tensorrt import GRAPHS
from tgkt_edge.trt import library as trt

ONE_RUN = ["cudaMemcpyAsync", "cudaMemcpyAsync", "cudaMemcpyAsync", "cudaStreamSynchronize"]
ONE_REPLAY = ["cudaGraphLaunch", "cudaStreamSynchronize"]


def unit(count: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, 1, 32, 32), dtype=np.float32)


def calls_of(fake: Fake, work: Callable[[], object]) -> list[str]:
    """What was called of CUDA meanwhile."""
    before = len(fake.machine.calls)
    work()
    return list(fake.machine.calls[before:])


@pytest.fixture
def reference(bundle: Bundle) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(bundle.model(), bundle.size, bundle.classes, ["CPUExecutionProvider"])


# Memory


def test_all_memory_is_allocated_while_loading_and_freed_once_by_close(fake: Fake, bundle: Bundle) -> None:
    engine = fake.open(bundle)
    assert engine.name == "TensorRT 10.3.0, Orin"
    assert sorted(len(raw) for raw in fake.machine.gpu.values()) == [
        8 * 3 * 4,
        8 * 3 * 4,
        4096,
        8 * 32 * 32 * 4,
    ]
    assert len(fake.machine.pinned) == 3
    assert len(fake.machine.streams) == 1
    allocated = [
        fake.machine.count(name) for name in ("cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags")
    ]
    for count in (1, 2, 8, 1):
        engine.infer(unit(count))
    assert [
        fake.machine.count(name) for name in ("cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags")
    ] == allocated
    engine.close()
    assert fake.machine.alive == 0
    assert calls_of(fake, engine.close) == []


def test_answers_outlive_the_next_frame_and_the_engine(fake: Fake, bundle: Bundle) -> None:
    engine = fake.open(bundle)
    first = engine.infer(unit(1, seed=1))[0]
    kept = first.copy()
    engine.infer(unit(1, seed=2))
    engine.close()
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    "call",
    [
        "cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags", "cudaMemcpyAsync", "cudaStreamSynchronize",
        "cudaGraphLaunch",
    ],
)  # fmt: skip
def test_what_fails_while_loading_leaves_nothing_allocated(fake: Fake, bundle: Bundle, call: str) -> None:
    fake.machine.fails[call] = fake.cuda.cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(TgktEdgeError, match=f"'out of memory' .cudaErrorMemoryAllocation, 2. to {call}"):
        fake.open(bundle)
    assert fake.machine.alive == 0


def test_the_second_allocation_may_be_the_one_that_fails(
    fake: Fake, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, room = fake.cuda.cudaMalloc, 10_000

    def malloc(size: int) -> Any:
        full = size > room - sum(len(raw) for raw in fake.machine.gpu.values())
        return (fake.cuda.cudaError_t.cudaErrorMemoryAllocation, None) if full else whole(size)

    monkeypatch.setattr(fake.cuda, "cudaMalloc", malloc)
    with pytest.raises(TgktEdgeError, match=r"GPU memory is used up.*--max-batch 1"):
        fake.open(bundle)
    assert fake.machine.alive == 0


def test_a_plan_that_needs_no_scratch_memory_loads(fake: Fake, bundle: Bundle) -> None:
    engine = fake.open(bundle, scratch=0)
    assert engine.infer(unit(1))[0].shape == (1, 3)
    engine.close()


# Order of work, and graphs


def test_a_batch_size_is_run_then_captured_then_replayed(
    fake: Fake, bundle: Bundle, reference: OnnxRuntimeEngine
) -> None:
    engine = fake.open(bundle)
    first = calls_of(fake, lambda: engine.infer(unit(3)))
    capture = [
        "cudaStreamBeginCapture",
        *ONE_RUN[:3],
        "cudaStreamEndCapture",
        "cudaGraphInstantiate",
        "cudaGraphDestroy",
    ]
    proof = ["cudaMemcpyAsync", *ONE_REPLAY]  # the logits on the GPU are overwritten first
    assert first == ["cudaStreamSynchronize", *ONE_RUN, *capture, *proof, *ONE_REPLAY]  # first, the profile's
    assert calls_of(fake, lambda: engine.infer(unit(3))) == ONE_REPLAY
    assert calls_of(fake, lambda: engine.infer(unit(1))) == ONE_REPLAY  # captured while loading
    assert engine.note == ""
    for seed, count in enumerate((3, 1, 8, 3, 2, 1)):
        for ours, theirs in zip(
            engine.infer(unit(count, seed)), reference.infer(unit(count, seed)), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert len(fake.machine.graphs) == 4
    engine.close()
    assert fake.machine.alive == 0


def test_replays_answer_bit_for_bit_as_plain_runs_do(fake: Fake, bundle: Bundle) -> None:
    graphs = fake.open(bundle)
    replayed = [graphs.infer(unit(count, seed)) for seed, count in enumerate((1, 4, 1, 4, 8))]
    graphs.close()
    plain = fake.open(bundle, capturable=False)
    for seed, count in enumerate((1, 4, 1, 4, 8)):
        for a, b in zip(plain.infer(unit(count, seed)), replayed[seed], strict=True):
            np.testing.assert_array_equal(a, b)
    plain.close()


@pytest.mark.parametrize(
    ("values", "fails", "why"),
    [
        ({"capturable": False}, {}, "enqueueV3: operation not permitted when stream is capturing"),
        ({"captures_nothing": True}, {}, "one did not answer as the plan does"),
        (
            {},
            {"cudaStreamBeginCapture": 900},
            "cudaErrorStreamCaptureUnsupported, 900. to cudaStreamBeginCapture",
        ),
        (
            {},
            {"cudaStreamEndCapture": 901},
            "cudaErrorStreamCaptureInvalidated, 901. to cudaStreamEndCapture",
        ),
        ({}, {"cudaGraphInstantiate": 2}, "cudaErrorMemoryAllocation, 2. to cudaGraphInstantiate"),
    ],
)
def test_a_plan_that_cannot_be_captured_is_queued_each_time_and_says_so(
    fake: Fake,
    bundle: Bundle,
    reference: OnnxRuntimeEngine,
    values: dict[str, Any],
    fails: dict[str, int],
    why: str,
) -> None:
    fake.machine.fails.update({name: fake.cuda.cudaError_t(code) for name, code in fails.items()})
    engine = fake.open(bundle, **values)
    assert engine.note.startswith("CUDA graphs are not used, each frame is queued again: ")
    assert pytest.approx(1) == engine.infer(unit(2))[1][0].sum()
    assert calls_of(fake, lambda: engine.infer(unit(1))) == ONE_RUN
    np.testing.assert_allclose(engine.infer(unit(2))[0], reference.infer(unit(2))[0], rtol=1e-6)
    engine.close()
    assert fake.machine.alive == 0
    assert re.search(why, engine.note)


@pytest.mark.parametrize("capturable", [True, False])
def test_tensorrt_rtx_is_asked_whether_it_can_be_captured(
    fake: Fake,
    bundle: Bundle,
    reference: OnnxRuntimeEngine,
    capturable: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It compiles kernels while it runs, by default in the background: a graph would keep the slow ones."""
    monkeypatch.setattr(trt, "find", lambda: trt.TensorRt(fake.trt, "tensorrt_rtx", "10.3.0"))
    engine = fake.open(bundle, flavour="tensorrt_rtx", capturable=capturable)
    assert engine.name == "TensorRT-RTX 10.3.0, Orin"
    assert ("cannot capture this plan" in engine.note) is not capturable
    assert fake.machine.count("cudaStreamBeginCapture") == capturable
    assert calls_of(fake, lambda: engine.infer(unit(1))) == (ONE_REPLAY if capturable else ONE_RUN)
    np.testing.assert_allclose(engine.infer(unit(4))[0], reference.infer(unit(4))[0], rtol=1e-6)
    engine.close()
    assert fake.machine.alive == 0


def test_only_so_many_batch_sizes_are_kept(fake: Fake, bundle: Bundle, reference: OnnxRuntimeEngine) -> None:
    engine = fake.open(bundle, profile=Profile(1, 1, GRAPHS + 3))
    for count in [*range(1, GRAPHS + 4), 1, 2]:
        np.testing.assert_allclose(engine.infer(unit(count))[0], reference.infer(unit(count))[0], rtol=1e-6)
    assert len(fake.machine.graphs) == GRAPHS
    engine.close()
    assert fake.machine.alive == 0


# Batches


def test_a_smaller_batch_than_the_plan_takes_is_filled_up(
    fake: Fake, bundle: Bundle, reference: OnnxRuntimeEngine
) -> None:
    engine = fake.open(bundle, profile=Profile(4, 4, 4))
    engine.infer(unit(4))
    logits, probabilities = engine.infer(unit(1, seed=5))
    assert logits.shape == probabilities.shape == (1, 3)
    np.testing.assert_allclose(logits, reference.infer(unit(1, seed=5))[0], rtol=1e-6)
    with pytest.raises(ValueError, match=r"batch of 5 frames: .*fp32-sm87.*takes 4 only.*`max_batch=5`"):
        engine.infer(unit(5))
    engine.close()


def test_frames_that_lie_scattered_in_memory_are_taken(
    fake: Fake, bundle: Bundle, reference: OnnxRuntimeEngine
) -> None:
    engine = fake.open(bundle)
    every_other = unit(6)[::2, :, ::-1]
    np.testing.assert_allclose(
        engine.infer(every_other)[0], reference.infer(np.ascontiguousarray(every_other))[0], rtol=1e-6
    )
    engine.close()


# What TensorRT and the GPU say


def test_a_gpu_that_fails_is_an_error_in_words_and_the_engine_still_closes(
    fake: Fake, bundle: Bundle
) -> None:
    engine = fake.open(bundle)
    for call in ("cudaStreamSynchronize", "cudaGraphLaunch", "cudaFree", "cudaStreamDestroy"):
        fake.machine.fails[call] = fake.cuda.cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(
        TgktEdgeError, match=r"fp32-sm87.*inference failed: CUDA says 'an illegal memory access"
    ):
        engine.infer(unit(1))
    engine.close()
    with pytest.raises(ValueError, match="closed"):
        engine.infer(unit(1))


def test_tensorrts_own_words_reach_the_user(fake: Fake, bundle: Bundle) -> None:
    with pytest.raises(
        IncompatibleError, match=r"cannot be loaded by TensorRT 10.3.0, Orin: .*kMAGIC_TAG.*`rebuild=True`"
    ):
        fake.open(bundle, damaged=True)
    with pytest.raises(TgktEdgeError, match="makes no context"):
        fake.open(bundle, no_context=True)
    with pytest.raises(TgktEdgeError, match=r"refuses a batch of 1: IExecutionContext::setInputShape"):
        fake.open(bundle, min=2)  # the plan takes less than its sidecar says
    engine = fake.open(bundle, no_profile=True)
    with pytest.raises(
        TgktEdgeError, match="refuses its profile: IExecutionContext::setOptimizationProfileAsync"
    ):
        engine.infer(unit(2))
    assert engine.infer(unit(1))[0].shape == (1, 3)
    engine.close()
    assert fake.machine.alive == 0


def test_a_version_compatible_plan_may_run_its_own_code(fake: Fake, bundle: Bundle) -> None:
    fake.open(bundle, host_code=True, sidecar={"version_compatible": True}).close()
    with pytest.raises(IncompatibleError, match="lean runtime"):
        fake.open(bundle, host_code=True)


def test_the_gpu_is_chosen_before_the_plan_is_loaded(fake: Fake, bundle: Bundle) -> None:
    """TensorRT loads onto the GPU that is current then."""
    made = add_plan(bundle)
    assert fake.machine.device is None
    engine = TensorRtEngine(made, plans(made)[0])
    assert fake.machine.calls[0] == "cudaSetDevice"
    assert fake.machine.device == 0
    engine.close()
