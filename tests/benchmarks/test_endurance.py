"""A hundred thousand frames, with bad ones among them and a log that rotates: nothing grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from endurance import Found, Size, endure

from tgkt_edge.runtime.sinks import open_sink


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_hundred_thousand_frames_leave_the_process_as_large_as_ten_thousand(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl:{tmp_path}/log.jsonl?max_mb=1&keep=2")
    found = endure(100_000, sinks=[sink])
    assert len(found.sizes) == 10
    assert found.growth.kilobytes < 3000, (
        found.sizes
    )  # a record of 200 bytes kept of each frame would be 18 MB
    assert found.growth.threads <= 0
    assert found.growth.files <= 0
    assert len(list(tmp_path.iterdir())) == 3


def test_growth_is_the_worst_after_the_first_tenth() -> None:
    sizes = [Size(100, 4, 9), Size(150, 3, 9), Size(120, 4, 8)]
    assert Found(0.1, sizes).growth == Size(50, 0, 0)
    assert Found(0.1, sizes[:1] + sizes[2:]).growth == Size(20, 0, -1)
