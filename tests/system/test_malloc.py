"""Memory that is freed is there for the next who wants as much."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.checkout import REPOSITORY

PROGRAM = """
import resource, sys
import numpy as np
from tgkt_edge.system.malloc import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("not here")
def step():
    return [np.ones(3 << 20) for _ in range(4)]  # of 24 MiB each, as a network's activations
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_steps_that_want_the_same_memory_again_are_given_no_new_pages() -> None:
    faults = {}
    for how in ("kept", "returned"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, how],
            cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if "not here" in done.stderr:
            pytest.skip("this C library has no mallopt")
        assert done.returncode == 0, done.stderr
        faults[how] = int(done.stdout)
    assert faults["kept"] < 100 <= faults["returned"]
