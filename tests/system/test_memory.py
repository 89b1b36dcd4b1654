"""How much memory may still be taken: the machine's, or less where a control group allows less."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgkt_edge.system.memory import available_memory, in_bytes

GIB = 1 << 30


def machine(root: Path, available_kib: int = 8 << 20) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: {available_kib} kB\n"
    )
    return root


def group(root: Path, cgroup: str, mount: str, folder: Path, **files: object) -> None:
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text(mount)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_a_machine_without_groups(tmp_path: Path) -> None:
    assert available_memory(machine(tmp_path)) == 8 * GIB


def test_a_group_of_version_2_and_those_around_it(tmp_path: Path) -> None:
    root = machine(tmp_path)
    outer = root / "sys/fs/cgroup/service"
    group(
        root, "0::/service/job\n", "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", outer / "job",
        memory__max="max", memory__current=GIB, memory__stat="anon 5",
    )  # fmt: skip
    assert available_memory(root) == 8 * GIB
    (outer / "memory.max").write_text(f"{4 * GIB}\n")
    (outer / "memory.current").write_text(f"{3 * GIB}\n")
    # Pages of files can be dropped: they are not in the way.
    (outer / "memory.stat").write_text(f"anon 7\ninactive_file {GIB}\nactive_file {GIB // 2}\n")
    assert available_memory(root) == 4 * GIB - 3 * GIB + GIB + GIB // 2


@pytest.mark.parametrize(("limit", "expected"), [(2 * GIB, GIB + 100), (9223372036854771712, 8 * GIB)])
def test_a_group_of_version_1(tmp_path: Path, limit: int, expected: int) -> None:
    root = machine(tmp_path)
    mount = "31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    group(
        root, "4:memory:/box\n", mount, root / "sys/fs/cgroup/memory/box",
        memory__limit_in_bytes=limit, memory__usage_in_bytes=GIB, memory__stat="total_inactive_file 100",
    )  # fmt: skip
    assert available_memory(root) == expected


def test_a_system_that_does_not_tell(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None


def test_sizes_in_words() -> None:
    assert [in_bytes(n) for n in (3000, 5 << 20, 18.31 * GIB)] == ["3 KiB", "5 MiB", "18.3 GiB"]
