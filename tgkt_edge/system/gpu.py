"""The NVIDIA GPU of this machine, asked of its driver alone: no CUDA toolkit, no Python package."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h


@dataclass(frozen=True)
class Gpu:
    """The first GPU.

    Attributes:
        name: "Orin". compute_capability: "8.7". cuda: newest CUDA that the driver runs, "12.6".
    """

    name: str
    compute_capability: str
    cuda: str


def find_gpu() -> tuple[Gpu | None, str]:
    """The first GPU, or None and why there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, "there is no NVIDIA GPU here: its driver (libcuda.so.1) is not installed"
    status = driver.cuInit(0)
    count = ctypes.c_int(0)
    if status == 0:
        status = driver.cuDeviceGetCount(ctypes.byref(count))
    if status != 0 or count.value < 1:
        return None, f"there is no NVIDIA GPU here that can be used (CUDA driver error {status})"
    device, version = ctypes.c_int(0), ctypes.c_int(0)
    major, minor = ctypes.c_int(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(256)
    calls = (
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, len(name), device),
        driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device),
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device),
        driver.cuDriverGetVersion(ctypes.byref(version)),
    )
    if any(calls):
        return None, f"the NVIDIA GPU here cannot be asked what it is (CUDA driver error {max(calls)})"
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Gpu(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", cuda), ""


def l4t(root: Path = Path("/")) -> str | None:
    """Release of a Jetson's Linux, "R36 (release), REVISION: 4.3"; None elsewhere."""
    try:
        line = (root / "etc/nv_tegra_release").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        return None
    return ", ".join(part.strip(" #") for part in line.split(",")[:2])
