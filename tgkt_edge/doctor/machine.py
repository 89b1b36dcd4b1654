"""The machine: Jetson's release and power mode, memory, disk, cameras."""

from __future__ import annotations

import platform
import re
import shutil
from pathlib import Path

from tgkt_edge import __version__
from tgkt_edge.doctor.findings import Finding, Level
from tgkt_edge.doctor.probe import TIMEOUT, probe
from tgkt_edge.system.hardware_state import power_mode, read

_JETPACK = {"36": "6", "38": "7"}  # L4T's major number to JetPack's, as NVIDIA pairs them

CAMERA_CODE = """
import errno, json
from tgkt_edge.runtime.sources.v4l2_device import V4l2Device
from tgkt_edge.runtime.sources.v4l2_formats import RAW, pixel_name
from tgkt_edge.system.device_access import open_advice
path = PATH
try:
    device = V4l2Device(path)
    device.signal.look(at_once=True)
    formats = list(device.formats())
    print(json.dumps({
        "card": device.card, "signal": device.signal.trouble, "formats": [pixel_name(name) for name in formats],
        "raw": [pixel_name(name) for name in formats if name in RAW],
    }))
except OSError as error:
    no_camera = error.errno in (errno.ENOTSUP, errno.ENOTTY)
    denied = error.errno in (errno.EACCES, errno.EPERM, errno.EBUSY)
    print(json.dumps({
        "why": error.strerror, "no_camera": no_camera, "advice": open_advice(error.errno, path) if denied else "",
    }))
"""


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
    """V4L2 capture nodes and their pixel formats, asked in a process each. ``paths``: None: all of /dev/video*.

    Nodes of metadata, codecs and outputs are not cameras: they are only counted where no camera is found.
    """
    if paths is None:
        paths = sorted((str(path) for path in Path("/dev").glob("video*")), key=_by_number)
    findings, others = [], []
    for path in paths:
        answer = probe(CAMERA_CODE.replace("PATH", repr(path)), timeout)
        found = answer.value
        if answer.error:
            findings.append(
                Finding("camera", "problem", f"{path}: its driver {answer.error}.", "See 'dmesg'.")
            )
        elif found.get("no_camera"):
            others.append(path)
        elif "why" in found:
            level: Level = "warning" if found["advice"] else "ok"
            findings.append(Finding("camera", level, f"{path}: {found['why']}.", found["advice"]))
        else:
            raw = ", ".join(found["raw"])
            use = f"usable raw: {raw}" if raw else "no raw depth or infrared format"
            text = f"{path}: {found['card']} offers {', '.join(found['formats']) or 'no list of formats'}; {use}."
            findings.append(Finding("camera", "ok", text))
            if found["signal"]:
                advice = "Switch on, or plug in, what feeds it."
                findings.append(Finding("camera", "warning", f"{path}: {found['signal']}.", advice))
    if findings:
        return findings
    beside = f" ({', '.join(others)}: no capture nodes)" if others else ""
    return [Finding("camera", "ok", f"no V4L2 camera is connected{beside}.")]


def _by_number(path: str) -> tuple[int, str]:
    digits = re.search(r"\d+$", path)
    return int(digits.group()) if digits else 0, path
