"""CUDA's errors in words; cuda-bindings itself as far as it goes without a GPU, in each major version."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.checkout import REPOSITORY
from tests.support.plans import Fake
from tgkt_edge.errors import IncompatibleError, MissingDependency, TgktEdgeError
from tgkt_edge.runtime.engines.cuda import Cuda, CudaError

VERSIONS = {"12.9.4": "CUDA 12", "13.0.3": "the oldest for CUDA 13"}


def test_memory_comes_back_as_it_was_sent(fake: Fake) -> None:
    cuda = Cuda()
    gpu, stream = cuda.alloc(24), cuda.stream()
    pinned, view = cuda.alloc_pinned((2, 3))
    view[:] = np.arange(6, dtype=np.float32).reshape(2, 3)
    cuda.to_gpu(gpu, pinned, 24, stream)
    cuda.synchronise(stream)
    view[:] = 0
    cuda.from_gpu(pinned, gpu, 24, stream)
    assert view.sum() == 0  # queued only
    cuda.synchronise(stream)
    np.testing.assert_array_equal(view, [[0, 1, 2], [3, 4, 5]])
    for free, thing in ((cuda.free, gpu), (cuda.free_pinned, pinned), (cuda.free_stream, stream)):
        free(thing)
    assert fake.machine.alive == 0


def test_what_work_raises_ends_the_capture_and_goes_through(fake: Fake) -> None:
    cuda = Cuda()
    stream = cuda.stream()

    def work() -> None:
        raise KeyError("of ours")

    with pytest.raises(KeyError, match="of ours"):
        cuda.capture(stream, work)
    cuda.synchronise(stream)  # not capturing any more
    assert not fake.machine.graphs


def test_what_may_not_be_captured_is_an_error_and_the_stream_works_on(fake: Fake) -> None:
    cuda = Cuda()
    stream = cuda.stream()
    with pytest.raises(CudaError, match="operation not permitted when stream is capturing"):
        cuda.capture(stream, lambda: cuda.synchronise(stream))
    assert not fake.machine.graphs
    cuda.launch(cuda.capture(stream, lambda: None), stream)
    cuda.synchronise(stream)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (
            35,
            IncompatibleError,
            r"no NVIDIA driver here, or it is older than the CUDA 12.9 of cuda-bindings.*cuda12",
        ),
        (100, IncompatibleError, "no NVIDIA GPU here"),
        (
            2,
            CudaError,
            r"'out of memory' .cudaErrorMemoryAllocation, 2. to cudaSetDevice.*GPU memory is used up",
        ),
        (700, CudaError, r"'an illegal memory access was encountered' .cudaErrorIllegalAddress, 700."),
    ],
)
def test_errors_are_said_in_words(fake: Fake, code: int, kind: type[TgktEdgeError], words: str) -> None:
    fake.machine.fails["cudaSetDevice"] = fake.cuda.cudaError_t(code)
    with pytest.raises(kind, match=words):
        Cuda()


def test_without_cuda_bindings_it_is_exit_6_and_names_the_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "cuda", None)
    with pytest.raises(MissingDependency, match=r"'cuda-bindings', which is not installed.*cuda12.*cuda13"):
        Cuda()


def test_cuda_bindings_that_do_not_load_say_why(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cuda" / "bindings").mkdir(parents=True)
    (tmp_path / "cuda" / "__init__.py").touch()
    (tmp_path / "cuda" / "bindings" / "__init__.py").touch()
    (tmp_path / "cuda" / "bindings" / "runtime.py").write_text("raise ImportError('GLIBC_2.38 not found')\n")
    for name in ("cuda", "cuda.bindings", "cuda.bindings.runtime"):
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingDependency, match=r"cannot be loaded: GLIBC_2.38 not found"):
        Cuda()


@pytest.mark.usefixtures("without_gpu")
def test_the_real_bindings_say_that_there_is_no_driver() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    with pytest.raises(
        IncompatibleError, match=r"cudaErrorInsufficientDriver, 35. to cudaSetDevice: there is no"
    ):
        Cuda()


# The names that are used, in the oldest and the newest bindings, and those of the fake.

LOOK = """
import json, sys
from cuda.bindings import runtime
signatures = {}
for name in json.loads(sys.argv[1]):
    thing = runtime
    for part in name.split("."):
        thing = getattr(thing, part, None)
    doc = getattr(thing, "__doc__", None) or ""
    signatures[name] = doc.strip().partition("\\n")[0] if callable(thing) else int(thing) if thing is not None else None
error = runtime.cudaMalloc(16)
print(json.dumps({"signatures": signatures, "malloc": [len(error), int(error[0])]}))
"""


def used_names() -> list[str]:
    import ast

    found = set()
    for node in ast.walk(
        ast.parse((REPOSITORY / "runtime" / "engines" / "cuda.py").read_text(encoding="utf-8"))
    ):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if parts[:1] == ["_rt"] and len(parts) > 1:
            found.add(".".join(parts[1:]))
        if (
            isinstance(node, ast.Call)
            and parts_of(node) == "_call"
            and isinstance(node.args[0], ast.Constant)
        ):
            found.add(str(node.args[0].value))
    return sorted(name for name in found if f"{name}." not in " ".join(found))


def parts_of(node: Any) -> str:
    return getattr(node.func, "attr", "")


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_is_there_with_as_many_arguments(version: str, fake: Fake, tmp_path: Path) -> None:
    names = used_names()
    assert {"cudaMalloc", "cudaGraphInstantiate", "cudaMemcpyKind.cudaMemcpyHostToDevice"} <= set(names)
    assert len(names) > 20
    fetch = f"-m pip install -q --no-deps --only-binary=:all: --target {tmp_path} cuda-bindings=={version}".split()
    if subprocess.run([sys.executable, *fetch], capture_output=True, check=False, timeout=300).returncode:
        pytest.skip(f"cuda-bindings {version} cannot be fetched for this Python and machine")
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(names)],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    seen = json.loads(done.stdout)
    assert seen["malloc"][0] == 2  # (error, value), also where it fails
    for name in names:
        theirs, ours = seen["signatures"][name], fake.cuda
        for part in name.split("."):
            ours = getattr(ours, part)
        if callable(ours):
            arguments = [one for one in theirs.partition("(")[2].rstrip(")").split(",") if one.strip()]
            assert ours.__code__.co_argcount == len(arguments), theirs
        else:
            assert int(ours) == theirs, name
