"""The machine: Jetson's release and power mode, memory, disk, cameras."""

from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path

from tgkt_edge import __version__
from tgkt_edge.doctor.findings import Finding
from tgkt_edge.doctor.probe import TIMEOUT, probe
from tgkt_edge.system.hardware_state import power_mode, read

_JETPACK = {"36": "6", "38": "7"}  # L4T's major number to JetPack's, as NVIDIA pairs them

CAMERA_CODE = """
import json, sys
from tgkt_edge.runtime.sources.v4l2_device import V4l2Device
path = PATH
try:
    device = V4l2Device(path)
    print(json.dumps({"card": device.card, "formats": list(device.formats())}))
except OSError as error:
    print(json.dumps({"errno": error.errno, "why": error.strerror}))
"""
_RAW = {"Z16", "Y16", "Y14", "Y12", "Y10", "GREY", "Y16 >"}


def has_gpu(root: Path = Path("/")) -> bool:
    """An NVIDIA driver, a desktop's or a Jetson's, is loaded."""
    return any((root / name).exists() for name in ("proc/driver/nvidia/version", "etc/nv_tegra_release"))


def system(root: Path = Path("/")) -> list[Finding]:
    """Python, operating system, Jetson release and power mode, memory, disk."""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', read(root / "etc/os-release"), re.MULTILINE)
    about = f"tgkt-edge {__version__}, Python {platform.python_version()}, {platform.machine()}"
    findings = [Finding("system", "ok", f"{about}, {name.group(1) if name else 'unknown system'}.")]
    release = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read(root / "etc/nv_tegra_release"))
    if release:
        jetpack = _JETPACK.get(release.group(1))
        model = read(root / "proc/device-tree/model") or "Jetson"
        text = f"{model}, L4T {release.group(1)}.{release.group(2)}"
        if jetpack:
            findings.append(Finding("jetson", "ok", f"{text} (JetPack {jetpack})."))
        else:
            findings.append(
                Finding("jetson", "warning", f"{text}: no JetPack 6 or 7.", "Only these two are supported.")
            )
        findings += _power(root)
    memory = re.search(r"MemAvailable:\s+(\d+) kB", read(root / "proc/meminfo"))
    if memory:
        free = int(memory.group(1)) / 2**20
        low = free < 1
        advice = "Stop other programs; running needs about 1 GiB, building an engine 2." if low else ""
        findings.append(Finding("memory", "warning" if low else "ok", f"{free:.1f} GiB available.", advice))
    findings.append(_disk())
    return findings


def _disk() -> Finding:
    try:
        disk = shutil.disk_usage(".").free / 2**30
    except OSError as error:
        text = f"the current folder cannot be used: {error.strerror}."
        return Finding("disk", "warning", text, "Start tgkt-edge in a folder that exists.")
    low = disk < 1
    advice = "Make room before writing runs or recordings here." if low else ""
    return Finding("disk", "warning" if low else "ok", f"{disk:.1f} GiB free in the current folder.", advice)


def _power(root: Path) -> list[Finding]:
    mode = power_mode(root)
    if mode is None:
        return [Finding("power", "ok", "power mode unknown.", "See: sudo nvpmodel -q")]
    text = f"power mode {mode['number']} ({mode['name']})."
    if mode["fastest"] in (None, mode["number"]):
        return [Finding("power", "ok", text)]
    advice = f"For full speed, if supply and cooling allow it: sudo nvpmodel -m {mode['fastest']}"
    return [Finding("power", "warning", f"{text} It limits the clocks.", advice)]


def cameras(paths: list[str] | None = None, timeout: float = TIMEOUT) -> list[Finding]:
    """V4L2 nodes and their pixel formats, asked in a process each. ``paths``: None: all of /dev/video*."""
    if paths is None:
        paths = sorted(str(path) for path in Path("/dev").glob("video*"))
    if not paths:
        return [Finding("camera", "ok", "no V4L2 camera is connected.")]
    findings = []
    for path in paths:
        answer = probe(CAMERA_CODE.replace("PATH", repr(path)), timeout)
        found = answer.value
        if answer.error:
            findings.append(
                Finding("camera", "problem", f"{path}: its driver {answer.error}.", "See 'dmesg'.")
            )
        elif "errno" in found:
            denied = not os.access(path, os.R_OK | os.W_OK) and os.path.exists(path)
            advice = "Join its group: sudo usermod -aG video $USER, then log in again." if denied else ""
            findings.append(
                Finding("camera", "warning" if denied else "ok", f"{path}: {found['why']}.", advice)
            )
        else:
            formats = [name.strip() for name in found["formats"]]
            raw = [name for name in formats if name in _RAW]
            use = f"usable raw: {', '.join(raw)}" if raw else "no raw depth or infrared format"
            text = f"{path}: {found['card']} offers {', '.join(formats) or 'no list of formats'}; {use}."
            findings.append(Finding("camera", "ok", text))
    return findings
