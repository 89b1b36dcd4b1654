"""Which engine answers: TensorRT where the bundle has a plan that loads here, else ONNX Runtime on CUDA or the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engine_metadata import Here
from tgkt_edge.bundle.engines import PRECISIONS, fitting, here, plan_names
from tgkt_edge.errors import IncompatibleError, MissingDependency, TgktEdgeError, UsageError
from tgkt_edge.evaluation.cpu_engines import openvino_is_faster
from tgkt_edge.notes import LOGGER
from tgkt_edge.optional_deps import install_command, require
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.calibrated import CalibratedEngine
from tgkt_edge.runtime.engines.onnxruntime import CPU, CUDA, OnnxRuntimeEngine
from tgkt_edge.runtime.engines.openvino import OpenVinoEngine
from tgkt_edge.runtime.engines.tensorrt import TensorRtEngine
from tgkt_edge.system.gpu import find_gpu
from tgkt_edge.trt import library as trt

ORDER = {
    "auto": ("tensorrt", "cuda", "cpu"),
    "tensorrt": ("tensorrt",),
    "cuda": ("cuda",),
    "cpu": ("cpu",),
    "openvino": ("openvino",),
    "onnxruntime": ("cuda", "cpu"),
}
"""Names that ``--engine`` takes, and what is tried for each, in order."""

ENGINES = tuple(ORDER)
"""Names that :func:`open_engine` takes."""


class _NoPlanError(IncompatibleError):
    """The bundle holds no plan at all, so nobody expects TensorRT."""

    short = "no TensorRT plan"


class _NoCudaError(MissingDependency):
    """There is neither a GPU nor an ONNX Runtime for one, so nobody expects CUDA."""

    short = "no CUDA"


Say = Callable[[str], None]

Rebuild = Callable[[Bundle, str], Bundle]
"""Builds the bundle's plan of one precision again on this machine; returns the bundle with it."""


@dataclass(frozen=True)
class _Asked:
    """What the user asked for."""

    bundle: Bundle
    precision: str
    engine: str
    rebuild: Rebuild | None
    threads: int | None = None
    lanes: int = 1

    def of(self, *preferred: str) -> list[str]:
        """The precisions to try: the one that was asked for, or for "auto" those of ``preferred`` there are."""
        if self.precision != "auto":
            return [self.precision]
        return [name for name in preferred if name in self.bundle.precisions] or [preferred[-1]]


def open_engine(
    bundle: Bundle,
    precision: str = "fp32",
    engine: str = "auto",
    *,
    say: Say = lambda line: None,
    warn: Say | None = None,
    rebuild: Rebuild | None = None,
    threads: int | None = None,
    lanes: int = 1,
) -> Engine:
    """Load a bundle's model, its checksum verified. Its probabilities are calibrated if the bundle says how.

    Args:
        bundle: an opened bundle.
        precision: one of the bundle's precisions; "auto": fp16 where a GPU runs it and the bundle holds it, else fp32.
        engine: "tensorrt"; "cuda" or "cpu", both ONNX Runtime; "onnxruntime", the first of these two that works;
            "openvino", on the CPU; or "auto", the first of tensorrt, cuda and cpu that works, on the CPU OpenVINO where
            ``tgkt-edge benchmark`` measured it to be faster (:mod:`tgkt_edge.evaluation.cpu_engines`).
        say: takes a line for the engine that answers. warn: takes one for each engine that was skipped, and why; None:
            ``say`` does. Where nobody expects an engine (no plan, no GPU), the reason goes to the logger instead.
        rebuild: builds a TensorRT plan where none loads, e.g. :func:`tgkt_edge.trt.rebuild.rebuild_plan`;
            None: none is built.
        threads: CPU threads for one inference of ONNX Runtime; None: its own choice.
        lanes: inferences side by side, where the CPU answers; see :class:`OnnxRuntimeEngine`.

    Raises:
        UsageError: (exit 2) no such engine, or one that does not go with ``precision`` or ``rebuild``.
        BundleError: (exit 4) the bundle lacks this precision, or the file was altered.
        IncompatibleError: (exit 4) the engine asked for cannot be used here; see :class:`OnnxRuntimeEngine` and
            :class:`TensorRtEngine`.
        MissingDependency: (exit 6) the engine's library is not installed.
    """
    if engine not in ENGINES:
        raise UsageError(f"`engine={engine}`: unknown; expected one of {', '.join(ENGINES)}")
    if rebuild is not None and "tensorrt" not in ORDER[engine]:
        raise UsageError(f"`rebuild=True` builds a TensorRT plan, which `engine={engine}` does not load")
    if precision != "auto" and precision not in bundle.precisions:
        bundle.model(precision)  # says what it has
    asked = _Asked(bundle, precision, engine, rebuild, threads, lanes)
    order = _order(asked)
    without: list[str] = []
    for kind in order:
        try:
            opened, what = _OPENERS[kind](asked)
        except TgktEdgeError as error:
            if kind == order[-1]:
                raise
            line = f"engine {kind} is skipped: {error}"
            if isinstance(error, _NoPlanError | _NoCudaError):
                LOGGER.debug(line)
                without.append(error.short)
            else:
                (warn or say)(line)
            continue
        more = f" ({', '.join(without)}; -v says more)" if without else ""
        say(f"engine: {opened.name}; {what}{more}")
        if isinstance(opened, TensorRtEngine) and opened.note:
            say(opened.note)
        break
    return opened if bundle.temperature == 1 else CalibratedEngine(opened, bundle.temperature)


def _order(asked: _Asked) -> Sequence[str]:
    """What is tried, in order."""
    made_for_cpus = asked.precision in MODEL_FILES and asked.precision not in PRECISIONS
    if made_for_cpus and (asked.engine == "tensorrt" or asked.rebuild is not None):
        raise UsageError(
            f"`precision={asked.precision}` is made for ONNX Runtime on CPUs; plans are {', '.join(PRECISIONS)}"
        )
    return ("cpu",) if made_for_cpus and asked.engine not in ("cuda", "openvino") else ORDER[asked.engine]


def _tensorrt(asked: _Asked) -> tuple[Engine, str]:
    """The plan of the bundle that loads here; else one that is built, if that was asked for."""
    bundle, expected = asked.bundle, asked.of("fp16", "fp32")
    if not plan_names(bundle) and asked.engine == "auto" and asked.rebuild is None:
        raise _NoPlanError(f"the bundle holds no plan; 'tgkt-edge export {bundle.path} --trt' builds one")
    trt.find()  # exit 6 before anything else is said
    machine = here()
    reasons: list[str] = []
    for precision in expected:
        try:
            return _loaded(bundle, precision, machine)
        except IncompatibleError as error:
            reasons.append(str(error).rstrip("."))
    if machine.compute_capability is None:  # nothing to build for, either
        text = "; ".join(dict.fromkeys(reasons))
        raise IncompatibleError("; ".join([text, *(why for why in machine.why_not if why not in text)]) + ".")
    if asked.rebuild is None:
        raise IncompatibleError(
            f"{'; '.join(dict.fromkeys(reasons))}. Build one on this machine: tgkt-edge export {bundle.path} --trt, or "
            f"run with `rebuild=True`."
        )
    return _loaded(asked.rebuild(bundle, expected[0]), expected[0], machine)


def _loaded(bundle: Bundle, precision: str, machine: Here) -> tuple[Engine, str]:
    """The first plan of one precision that loads here."""
    fit, reasons = fitting(bundle, precision, machine)
    for plan in fit:
        try:
            engine = TensorRtEngine(bundle, plan, machine)
        except IncompatibleError as error:
            reasons.append(str(error).rstrip("."))
            continue
        engine.precision = precision
        return engine, f"{plan.name}, {precision}, batch {plan.sidecar.profile.text()}"
    raise IncompatibleError(
        f"no {precision} plan of {bundle.path} loads here: {'; '.join(dict.fromkeys(reasons))}."
    )


def _cuda(asked: _Asked) -> tuple[Engine, str]:
    """ONNX Runtime on CUDA, proven by an inference."""
    ort = require("onnxruntime", "gpu", "running a bundle on CUDA")
    available = ort.get_available_providers()
    if CUDA not in available:
        kind = MissingDependency if find_gpu()[0] else _NoCudaError
        raise kind(
            f"ONNX Runtime {ort.__version__} here has no {CUDA}. Where there is an NVIDIA GPU: pip uninstall "
            f"onnxruntime, then {install_command('gpu')}; on a Jetson NVIDIA's own wheel."
        )
    return _onnxruntime(asked, asked.of("fp16", "fp32")[0], [CUDA, CPU])


def _cpu(asked: _Asked) -> tuple[Engine, str]:
    """ONNX Runtime; for "auto" OpenVINO, where ``tgkt-edge benchmark`` measured it to be faster on this machine."""
    precision = asked.of("fp32")[0]
    ratio = None
    if asked.engine == "auto" and asked.lanes == 1 and precision in asked.bundle.precisions:
        ratio = openvino_is_faster(asked.bundle, precision)
    if ratio is not None:
        try:
            engine, what = _openvino(asked)
        except TgktEdgeError as error:  # removed or changed since
            LOGGER.debug(f"engine openvino is skipped: {error}")
        else:
            return engine, f"{what}; {ratio:.2f} times as fast as ONNX Runtime when it was measured here"
    return _onnxruntime(asked, asked.of("fp32")[0], [CPU])


def _openvino(asked: _Asked) -> tuple[Engine, str]:
    bundle, precision = asked.bundle, asked.of("fp32")[0]
    engine = OpenVinoEngine(bundle.model(precision), bundle.size, bundle.classes, asked.threads, asked.lanes)
    engine.precision = precision
    return engine, f"{MODEL_FILES[precision]}, {precision}{_beside(engine)}"


def _beside(engine: Engine) -> str:
    return f", {engine.lanes} frames side by side" if engine.lanes > 1 else ""


def _onnxruntime(asked: _Asked, precision: str, providers: list[str]) -> tuple[Engine, str]:
    bundle = asked.bundle
    engine = OnnxRuntimeEngine(
        bundle.model(precision), bundle.size, bundle.classes, providers, asked.threads, asked.lanes
    )
    engine.precision = precision
    return engine, f"{MODEL_FILES[precision]}, {precision}{_beside(engine)}"


_OPENERS: dict[str, Callable[[_Asked], tuple[Engine, str]]] = {
    "tensorrt": _tensorrt,
    "cuda": _cuda,
    "cpu": _cpu,
    "openvino": _openvino,
}
