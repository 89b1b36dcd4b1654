"""A TensorRT plan's header, read without TensorRT.

A plan is native code for one version of TensorRT and, as a rule, one kind of GPU.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.errors import BundleError
from tgkt_edge.trt.library import Flavour

TYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}
"""TensorRT's names of element types, and ours."""

HEADER_BYTES = 28
_MAGIC: dict[bytes, Flavour] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt_rtx"}
# u32[0] is 0x74727466 in plans of TensorRT (NVIDIA's own safety sample checks it). 0x74727476 was seen in every plan
# that TensorRT-RTX 1.7 wrote. u32[1] is the layout's version, 0; bytes 24 to 27 hold the library's version.


@dataclass(frozen=True)
class PlanHeader:
    """What the first 28 bytes of a plan tell.

    Attributes:
        magic: the first four bytes as text, "ftrt" or "vtrt".
        flavour: the library that writes this magic.
        version: major, minor, patch, build of the library that wrote it.
        bytes: size of the file.
    """

    magic: str
    flavour: Flavour
    version: tuple[int, int, int, int]
    bytes: int

    @property
    def version_text(self) -> str:
        """ "10.3.0.26"."""
        return ".".join(map(str, self.version))


def is_plan(start: bytes) -> bool:
    """Whether a file with these first bytes claims to be a plan."""
    return start[:4] in _MAGIC


def read_header(path: Path) -> PlanHeader:
    """Read a plan's header.

    Raises:
        BundleError: (exit 4) missing, too short, or no plan.
    """
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
        size = path.stat().st_size
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
    return parse_header(start, size, str(path))


def parse_header(start: bytes, size: int, name: str) -> PlanHeader:
    """Read the header of a plan of ``size`` bytes from its first HEADER_BYTES bytes; see :func:`read_header`."""
    if len(start) < HEADER_BYTES:
        raise BundleError(f"{name} has {size} bytes: too short for a TensorRT plan. Build it again.")
    if not is_plan(start):
        raise BundleError(
            f"{name} is no TensorRT plan: it begins with {start[:4]!r}, expected one of "
            f"{', '.join(repr(magic) for magic in _MAGIC)}"
        )
    (layout,) = struct.unpack_from("<I", start, 4)
    if layout != 0:
        raise BundleError(f"{name}: layout version {layout} of the plan, only 0 is known. Build it again.")
    major, minor, patch, build = start[24:28]
    return PlanHeader(start[:4].decode(), _MAGIC[start[:4]], (major, minor, patch, build), size)
