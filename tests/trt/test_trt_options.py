"""Options of the builder against what each flavour of TensorRT can do, and what the engine inspector's words mean."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.errors import IncompatibleError, UsageError
from tgkt_edge.system.gpu import Gpu, find_gpu, l4t
from tgkt_edge.trt import library as trt
from tgkt_edge.trt import options as flavours
from tgkt_edge.trt import precision_check as proof
from tgkt_edge.trt.messages import make_logger
from tgkt_edge.trt.options import (
    BuildOptions,
    configure,
    default_timing_cache,
    keep_timings,
    targets,
)

ORIN = Gpu("Orin", "8.7", "12.6")
ADA = Gpu("NVIDIA GeForce RTX 4090", "8.9", "13.0")
PLAIN = trt.TensorRt(SimpleNamespace(), "tensorrt", "10.3.0")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": Profile(2, 1, 4)}, "`min_batch=2` `opt_batch=1` `max_batch=4`: expected 1 <= min"),
        ({"profile": Profile(0, 1, 4)}, "`min_batch=0`"),
        ({"level": 6}, "`optimisation=6`: expected 0 to 5"),
        ({"workspace_mib": 0}, "`workspace=0`: expected at least 1 MiB"),
        ({"target_sm": ("8.9",)}, "`target_sm=8.9`: expected a compute capability without its dot"),
        ({"target_sm": ("sm89",)}, "`target_sm=sm89`"),
    ],
)
def test_bad_values_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        BuildOptions(**options)
    assert message in str(caught.value)


def test_tensorrt_builds_for_the_gpu_it_stands_on() -> None:
    assert targets(BuildOptions(), PLAIN, ORIN, "") == ("8.7",)
    with pytest.raises(
        IncompatibleError, match=r"10\.3\.0 builds on the GPU that will run the plan, and no driver"
    ):
        targets(BuildOptions(), PLAIN, None, "no driver")
    with pytest.raises(
        UsageError, match=r"`target_sm`: TensorRT 10\.3\.0 builds for the GPU it runs on only"
    ):
        targets(BuildOptions(target_sm=("89",)), PLAIN, ORIN, "")


def test_hardware_compatible_plans_are_built_where_tensorrt_supports_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wide = BuildOptions(hardware_compatible=True)
    monkeypatch.setattr(flavours, "l4t", lambda: None)
    assert targets(wide, PLAIN, Gpu("L4", "8.9", "12.6"), "") == ("8.9",)
    with pytest.raises(UsageError, match=r"from Ampere \(8\.0\) on, .* here is T4 \(7\.5\)"):
        targets(wide, PLAIN, Gpu("T4", "7.5", "12.6"), "")
    monkeypatch.setattr(flavours, "l4t", lambda: "R36 (release), REVISION: 4.3")
    with pytest.raises(UsageError, match="not on Jetson; here is Orin"):
        targets(wide, PLAIN, ORIN, "")


def test_tensorrt_rtx_builds_for_the_gpus_it_is_told(rtx: trt.TensorRt) -> None:
    assert targets(BuildOptions(target_sm=("86", "120", "86")), rtx, None, "") == ("8.6", "12.0")
    assert targets(BuildOptions(target_sm=("89",)), rtx, ORIN, "") == ("8.9",)
    assert targets(BuildOptions(), rtx, ADA, "") == ("8.9",)
    with pytest.raises(UsageError, match=r"no driver here\. .* with `target_sm`, one of 75, 80, 86, 89, 120"):
        targets(BuildOptions(), rtx, None, "no driver here")
    with pytest.raises(UsageError, match=r"`target_sm=87`: TensorRT-RTX .* builds for 75, 80"):
        targets(BuildOptions(target_sm=("87",)), rtx, None, "")
    with pytest.raises(IncompatibleError, match=r"the GPU here is Orin \(8\.7\)\. Install TensorRT itself"):
        targets(BuildOptions(), rtx, ORIN, "")


@pytest.mark.parametrize("flag", ["version_compatible", "hardware_compatible"])
def test_tensorrt_rtx_refuses_what_it_would_ignore(rtx: trt.TensorRt, flag: str) -> None:
    more: dict[str, Any] = {flag: True}
    with pytest.raises(UsageError, match=f"`{flag}`: TensorRT-RTX does not know it"):
        targets(BuildOptions(target_sm=("89",), **more), rtx, None, "")


@pytest.fixture
def config(rtx: trt.TensorRt) -> Iterator[Any]:
    """A real builder's configuration: TensorRT-RTX's, which takes TensorRT's settings although it ignores some."""
    log, _ = make_logger()
    builder = trt.Builder(log)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its timing cache, which keeps nothing
        yield builder.create_builder_config()


def test_every_option_reaches_the_builder(config: Any, rtx: trt.TensorRt, tmp_path: Path) -> None:
    options = BuildOptions(
        level=4, workspace_mib=300, timing_cache=tmp_path / "deep" / "t.cache", version_compatible=True
    )
    as_tensorrt = trt.TensorRt(rtx.module, "tensorrt", "10.3.0")
    configure(config, options, as_tensorrt, ("8.7",))
    assert config.builder_optimization_level == 4
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 300 * 2**20
    assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    assert not config.get_flag(trt.BuilderFlag.TF32)
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert config.num_compute_capabilities == 0
    assert keep_timings(config, options, as_tensorrt) == ""
    assert options.timing_cache is not None
    assert options.timing_cache.stat().st_size > 0
    configure(config, options, as_tensorrt, ("8.7",))  # reads what was kept
    options.timing_cache.write_bytes(b"damaged")
    configure(config, options, as_tensorrt, ("8.7",))
    nowhere = BuildOptions(timing_cache=options.timing_cache / "under a file")
    assert keep_timings(config, nowhere, as_tensorrt).startswith("the timing cache is not kept")


@pytest.mark.parametrize("refuses", [len, lambda kept: True], ids=["what was kept", "any"])
def test_timings_that_tensorrt_refuses_are_left_out(
    config: Any, rtx: trt.TensorRt, tmp_path: Path, refuses: Callable[[bytes], bool]
) -> None:
    """TensorRT refuses those of another GPU; TensorRT-RTX takes any, so that the refusal alone is set here."""

    class Picky:
        made: tuple[Any, bytes]

        def create_timing_cache(self, kept: bytes) -> Any:
            self.made = (config.create_timing_cache(kept), kept)
            return self.made[0]

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            assert cache is self.made[0]
            return not refuses(self.made[1]) and config.set_timing_cache(
                cache, ignore_mismatch=ignore_mismatch
            )

        def __getattr__(self, name: str) -> Any:
            return getattr(config, name)

    options = BuildOptions(timing_cache=tmp_path / "t.cache")
    assert options.timing_cache is not None
    options.timing_cache.write_bytes(b"of another GPU")
    as_tensorrt, picky = trt.TensorRt(rtx.module, "tensorrt", "10.3.0"), Picky()
    messages = configure(picky, options, as_tensorrt, ("8.7",))  # type: ignore[arg-type]
    assert messages.startswith(
        f"the timing cache {options.timing_cache} is begun again: TensorRT 10.3.0 cannot use it"
    )
    kept = keep_timings(picky, options, as_tensorrt)  # type: ignore[arg-type]
    if config.get_timing_cache() is None:
        assert kept.endswith("TensorRT took none")
        assert options.timing_cache.read_bytes() == b"of another GPU"
    else:
        assert kept == ""
        assert options.timing_cache.read_bytes() == bytes(config.get_timing_cache().serialize())


def test_targets_reach_tensorrt_rtx(config: Any, rtx: trt.TensorRt, tmp_path: Path) -> None:
    options = BuildOptions(timing_cache=tmp_path / "t.cache")
    configure(config, options, rtx, ("8.6", "12.0"))
    assert config.num_compute_capabilities == 2
    found = [config.get_compute_capability(i).name for i in range(2)]
    assert found == ["SM86", "SM120"]
    assert keep_timings(config, options, rtx) == ""
    assert not (tmp_path / "t.cache").exists()


def test_timings_are_kept_by_version_and_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_timing_cache(PLAIN, ORIN) == tmp_path / "tgkt-edge" / "timing-10.3.0-sm87.cache"
    rtx = trt.TensorRt(None, "tensorrt_rtx", "1.7.1")
    assert default_timing_cache(rtx, ADA) is None
    assert default_timing_cache(rtx, None) is None


# Words of the engine inspector, as published dumps of TensorRT 8 and 10 have them.

DYNAMIC = "N/A due to dynamic shapes"


def layer(*formats: str, weights: str = "", kind: str = "CaskConvolution") -> dict[str, Any]:
    return {
        "Name": "n", "LayerType": kind, "Inputs": [{"Name": "x", "Format/Datatype": text} for text in formats],
        **({"Weights": {"Type": weights, "Count": 9408}} if weights else {}),
    }  # fmt: skip


def layer_types(*layers: Any) -> dict[str, int]:
    return proof.layer_types(json.dumps({"Layers": layers, "Bindings": ["frame"]}))


@pytest.mark.parametrize(
    ("formats", "kind"),
    [
        (["Half"], "fp16"),
        (["Channel major FP16 format where channel % 8 == 0"], "fp16"),
        (["Row major linear FP32"], "fp32"),
        (["Float"], "fp32"),
        (["BFloat16"], "bf16"),
        (["Int8"], "int8"),
        (["Thirty-two wide channel vectorized row major Int8 format"], "int8"),
        (["Int8", "Float"], "int8"),  # a convolution with its residual
        ([DYNAMIC], "untold"),
        ([], "untold"),
    ],
)
def test_the_inspectors_words_are_understood(formats: list[str], kind: str) -> None:
    assert layer_types(layer(*formats), layer("Int8", kind="Reformat"), "a name only") == {kind: 1}


@pytest.mark.parametrize(("weights", "kind"), [("Half", "fp16"), ("Float", "fp32"), ("Int8", "int8")])
def test_with_a_range_of_batch_sizes_the_weights_tell_the_type(weights: str, kind: str) -> None:
    assert layer_types(layer(DYNAMIC, weights=weights), layer(DYNAMIC, kind="PoolingV2")) == {kind: 1}
    assert layer_types(layer("Float", weights=weights)) == {kind: 1}  # read, then converted by the layer
    assert layer_types(layer("Half", kind="gemm"), layer(DYNAMIC, kind="gemm")) == {"fp16": 1, "untold": 1}


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"Layers": null}', '{"Layers": ["a", "b"]}',
                                  '{"Layers": [{}, {"Inputs": null, "Weights": 1}]}'])  # fmt: skip
def test_an_inspector_that_is_not_understood_tells_nothing(text: str) -> None:
    assert proof.layer_types(text) == {}


def test_a_plan_whose_layers_lost_their_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = Path("model.int8.onnx")
    monkeypatch.setattr(proof, "engine_layers", lambda plan: {"fp32": 53})
    with pytest.raises(
        IncompatibleError, match=r"to become a plan in int8, but .* no such layer \({'fp32': 53}\)"
    ):
        proof.prove(onnx, "int8", {"int8": 52}, b"plan")
    monkeypatch.setattr(proof, "engine_layers", lambda plan: {"int8": 51, "fp32": 3})
    assert proof.prove(onnx, "int8", {"int8": 52}, None)["proven"] is False
    assert proof.prove(onnx, "int8", {"int8": 52}, b"plan") == {
        "asked": "int8", "network": {"int8": 52}, "engine": {"int8": 51, "fp32": 3},
        "proven": True, "how": "engine inspector",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "tells"),
    [
        ({}, "reports none of 54 layers"),
        ({"untold": 54}, "reports none of 54 layers"),
        ({"untold": 53, "fp32": 1}, "reports 1 of 54 layers"),  # one alone has no free dimension
        ({"fp32": 2}, "reports 2 of 54 layers"),  # the others were compiled as a whole
        ({"untold": 4, "fp32": 50}, "of those that the engine inspector reports none is fp16"),
    ],
)
def test_an_inspector_that_tells_too_little_neither_proves_nor_refuses(
    engine: dict[str, int], tells: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "engine_layers", lambda plan: engine)
    found = proof.prove(Path("model.onnx"), "fp16", {"fp16": 54}, b"plan")
    assert (found["proven"], found["engine"]) == (False, engine or None)
    assert tells in found["how"]


# The machine


def test_a_machine_without_a_gpu_says_why() -> None:
    gpu, why = find_gpu()
    if gpu is not None:
        assert float(gpu.compute_capability) >= 5
        assert gpu.name
    else:
        assert "GPU here" in why


def test_a_jetsons_release_is_read(tmp_path: Path) -> None:
    assert l4t(tmp_path) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n"
    )
    assert l4t(tmp_path) == "R36 (release), REVISION: 4.3"
