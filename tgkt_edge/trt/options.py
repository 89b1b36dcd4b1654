"""Options of the builder, and all that differs between TensorRT 10, TensorRT 11 and TensorRT-RTX.

What all have is used as TensorRT's own API; what only one has stands here, behind ``found.flavour``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.errors import IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import atomic_file
from tgkt_edge.optional_deps import install_command
from tgkt_edge.system.gpu import Gpu, find_gpu, l4t
from tgkt_edge.trt import library as trt


@dataclass(frozen=True)
class BuildOptions:
    """How plans are built.

    Attributes:
        profile: batch sizes.
        workspace_mib: scratch memory the builder may plan with, MiB; None: all there is.
        level: optimisation level, 0 (quick to build) to 5 (slow to build).
        timing_cache: file that keeps what the builder measured, for the next build; None: in the user's cache folder.
            TensorRT-RTX measures nothing.
        version_compatible: newer versions of the same major one may load the plan, too. TensorRT only.
        hardware_compatible: other GPUs, from Ampere (8.0) on, may run it, too. TensorRT only.
        target_sm: build for these GPUs, e.g. ("89",), instead of the one here. TensorRT-RTX only.
    """

    profile: Profile = field(default_factory=Profile)
    workspace_mib: int | None = None
    level: int = 3
    timing_cache: Path | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    target_sm: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        batch = self.profile
        if not 1 <= batch.min <= batch.opt <= batch.max:
            raise UsageError(
                f"`min_batch={batch.min}` `opt_batch={batch.opt}` `max_batch={batch.max}`: "
                f"expected 1 <= min <= opt <= max"
            )
        if not 0 <= self.level <= 5:
            raise UsageError(f"`optimisation={self.level}`: expected 0 to 5")
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(f"`workspace={self.workspace_mib}`: expected at least 1 MiB")
        for sm in self.target_sm:
            if not (sm.isdecimal() and 2 <= len(sm) <= 3):
                raise UsageError(
                    f"`target_sm={sm}`: expected a compute capability without its dot, e.g. 89 for 8.9"
                )


def targets(options: BuildOptions, found: trt.TensorRt, gpu: Gpu | None, why_no_gpu: str) -> tuple[str, ...]:
    """Compute capabilities to build for, e.g. ("8.9",), once the options fit the library.

    Raises:
        UsageError: (exit 2) an option that this flavour does not know, or TensorRT-RTX without a GPU and a target.
        IncompatibleError: (exit 4) TensorRT without a GPU, or a GPU that TensorRT-RTX does not know.
    """
    if found.flavour == "tensorrt":
        if options.target_sm:
            raise UsageError(
                f"`target_sm`: {found.text} builds for the GPU it runs on only. Build there, or give "
                f"`hardware_compatible=True`, or install TensorRT-RTX for GeForce RTX: "
                f"{install_command('trt-rtx')}"
            )
        if gpu is None:
            raise IncompatibleError(
                f"{found.text} builds on the GPU that will run the plan, and {why_no_gpu}."
            )
        if options.hardware_compatible and (l4t() or gpu.compute_capability.startswith(("5.", "6.", "7."))):
            raise UsageError(
                f"`hardware_compatible`: TensorRT supports it on GPUs from Ampere (8.0) on, and not on Jetson; here is "
                f"{gpu.name} ({gpu.compute_capability}). Leave it out, and build on each kind of device."
            )
        return (gpu.compute_capability,)
    if options.version_compatible or options.hardware_compatible:
        argument = "version_compatible" if options.version_compatible else "hardware_compatible"
        raise UsageError(
            f"`{argument}`: TensorRT-RTX does not know it. Its plans run on every GPU that `target_sm` names, with the "
            f"very version that built them."
        )
    known = sorted((name[2:] for name in dir(_capability()) if name.startswith("SM")), key=int)
    if options.target_sm:
        for sm in options.target_sm:
            if sm not in known:
                raise UsageError(f"`target_sm={sm}`: {found.text} builds for {', '.join(known)}")
        return tuple(dict.fromkeys(f"{sm[:-1]}.{sm[-1]}" for sm in options.target_sm))
    if gpu is None:
        raise UsageError(
            f"{why_no_gpu}. {found.text} can build for another machine's: name its compute capability with "
            f"`target_sm`, one of {', '.join(known)} (89 is a GeForce RTX 40, 120 an RTX 50)."
        )
    if gpu.compute_capability.replace(".", "") not in known:
        raise IncompatibleError(
            f"{found.text} builds for compute capability {', '.join(f'{sm[:-1]}.{sm[-1]}' for sm in known)}; the GPU "
            f"here is {gpu.name} ({gpu.compute_capability}). Install TensorRT itself: {trt.install_advice()}"
        )
    return (gpu.compute_capability,)


def check_library(options: BuildOptions) -> None:
    """Raise what would end a build before it begins: no TensorRT, no GPU, or options that do not fit; see targets."""
    targets(options, trt.find(), *find_gpu())


def configure(
    config: trt.IBuilderConfig, options: BuildOptions, found: trt.TensorRt, capabilities: tuple[str, ...]
) -> str:
    """Set every option but profile and progress. Returns what a person should know of them, or ""."""
    config.builder_optimization_level = options.level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the inspector then tells types
    config.clear_flag(trt.BuilderFlag.TF32)  # fp32 means fp32
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if found.flavour == "tensorrt_rtx":
        # Its engines may else allocate while they run, which no CUDA graph can hold.
        flag = getattr(found.module.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)  # since 1.2
        if flag is not None:
            config.set_flag(flag)
        rtx: Any = config  # the stubs are TensorRT's
        rtx.num_compute_capabilities = len(capabilities)
        for index, one in enumerate(capabilities):
            rtx.set_compute_capability(getattr(_capability(), f"SM{one.replace('.', '')}"), index)
    elif options.timing_cache is not None:
        return _use_timings(config, options.timing_cache, found)
    return ""


def _use_timings(config: trt.IBuilderConfig, path: Path, found: trt.TensorRt) -> str:
    """Give the builder what ``path`` keeps; where it cannot use that, an empty cache, and a line that says so."""
    kept, why = b"", ""
    try:
        kept = path.read_bytes() if path.is_file() else b""
    except OSError as unread:
        why = unread.strerror or str(unread)
    for data in (kept, b""):
        cache: trt.ITimingCache | None = config.create_timing_cache(data)  # None: damaged
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            break
        why = why or f"{found.text} cannot use it; it is damaged, or another GPU's or version's"
    return f"the timing cache {path} is begun again: {why}" if why else ""


def keep_timings(config: trt.IBuilderConfig, options: BuildOptions, found: trt.TensorRt) -> str:
    """Write what the builder measured to ``options.timing_cache``; what hindered it, as a line for a person, or ""."""
    if found.flavour == "tensorrt" and options.timing_cache is not None:
        try:
            cache = config.get_timing_cache()
            if cache is None:
                return "the timing cache is not kept, the next build takes as long: TensorRT took none"
            data = bytes(cache.serialize())
            with atomic_file(options.timing_cache) as temporary:
                temporary.write_bytes(data)
        except TgktEdgeError as error:  # the plan is there: minutes of work are not lost for this
            return f"the timing cache is not kept, the next build takes as long: {error}"
    return ""


def default_timing_cache(found: trt.TensorRt, gpu: Gpu | None) -> Path | None:
    """Where timings of this library on this GPU are kept, ``$XDG_CACHE_HOME/tgkt-edge``; None for TensorRT-RTX."""
    if found.flavour != "tensorrt" or gpu is None:
        return None
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not base.is_absolute():  # neither is set, and this user has no home
        return None
    return base / "tgkt-edge" / f"timing-{found.version}-sm{gpu.compute_capability.replace('.', '')}.cache"


def _capability() -> Any:
    """TensorRT-RTX's enumeration of GPUs, which TensorRT and its stubs lack."""
    return trt.find().module.ComputeCapability
