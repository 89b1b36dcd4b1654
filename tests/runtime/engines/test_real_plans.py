"""Real plans of TensorRT-RTX: what is refused before the library sees a byte, and what the library itself says.

There is no GPU here, so the library's last word is always that it needs one; CUDA is that of ``fakes`` where its own
refusal would come first.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.plans import Fake, Real
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_header import read_header
from tgkt_edge.bundle.engine_metadata import Profile, sidecar_path
from tgkt_edge.bundle.engines import Plan, plans
from tgkt_edge.errors import BundleError, IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.runtime import TensorRtEngine, open_engine
from tgkt_edge.system.gpu import Gpu
from tgkt_edge.trt import build
from tgkt_edge.trt import options as flavours
from tgkt_edge.trt import precision_check as proof
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.rebuild import rebuild_plan

ADA = Gpu("NVIDIA GeForce RTX 4090", "8.9", "13.0")


@pytest.fixture
def given(rtx: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of all that is given to the real library to deserialise, which it then does."""
    seen: list[str] = []
    real = rtx.module.Runtime

    class Watched:
        def __init__(self, log: Any) -> None:
            self._runtime = real(log)

        def deserialize_cuda_engine(self, data: bytes) -> Any:
            seen.append(hashlib.sha256(data).hexdigest())
            return self._runtime.deserialize_cuda_engine(data)

    monkeypatch.setattr(rtx.module, "Runtime", Watched)
    return seen


@pytest.fixture
def cuda(rtx: Any, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA is there, TensorRT is the real one."""
    monkeypatch.setattr("tgkt_edge.trt.library.find", lambda: rtx)


def only(bundle: Bundle) -> Plan:
    (plan,) = plans(bundle)
    return plan


def snapshot(path: Path) -> dict[str, str]:
    return {str(file.relative_to(path)): sha256_of(file) for file in path.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("without_gpu", "cuda")
def test_a_plan_that_fits_is_given_to_tensorrt_whose_words_are_passed_on(
    real: Real, given: list[str]
) -> None:
    plan = only(real.bundle)
    with pytest.raises(
        IncompatibleError, match=r"cannot be loaded by TensorRT-RTX .*, NVIDIA GeForce RTX 4090: .+ Build"
    ):
        TensorRtEngine(real.bundle, plan, real.machine)
    assert given == [plan.sidecar.plan["sha256"]]


@pytest.mark.usefixtures("cuda")
def test_a_file_that_is_exchanged_while_it_is_checked_is_not_what_is_loaded(
    real: Real, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = only(real.bundle)
    digest, path = hashlib.sha256, real.bundle.path / plan.name

    def exchange(data: bytes) -> Any:
        path.write_bytes(b"vtrt" + b"\0" * 100)
        return digest(data)

    monkeypatch.setattr("tgkt_edge.bundle.engines.hashlib.sha256", exchange)
    with pytest.raises(IncompatibleError, match="cannot be loaded by"):
        TensorRtEngine(real.bundle, plan, real.machine)
    assert path.stat().st_size == 104
    assert given == [plan.sidecar.plan["sha256"]]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def altered(bundle: Bundle) -> Bundle:
    flip(bundle.path / only(bundle).name, 5000)
    return bundle


def truncated(bundle: Bundle) -> Bundle:
    path = bundle.path / only(bundle).name
    path.write_bytes(path.read_bytes()[:-100])
    return bundle


def another_version(bundle: Bundle) -> Bundle:
    path = bundle.path / only(bundle).name
    flip(path, 25)
    return bundle.replace_files([only(bundle).name])  # a manifest that vouches for it


def changed_onnx(bundle: Bundle) -> Bundle:
    with (bundle.path / "model.onnx").open("ab") as file:
        file.write(b"\0")
    return bundle.replace_files(["model.onnx"])


def exchanged(bundle: Bundle) -> Bundle:
    """Another plan under the name of this one, which the manifest vouches for but the sidecar does not."""
    flip(bundle.path / only(bundle).name, 5000)
    return bundle.replace_files([only(bundle).name])


def not_named(bundle: Bundle) -> Bundle:
    return dataclasses.replace(
        bundle, files={n: e for n, e in bundle.files.items() if n != only(bundle).name}
    )


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (altered, "was altered or truncated: .* its manifest says"),
        (truncated, "truncated"),
        (another_version, "the plan's header says TensorRT-RTX"),
        (changed_onnx, r"model.onnx has changed since it was built"),
        (exchanged, "was altered or truncated: .* its sidecar says"),
        (not_named, "is not named in the manifest"),
    ],
)
def test_what_the_manifest_does_not_vouch_for_never_reaches_tensorrt(
    real: Real, given: list[str], damage: Any, why: str
) -> None:
    plan = only(real.bundle)
    damaged = damage(real.bundle)
    now = dataclasses.replace(plan, header=read_header(damaged.path / plan.name))
    with pytest.raises(IncompatibleError, match=why):
        TensorRtEngine(damaged, now, real.machine)
    assert given == []


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "1.9.0.10"}, r"needs that version; here is 1.9.0.10"),
        ({"flavour": "tensorrt", "version": "10.13.3"}, "neither loads the other's plans"),
        (
            {"compute_capability": "12.0", "device": "RTX 5090"},
            r"compute capability 8.9, the GPU here is RTX 5090",
        ),
        ({"compute_capability": None, "why_not": ["no GPU at all"]}, "no GPU at all"),
    ],
)
def test_a_plan_for_another_machine_never_reaches_tensorrt(
    real: Real, given: list[str], changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(IncompatibleError, match=why):
        TensorRtEngine(real.bundle, only(real.bundle), dataclasses.replace(real.machine, **changes))
    assert given == []


def test_an_edited_sidecar_is_not_read(real: Real, given: list[str]) -> None:
    beside = sidecar_path(real.bundle.path / only(real.bundle).name)
    beside.write_text(beside.read_text(encoding="utf-8").replace('"8.9"', '"8.6"'), encoding="utf-8")
    with pytest.raises(BundleError, match=r"plan.json was altered: its sha256"):
        plans(real.bundle)
    with pytest.raises(IncompatibleError, match=r"plan.json was altered: its sha256"):
        open_engine(real.bundle, engine="tensorrt")
    assert given == []


@pytest.mark.usefixtures("without_gpu")
def test_with_cuda_bindings_but_no_driver_the_plan_is_not_even_read(real: Real, given: list[str]) -> None:
    pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(IncompatibleError, match="there is no NVIDIA driver here"):
        TensorRtEngine(real.bundle, only(real.bundle), real.machine)
    assert given == []


# Building again


@pytest.fixture
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine says that it has an RTX 4090."""
    for module in (build, flavours):
        monkeypatch.setattr(module, "find_gpu", lambda: (ADA, ""))


@pytest.mark.usefixtures("ada")
def test_a_plan_is_built_again_as_it_was(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "engine_layers", lambda plan: {"fp32": 3})  # the inspector needs the GPU
    before = only(real.bundle)
    assert (before.sidecar.profile, before.sidecar.build["optimisation"]) == (Profile(1, 2, 4), 0)
    messages: list[str] = []
    flip(real.bundle.path / before.name, 5000)
    again = only(rebuild_plan(real.bundle, "fp32", say=messages.append))
    assert again.sidecar.profile == before.sidecar.profile
    assert again.sidecar.build["optimisation"] == 0
    assert again.sidecar.device == ADA.name
    assert sha256_of(real.bundle.path / again.name) == again.sidecar.plan["sha256"]
    assert "building with TensorRT-RTX" in messages[0]
    asked = rebuild_plan(real.bundle, "fp32", options=BuildOptions(target_sm=("86",), level=1))
    assert {one.sidecar.compute_capabilities: one.sidecar.profile.max for one in plans(asked)} == {
        ("8.9",): 4,
        ("8.6",): 8,
    }


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize(
    ("card", "error", "words"),
    [
        # The library refuses, without a GPU, to load what it has just built, and nothing is written that does not load.
        ("ada", TgktEdgeError, "the plan just built does not load here"),
        (None, UsageError, "`target_sm`"),
    ],
)
def test_a_build_that_fails_leaves_the_plan_it_should_replace(
    real: Real, request: pytest.FixtureRequest, card: str | None, error: type[Exception], words: str
) -> None:
    """At its last step, or before its first where there is no GPU to build for."""
    if card is not None:
        request.getfixturevalue(card)
    before = snapshot(real.bundle.path)
    with pytest.raises(error, match=words):
        rebuild_plan(real.bundle, "fp32")
    assert snapshot(real.bundle.path) == before
