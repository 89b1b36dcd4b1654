"""The comparison with ultralytics: the frames it gets, and the process that it is asked in."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ultralytics_compare import Theirs, eight_bit, environment

from tgkt_edge.sensor import PRESETS

# In place of the other environment's interpreter: talks to people first, then answers each line with its number.
STANDS_IN = """#!{python}
import json, sys
print("Loading " + sys.argv[3] + " for inference...")
print(json.dumps({{"version": "9.9"}}), flush=True)
for number, line in enumerate(sys.stdin, 1):
    print(json.dumps({{"seconds": 0.5 * number, "found": [["a", 0.5]] * int(sys.argv[5])}}), flush=True)
"""


def test_the_range_becomes_0_to_255_in_three_equal_channels() -> None:
    frame = np.array([[0, 4000], [8000, 9000]], np.uint16)  # 0, 4, 8 and 9 m of 8
    found = eight_bit(frame, PRESETS["depth"])
    assert found.dtype == np.uint8
    assert found.shape == (2, 2, 3)
    for channel in range(3):
        assert found[..., channel].tolist() == [[0, 128], [255, 255]]


def test_rounds_are_asked_for_one_at_a_time(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(STANDS_IN.format(python=sys.executable))
    python.chmod(0o755)
    with Theirs(python, tmp_path / "m.onnx", tmp_path / "f.npy", 3, tmp_path) as theirs:
        assert theirs.version == "9.9"
        assert [theirs.round()["seconds"] for _ in range(3)] == [0.5, 1.0, 1.5]
        assert len(theirs.round()["found"]) == 3


def test_a_process_that_ends_is_no_result(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such module\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(RuntimeError, match="ended with code 3"):
        Theirs(python, tmp_path / "m.onnx", tmp_path / "f.npy", 3, tmp_path)


def test_an_environment_that_is_there_is_used(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    assert environment(tmp_path) == tmp_path / "bin" / "python"
