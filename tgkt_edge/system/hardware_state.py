"""What a machine tells of its clocks, temperatures and power mode: Linux' sysfs, a Jetson's files, nvidia-smi.

A figure in milliseconds means little without them: a power mode halves the clocks, and so does a hot board after a
minute. Nothing here needs a library or special rights, and nothing is said of what the machine does not tell.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path("/")

_TIMEOUT = 20.0  # seconds; the first call of nvidia-smi wakes a sleeping driver

# Field of nvidia-smi -> name here. A driver refuses the whole query for one field that it does not know.
_GPU_FIELDS = {
    "name": "name",
    "pstate": "performance_state",
    "clocks.sm": "mhz",
    "clocks.max.sm": "max_mhz",
    "clocks.mem": "memory_mhz",
    "temperature.gpu": "celsius",
    "power.draw": "watts",
    "power.limit": "limit_watts",
}
_GPU_TEXTS = ("name", "performance_state")
_GPU_REASONS = (
    "clocks_event_reasons.active",
    "clocks_throttle_reasons.active",
)  # newer drivers' name, older ones'
_GPU_LIMITS = {  # bits of nvml.h that mean less than full speed under load
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
_GPU_NODES = ("gpu", "ga10b", "gv11b", "gp10b", "gm20b", "gb10b")  # what Jetsons call theirs in sysfs
# Cooling devices that take clocks away. A fan is a cooling device, too, and running is what it is for.
_SLOWING = re.compile(r"throttl|cpufreq|devfreq|processor|alert", re.IGNORECASE)


def read(path: Path) -> str:
    """A small text file; empty if it cannot be read."""
    try:
        return path.read_bytes()[:65536].decode("utf-8", "replace").replace("\0", "").strip()
    except OSError:
        return ""


def power_mode(root: Path = ROOT) -> dict[str, Any] | None:
    """A Jetson's power mode: ``{"number", "name", "fastest"}``; ``fastest`` is the number of MAXN, or None.

    None: this is no Jetson, or it does not tell.
    """
    status = re.search(r"pmode:(\d+)", read(root / "var/lib/nvpmodel/status"))
    if status is None:
        return None
    models = dict(re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=([^\s>]+)", read(root / "etc/nvpmodel.conf")))
    number = str(int(status.group(1)))
    fastest = next((key for key, value in models.items() if value.startswith("MAXN")), None)
    return {"number": number, "name": models.get(number, "unnamed"), "fastest": fastest}


def machine_state(root: Path = ROOT) -> dict[str, Any]:
    """What the machine tells just now; a key is absent where it does not tell.

    Returns:
        ``cpu``: ``mhz`` (mean over the cores), and where cpufreq tells ``max_mhz`` (what the hardware can),
        ``allowed_mhz`` (what the system lets it) and ``governor``; ``celsius``: by thermal zone; ``jetson_gpu``:
        ``mhz`` and ``max_mhz``; ``gpus``: a list of what nvidia-smi says; ``power_mode``: see :func:`power_mode`;
        ``platform_profile``: a laptop's; ``load``: processes that expected a core in the last minute.
    """
    told: dict[str, Any] = {
        "cpu": _cpu(root),
        "celsius": _temperatures(root),
        "jetson_gpu": _jetson_gpu(root),
        "gpus": [gpu for gpu, _ in _nvidia_smi()],
        "power_mode": power_mode(root),
        "platform_profile": read(root / "sys/firmware/acpi/platform_profile"),
    }
    load = _number(read(root / "proc/loadavg").partition(" ")[0])
    return {key: value for key, value in told.items() if value} | ({} if load is None else {"load": load})


@dataclass(frozen=True)
class Limits:
    """What slows the machine down.

    Attributes:
        counters: name -> how often so far; only a rise means something.
        now: name -> by how much at this moment; above 0 is slowed down.
    """

    counters: dict[str, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)

    def since(self, before: Limits) -> set[str]:
        """What slows it down now, or has done so since ``before``."""
        risen = {name for name, count in self.counters.items() if count > before.counters.get(name, count)}
        return risen | {name for name, level in self.now.items() if level > 0}


def limits(root: Path = ROOT) -> Limits:
    """Signs of throttling: the CPU's counters, cooling devices that take clocks away, nvidia-smi's reasons."""
    counters: dict[str, int] = {}
    now: dict[str, int] = {}
    for path in sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")):
        count = _number(read(path))
        if count is not None:
            name = path.name.removesuffix("_throttle_count")
            counters[f"{path.parent.parent.name}: {name} too hot"] = int(count)
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind, state = read(device / "type"), _number(read(device / "cur_state"))
        if state is not None and _SLOWING.search(kind):
            now[kind] = max(int(state), now.get(kind, 0))
    for number, (_, reasons) in enumerate(_nvidia_smi()):
        for bit, why in _GPU_LIMITS.items():
            now[f"GPU {number}: {why}"] = int(bool(reasons & bit))
    return Limits(counters, now)


def free_memory(root: Path = ROOT) -> int | None:
    """Bytes that a new process can have without swapping; None: not told."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", read(root / "proc/meminfo"))
    return int(found.group(1)) * 1024 if found else None


def describe_state(state: dict[str, Any]) -> str:
    """One line for a person; empty if the machine told nothing."""
    parts = []
    cpu = state.get("cpu", {})
    if cpu:
        text = f"CPU {cpu['mhz']:.0f} MHz"
        if "max_mhz" in cpu:
            text += f" of {cpu['max_mhz']:.0f}"
        if cpu.get("allowed_mhz", 0) < cpu.get("max_mhz", 0):
            text += f", held to {cpu['allowed_mhz']:.0f}"
        parts.append(text + (f" ({cpu['governor']})" if "governor" in cpu else ""))
    if "jetson_gpu" in state:
        parts.append("GPU " + _clock(state["jetson_gpu"]))
    for gpu in state.get("gpus", ()):
        about = [_clock(gpu)] if "mhz" in gpu else []
        about += [f"{gpu['celsius']:.0f} °C"] if "celsius" in gpu else []
        about += [f"{gpu['watts']:.0f} W"] if "watts" in gpu else []
        parts.append(" ".join([str(gpu.get("name", "GPU")), ", ".join(about)]))
    if state.get("celsius"):
        name, hottest = max(state["celsius"].items(), key=lambda item: float(item[1]))
        parts.append(f"hottest {hottest:.0f} °C ({name})")
    if "power_mode" in state:
        parts.append(f"power mode {state['power_mode']['number']} ({state['power_mode']['name']})")
    if "platform_profile" in state:
        parts.append(f"profile {state['platform_profile']}")
    if "load" in state:
        parts.append(f"load {state['load']:.2f}")
    return "; ".join(parts)


def _clock(of: dict[str, Any]) -> str:
    return f"{of['mhz']:.0f} MHz" + (f" of {of['max_mhz']:.0f}" if "max_mhz" in of else "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cpu(root: Path) -> dict[str, Any]:
    policies = sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    found: dict[str, Any] = {}
    for key, name in (
        ("mhz", "scaling_cur_freq"),
        ("max_mhz", "cpuinfo_max_freq"),
        ("allowed_mhz", "scaling_max_freq"),
    ):
        values = [v for policy in policies if (v := _number(read(policy / name))) is not None]  # kHz
        if values:
            found[key] = sum(values) / len(values) / 1000
    if "mhz" in found:
        governors = {read(policy / "scaling_governor") for policy in policies} - {""}
        return found | ({"governor": ", ".join(sorted(governors))} if governors else {})
    told = [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read(root / "proc/cpuinfo"), re.M)]
    return {"mhz": sum(told) / len(told)} if told else {}


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        value = _number(read(zone / "temp"))  # thousandths; a Jetson's zones of sleeping parts cannot be read
        if value is not None:
            name = read(zone / "type") or zone.name
            found[name if name not in found else f"{name} {zone.name}"] = value / 1000
    return found


def _jetson_gpu(root: Path) -> dict[str, float]:
    for node in sorted((root / "sys/class/devfreq").glob("*")):
        if node.name.rpartition(".")[2] in _GPU_NODES:
            values = {
                "mhz": _number(read(node / "cur_freq")),
                "max_mhz": _number(read(node / "max_freq")),
            }  # Hz
            found = {key: value / 1e6 for key, value in values.items() if value is not None}
            if "mhz" in found:
                return found
    return {}


def nvidia_smi(*arguments: str) -> list[list[str]] | None:
    """Rows of an nvidia-smi query, split at commas; None: it is not installed, failed or refused the query."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, *arguments, "--format=csv,noheader,nounits"], capture_output=True, text=True, errors="replace",
            timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]


def _nvidia_smi() -> list[tuple[dict[str, Any], int]]:
    """What nvidia-smi says of each GPU, and the bits of what slows it down."""
    for last in ((_GPU_REASONS[0],), (_GPU_REASONS[1],), ()):
        rows = nvidia_smi(f"--query-gpu={','.join((*_GPU_FIELDS, *last))}")
        if rows is not None:
            return [_gpu(row, bool(last)) for row in rows]
        if shutil.which("nvidia-smi") is None:
            break
    return []


def _gpu(row: list[str], with_reasons: bool) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    for name, text in zip(_GPU_FIELDS.values(), row, strict=False):
        value = text if name in _GPU_TEXTS else _number(text)
        if value is not None and not text.startswith("["):  # [N/A], [Not Supported]
            found[name] = value
    try:
        reasons = int(row[len(_GPU_FIELDS)], 16) if with_reasons else 0
    except (IndexError, ValueError):
        reasons = 0
    return found, reasons
