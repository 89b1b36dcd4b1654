"""How many processors a process may keep busy, by the files that Linux shows in containers and services."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bundles import save_near_or_far
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.library_defaults import THREADS, apply_library_defaults
from tgkt_edge.system.cpu import cpu_limit, cpu_quota, usable_cpus

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "25 20 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    "31 25 0:27 {} /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 25 0:28 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 25 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)


def machine(root: Path, own: str, mounts: str, files: dict[str, str]) -> Path:
    """A root folder with /proc/self/cgroup, /proc/self/mountinfo and files below /sys/fs/cgroup."""
    texts = {"proc/self/cgroup": own, "proc/self/mountinfo": mounts}
    for name, text in (texts | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "mounts", "files", "quota"),
    [
        # Version 2: a container with a namespace of its own, a service below slices, the smallest of nested ones.
        ("0::/\n", V2, {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", V2, {"cpu.max": "max 100000\n"}, None),
        ("0::/a.slice/b.service\n", V2, {"a.slice/b.service/cpu.max": "50000 100000\n"}, 0.5),
        (
            "0::/a/b/c\n", V2,
            {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n", "a/b/c/cpu.max": "900000 100000\n"}, 2.0,
        ),
        ("0::/a/b\n", V2, {"c/cpu.max": "100000 100000\n"}, None),  # of another service
        ("0::/../elsewhere\n", V2, {"cpu.max": "300000 100000\n"}, 3.0),
        # Version 1: on the host; in Docker without a namespace, where the mount shows the container's group only.
        (
            "4:cpu,cpuacct:/docker/77\n0::/\n", V1.format("/"),
            {
                "cpu,cpuacct/docker/77/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/docker/77/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            "4:cpu,cpuacct:/docker/77/sub\n", V1.format("/docker/77"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "20000\n", "cpu,cpuacct/cpu.cfs_period_us": "10000\n",
             "cpu,cpuacct/sub/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/sub/cpu.cfs_period_us": "100000\n"},
            2.0,
        ),
        (
            "4:cpu,cpuacct:/kubepods/pod1/77\n", V1.format("/somewhere/else"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 1.0,
        ),
        ("3:cpuset:/x\n", V1.format("/"), {"cpuset/x/cpu.cfs_quota_us": "1\n"}, None),
        # Nothing to be read.
        ("", "", {}, None),
        ("nonsense\n", "more nonsense\n", {}, None),
        ("0::/\n", V2, {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", V2, {"cpu.max": ""}, None),
    ],
)  # fmt: skip
def test_the_smallest_quota_of_the_groups_around_a_process_counts(
    tmp_path: Path, own: str, mounts: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(machine(tmp_path, own, mounts, files)) == quota


def test_affinity_and_quota_are_both_kept_to(tmp_path: Path) -> None:
    mine = len(os.sched_getaffinity(0))
    for text, expected in (
        ("1 100000", 1),
        ("100000 100000", 1),
        ("110000 100000", min(2, mine)),
        ("max 1", mine),
    ):
        root = machine(tmp_path, "0::/\n", V2, {"cpu.max": text})
        assert usable_cpus(root) == expected
        assert cpu_limit(root) == (expected if expected < (os.cpu_count() or 1) else None)
    assert usable_cpus(tmp_path / "no-proc") == mine


REPORT = """
import json, os, sys, tempfile
from pathlib import Path
from tgkt_edge.system.cpu import cpu_limit
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine, lanes_for_files
import cv2, onnxruntime, torch
before = len(os.listdir("/proc/self/task"))
engine = OnnxRuntimeEngine(Path(sys.argv[1]) / "model.onnx", 16, ("near", "far"), ["CPUExecutionProvider"])
started = len(os.listdir("/proc/self/task")) - before
from tgkt_edge.export.int8_calibration import METHODS, open_calibrator
def threads(method):
    before = len(os.listdir("/proc/self/task"))
    with tempfile.TemporaryDirectory() as folder:
        kept = open_calibrator(Path(sys.argv[1]) / "model.onnx", Path(folder), method)
        return 1 + len(os.listdir("/proc/self/task")) - before
most = max(threads(method) for method in METHODS)
print(json.dumps({"limit": cpu_limit(), "calibration": most, "torch": torch.get_num_threads(),
                  "opencv": cv2.getNumThreads(), "onnxruntime": 1 + started, "lanes": lanes_for_files()}))
"""
ONE_EACH = dict.fromkeys(("limit", "torch", "opencv", "onnxruntime", "lanes", "calibration"), 1)


def report(prefix: list[str], bundle: Bundle, **more: str) -> dict[str, int]:
    environment = {key: value for key, value in os.environ.items() if key not in THREADS} | more
    command = [*prefix, sys.executable, "-c", REPORT, str(bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return save_near_or_far(tmp_path_factory.mktemp("cpu") / "bundle", ("near", "far"))


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of this machine with one processor's time."""
    limits = {"cpu.max": "100000 100000"}, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "100000"}
    for base, files in zip(("/sys/fs/cgroup", "/sys/fs/cgroup/cpu"), limits, strict=True):
        folder = Path(base) / f"tgkt-edge-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if not (folder / "cgroup.procs").exists():  # a plain folder
            folder.rmdir()
            continue
        try:
            for name, text in files.items():
                (folder / name).write_text(text)
        except OSError:
            folder.rmdir()
            continue
        yield folder
        folder.rmdir()
        return
    pytest.skip("no control group with a quota can be made here")


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one processor anyway")
def test_libraries_start_as_many_threads_as_a_quota_allows(group: Path, bundle: Bundle) -> None:
    joined = ["/bin/sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    assert report(joined, bundle) == ONE_EACH
    assert report(joined, bundle, OMP_NUM_THREADS="2")["torch"] == 2  # the user's word counts more


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one processor anyway")
def test_libraries_start_as_many_threads_as_an_affinity_allows(bundle: Bundle) -> None:
    first = min(os.sched_getaffinity(0))
    code = f"import os, sys; os.sched_setaffinity(0, [{first}]); os.execv(sys.argv[1], sys.argv[1:])"
    assert report([sys.executable, "-c", code], bundle) == ONE_EACH


def test_variables_of_threads_are_set_only_where_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in ((None, set()), (3, {"3"})):
        monkeypatch.setattr("tgkt_edge.library_defaults.cpu_limit", lambda limit=limit: limit)
        environment: dict[str, str] = {}
        apply_library_defaults(environment)
        assert {environment[name] for name in THREADS if name in environment} == expected
