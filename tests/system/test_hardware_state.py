"""Clocks, temperatures, power mode and throttling: from folders that look like sysfs, and a real program nvidia-smi."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tgkt_edge.system.hardware_state import (
    Limits,
    describe_state,
    free_memory,
    limits,
    machine_state,
    power_mode,
)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No program of this machine is found, except for those that a test puts into the folder returned."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    """Files as an Orin Nano with JetPack 6 has them."""
    cpu = "sys/devices/system/cpu/cpufreq"
    return write(
        tmp_path / "root",
        {
            f"{cpu}/policy0/scaling_cur_freq": "1510400\n",
            f"{cpu}/policy0/cpuinfo_max_freq": "1728000\n",
            f"{cpu}/policy0/scaling_max_freq": "1510400\n",
            f"{cpu}/policy0/scaling_governor": "schedutil\n",
            f"{cpu}/policy4/scaling_cur_freq": "729600\n",
            f"{cpu}/policy4/cpuinfo_max_freq": "1728000\n",
            f"{cpu}/policy4/scaling_max_freq": "1510400\n",
            f"{cpu}/policy4/scaling_governor": "schedutil\n",
            "sys/class/devfreq/17000000.gpu/cur_freq": "306000000\n",
            "sys/class/devfreq/17000000.gpu/max_freq": "624750000\n",
            "sys/class/devfreq/13e00000.host1x/cur_freq": "1\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "48312\n",
            "sys/class/thermal/thermal_zone1/type": "gpu-thermal\n",
            "sys/class/thermal/thermal_zone1/temp": "51250\n",
            "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",  # asleep: its temp cannot be read
            "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
            "sys/class/thermal/cooling_device0/cur_state": "2\n",
            "sys/class/thermal/cooling_device1/type": "cpu-throttle-alert\n",
            "sys/class/thermal/cooling_device1/cur_state": "0\n",
            "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
            "var/lib/nvpmodel/status": "pmode:0000",
            "proc/loadavg": "0.52 0.58 0.59 1/467 12345\n",
            "proc/meminfo": "MemTotal: 7800000 kB\nMemAvailable: 524288 kB\n",
        },
    )


def test_a_jetson_tells_clocks_temperatures_and_power_mode(jetson: Path) -> None:
    assert machine_state(jetson) == {
        "cpu": {"mhz": 1120.0, "max_mhz": 1728.0, "allowed_mhz": 1510.4, "governor": "schedutil"},
        "celsius": {"cpu-thermal": 48.312, "gpu-thermal": 51.25},
        "jetson_gpu": {"mhz": 306.0, "max_mhz": 624.75},
        "power_mode": {"number": "0", "name": "15W", "fastest": "2"},
        "load": 0.52,
    }
    assert describe_state(machine_state(jetson)) == (
        "CPU 1120 MHz of 1728, held to 1510 (schedutil); GPU 306 MHz of 625; hottest 51 °C (gpu-thermal); "
        "power mode 0 (15W); load 0.52"
    )
    assert free_memory(jetson) == 512 * 2**20


def test_the_power_mode_changes_with_the_file(jetson: Path) -> None:
    write(jetson, {"var/lib/nvpmodel/status": "pmode:0002"})
    assert power_mode(jetson) == {"number": "2", "name": "MAXN_SUPER", "fastest": "2"}
    (jetson / "etc/nvpmodel.conf").unlink()
    assert power_mode(jetson) == {"number": "2", "name": "unnamed", "fastest": None}


def test_a_machine_that_tells_nothing_is_said_to_tell_nothing(tmp_path: Path) -> None:
    assert machine_state(tmp_path) == {}
    assert describe_state({}) == ""
    assert limits(tmp_path) == Limits({}, {})
    assert free_memory(tmp_path) is None
    assert power_mode(tmp_path) is None


def test_without_cpufreq_the_clock_is_what_cpuinfo_says(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"proc/cpuinfo": "processor : 0\ncpu MHz\t\t: 2000.5\n\nprocessor : 1\ncpu MHz\t\t: 3000.5\n"},
    )
    assert machine_state(tmp_path)["cpu"] == {"mhz": 2500.5}


def test_zones_of_one_name_are_both_told(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone"
    write(
        tmp_path,
        {f"{zone}{i}/type": "acpitz" for i in (0, 1)} | {f"{zone}0/temp": "40000", f"{zone}1/temp": "41000"},
    )
    assert machine_state(tmp_path)["celsius"] == {"acpitz": 40, "acpitz thermal_zone1": 41}


def test_throttling_is_a_counter_that_rises_or_a_device_that_slows_now(jetson: Path) -> None:
    counter = "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    write(jetson, {counter: "7"})
    before = limits(jetson)
    assert before.since(before) == set()  # the fan runs; seven times are past
    write(jetson, {counter: "8"})
    assert limits(jetson).since(before) == {"cpu0: package too hot"}
    write(jetson, {counter: "7", "sys/class/thermal/cooling_device1/cur_state": "1"})
    assert limits(jetson).since(before) == {"cpu-throttle-alert"}
    assert limits(jetson).since(limits(jetson)) == {"cpu-throttle-alert"}  # all the while, too


SMI = """#!/bin/sh
for word in "$@"; do case "$word" in
  *{refused}*) echo 'Field "clocks_event_reasons.active" is not a valid field to query.'; exit 2;;
esac; done
case "$1" in
  *throttle_reasons*|*event_reasons*) echo 'NVIDIA RTX A2000, P0, 1755, 2100, 5501, 74, 68.02, [N/A], {reasons}';;
  *) echo 'NVIDIA RTX A2000, P0, 1755, 2100, 5501, 74, 68.02, [N/A]';;
esac
"""


def install(folder: Path, refused: str, reasons: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(SMI.format(refused=refused, reasons=reasons))
    program.chmod(0o755)
    os.environ["PATH"] = f"{folder}:/usr/bin:/bin"  # its shell; the fixture puts PATH back


@pytest.mark.parametrize("refused", ["no-such-field", "clocks_event_reasons", "reasons"])
def test_nvidia_smi_is_asked_in_the_words_that_its_driver_knows(
    no_gpu: Path, tmp_path: Path, refused: str
) -> None:
    install(no_gpu, refused, "0x0000000000000020")
    (gpu,) = machine_state(tmp_path)["gpus"]
    assert gpu == {
        "name": "NVIDIA RTX A2000", "performance_state": "P0", "mhz": 1755, "max_mhz": 2100, "memory_mhz": 5501,
        "celsius": 74, "watts": 68.02,
    }  # fmt: skip
    assert describe_state({"gpus": [gpu]}) == "NVIDIA RTX A2000 1755 MHz of 2100, 74 °C, 68 W"
    seen = limits(tmp_path).since(Limits())
    assert seen == (set() if refused == "reasons" else {"GPU 0: heat (driver)"})


def test_an_idle_gpu_is_not_throttled_and_one_with_three_reasons_is(no_gpu: Path, tmp_path: Path) -> None:
    install(no_gpu, "no-such-field", "0x0000000000000001")
    assert limits(tmp_path).since(Limits()) == set()
    install(no_gpu, "no-such-field", "0x000000000000004D")  # idle, power cap, hardware slowdown, heat
    assert limits(tmp_path).since(Limits()) == {
        "GPU 0: power cap", "GPU 0: hardware slowdown", "GPU 0: heat (hardware)"
    }  # fmt: skip


def test_an_nvidia_smi_that_fails_is_as_none(no_gpu: Path, tmp_path: Path) -> None:
    install(no_gpu, "query", "")
    assert machine_state(tmp_path) == {}
    (no_gpu / "nvidia-smi").write_text("no program at all")
    assert machine_state(tmp_path) == {}
