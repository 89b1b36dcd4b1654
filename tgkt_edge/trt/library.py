"""TensorRT's Python API, found late: ``tensorrt`` (10.3 to 11) or TensorRT-RTX under one of its two names.

Use it as if it were TensorRT's own module: ``from tgkt_edge import trt`` and ``trt.Builder(logger)``. A checker sees
the types of ``tensorrt-stubs``; nothing is imported before an attribute is used.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tgkt_edge.errors import MissingDependency
from tgkt_edge.optional_deps import install_command

Flavour = Literal["tensorrt", "tensorrt_rtx"]
FLAVOUR_NAMES: dict[str, str] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}

_MODULES: tuple[tuple[str, Flavour], ...] = (
    ("tensorrt", "tensorrt"),
    ("tensorrt_rtx", "tensorrt_rtx"),
    ("tensorrt_rtx_bindings", "tensorrt_rtx"),
)

_INSTALL = (
    "On JetPack 6: sudo apt install python3-libnvinfer (TensorRT 10.3), and an environment that sees it: "
    "python3 -m venv --system-site-packages DIR. On JetPack 7: the same (TensorRT 10.13 or newer). "
    "On x86 with a data-centre or workstation GPU: {trt}. "
    "For GeForce RTX GPUs, or to build for one without a GPU: {rtx}."
)


def install_advice() -> str:
    """How TensorRT is installed, on each kind of machine."""
    return _INSTALL.format(trt=install_command("trt"), rtx=install_command("trt-rtx"))


@dataclass(frozen=True)
class TensorRt:
    """The library that was found: ``module``, and what it calls itself."""

    module: Any
    flavour: Flavour
    version: str

    @property
    def text(self) -> str:
        """ "TensorRT 10.3.0"."""
        return f"{FLAVOUR_NAMES[self.flavour]} {self.version}"


def installed() -> list[str]:
    """Names of TensorRT's modules that are installed, without importing one. Type stubs do not count."""
    specs = {name: importlib.util.find_spec(name) for name, _ in _MODULES}
    return [name for name, spec in specs.items() if spec is not None and spec.origin is not None]


@functools.cache
def find() -> TensorRt:
    """Import TensorRT, whichever flavour is installed; plain TensorRT first.

    Raises:
        MissingDependency: (exit 6) none is, or it is there and cannot be loaded. Says what to install where.
    """
    broken = []
    for name, flavour in _MODULES:
        try:
            if flavour == "tensorrt_rtx":
                _load_rtx_libraries()
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                broken.append(f"{name}: {error}")
            continue
        except (ImportError, OSError, RuntimeError) as error:  # a shared library is missing or does not fit
            broken.append(f"{name}: {error}")
            continue
        if hasattr(module, "Builder"):  # type stubs without the library import as an empty namespace
            return TensorRt(module, flavour, str(module.__version__))
    why = f"TensorRT is installed but cannot be loaded: {'; '.join(broken)}. " if broken else ""
    raise MissingDependency(f"{why}This needs TensorRT, which is not part of tgkt-edge. {install_advice()}")


def _load_rtx_libraries() -> None:
    """Load the shared libraries that ONNX Runtime's TensorRT-RTX plugin brings, unless the system has its own.

    The bindings on PyPI hold none; their ``-libs`` package is a stub that downloads from the vendor. The order matters:
    each needs the one before.
    """
    found = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    if found is None or found.origin is None or "tensorrt_rtx_bindings" in sys.modules:
        return
    folder = Path(found.origin).parent
    for pattern in ("libcudart.so.*", "libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*"):
        for library in sorted(folder.glob(pattern))[:1]:
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


if TYPE_CHECKING:
    from tensorrt_bindings.tensorrt import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # Visible to a checker, too: without tensorrt-stubs everything here is Any to it.
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(find().module, name)
