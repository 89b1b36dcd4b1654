"""``export --trt``: plans built from a bundle's ONNX files into the bundle. Needs the bundle alone."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tgkt_edge import __version__
from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engine_header import read_header
from tgkt_edge.bundle.engine_metadata import Sidecar, sidecar_path
from tgkt_edge.bundle.engines import FOLDER, PRECISIONS
from tgkt_edge.errors import BundleError, UsageError
from tgkt_edge.io.atomic import atomic_file, remove_leftovers, sha256_of, write_json
from tgkt_edge.system.gpu import l4t
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.build import Built, build_plan
from tgkt_edge.trt.monitor import Progress
from tgkt_edge.trt.options import BuildOptions, check_library

Say = Callable[[str], None]


def build_plans(
    path: Path,
    precisions: Sequence[str] = (),
    options: BuildOptions | None = None,
    *,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> Bundle:
    """Build plans from a bundle's ONNX files into the bundle, in place of earlier ones for the same GPUs.

    Killed or without disk space at any moment, the bundle keeps its earlier plans: new ones get names of their own, and
    the manifest turns to them last.

    Args:
        path: the bundle.
        precisions: of "fp32", "fp16" and "int8"; default: all that the bundle holds of these.

    Raises:
        UsageError: (exit 2) a precision that is not TensorRT's, or options that do not fit the library.
        BundleError: (exit 4) the bundle lacks the precision, or its ONNX file was altered.
        IncompatibleError, MissingDependency: see :func:`tgkt_edge.trt.build.build_plan`.
        TgktEdgeError: (exit 1) the disk refused.
    """
    options = options or BuildOptions()
    check_precisions(precisions)
    bundle = Bundle.open(path)
    chosen = list(dict.fromkeys(precisions)) or [name for name in PRECISIONS if name in bundle.precisions]
    found = trt.find()
    check_library(options)  # before the first build, which may take minutes
    for precision in chosen:
        if precision not in bundle.precisions:
            raise BundleError(
                f"{path} holds no {precision} model to build from; it has: {', '.join(bundle.precisions) or 'none'}. "
                f"Export it first: tgkt-edge export {path} -o OUT --precision {precision} --calibrate FRAMES --trt"
            )
    for precision in chosen:
        say(f"{precision}: building with {found.text}, batch {options.profile.text()}")
        built = build_plan(bundle.model(precision), precision, bundle.size, options, progress)
        if built.warning:
            say(built.warning)
        bundle, name = _write(bundle, precision, built, options, found)
        say(f"{bundle.path / name}: {describe_built(built)}")
    return bundle


def check_precisions(precisions: Sequence[str]) -> None:
    """Raise UsageError if a plan cannot be built of one of these."""
    for precision in precisions:
        if precision not in PRECISIONS:
            why = ": it is made for ONNX Runtime on CPUs" if precision in MODEL_FILES else ""
            raise UsageError(f"`trt=True` `precisions={precision}`{why}; plans are {', '.join(PRECISIONS)}")


def describe_built(built: Built) -> str:
    """What was built, on a line for a person."""
    proof = built.precision
    layers = ", ".join(f"{count} {kind}" for kind, count in sorted(proof["network"].items()))
    return (
        f"{len(built.plan) / 1e6:.1f} MB in {built.build['seconds']} s for compute capability "
        f"{', '.join(built.compute_capabilities)}; convolutions and matrix products: {layers}; "
        f"{'proven by' if proof['proven'] else 'by'} {proof['how']}"
    )


def _write(
    bundle: Bundle, precision: str, built: Built, options: BuildOptions, found: trt.TensorRt
) -> tuple[Bundle, str]:
    """Put a plan and its sidecar into the bundle; the bundle then, and the plan's name in it."""
    model, folder = MODEL_FILES[precision], bundle.path / FOLDER
    stem = f"{precision}-{'-'.join('sm' + one.replace('.', '') for one in built.compute_capabilities)}"
    _clean(bundle, folder)
    with atomic_file(folder / f"{stem}.building") as temporary:
        temporary.write_bytes(built.plan)
        digest = sha256_of(temporary)
    name = f"{FOLDER}/{stem}-{digest[:8]}.plan"
    (folder / f"{stem}.building").replace(bundle.path / name)
    sidecar = Sidecar(
        plan={"sha256": digest, "bytes": len(built.plan)},
        onnx={"file": model, "sha256": bundle.files[model]["sha256"], "opset": built.opset},
        flavour=found.flavour,
        version=read_header(bundle.path / name).version_text,
        compute_capabilities=built.compute_capabilities,
        device=None if built.gpu is None else built.gpu.name,
        precision=built.precision,
        profile=options.profile,
        inputs=built.inputs,
        outputs=built.outputs,
        version_compatible=options.version_compatible,
        hardware_compatible=options.hardware_compatible,
        build=built.build,
        system={
            "cuda": None if built.gpu is None else built.gpu.cuda,
            "l4t": l4t(),
            "machine": platform.machine(),
        },
        calibration=bundle.int8_calibration.get(precision),
        tool=__version__,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )
    beside = sidecar_path(Path(name)).as_posix()
    write_json(bundle.path / beside, sidecar.to_dict())
    earlier = re.compile(rf"{FOLDER}/{stem}-[0-9a-f]{{8}}\.plan(\.json)?")
    old = [one for one in bundle.files if earlier.fullmatch(one) and one not in (name, beside)]
    return bundle.replace_files([name, beside], old), name


def _clean(bundle: Bundle, folder: Path) -> None:
    """Remove what an interrupted build left: files of our names that the manifest does not know."""
    remove_leftovers(folder)
    ours = re.compile(r"(fp32|fp16|int8)(-sm\d+)+(\.building|-[0-9a-f]{8}\.plan(\.json)?)")
    for file in folder.glob("*"):
        if ours.fullmatch(file.name) and f"{FOLDER}/{file.name}" not in bundle.files:
            file.unlink(missing_ok=True)
