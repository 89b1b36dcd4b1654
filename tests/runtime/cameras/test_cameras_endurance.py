"""Four cameras that are unplugged at random: every frame in order, and nothing grows."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.support.cameras import NotedEngine, group_of
from tests.support.counts import repeats
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import Captured, FrameSource
from tgkt_edge.runtime.capture.retry import Backoff, Retry
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import Decision

FRAMES = repeats(5_000, 25_000)
"""Of each camera."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="growth is read from /proc")


class Loose(FrameSource):
    """A camera whose plug is loose: sessions of 1 to 1,000 frames, and some openings fail; FRAMES in all."""

    live = True

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.given = self.number = self.left = self.lost = 0
        self.frame = np.full((8, 8), 1000 + seed, np.uint16)

    def __call__(self) -> FrameSource:
        if self.chance.random() < 0.3:
            raise SourceLostError("/dev/video9: no such device.")
        self.number, self.left = 0, self.chance.randint(1, 1000)
        return self

    def read(self) -> Captured | None:
        if self.given == FRAMES:
            return None
        if not self.left:
            self.lost += 1
            raise SourceLostError("/dev/video9: unplugged.")
        self.left -= 1
        self.given += 1
        self.number += 1
        return Captured(self.frame, self.number - 1, time.time(), "/dev/video9")

    def close(self) -> None:
        """Nothing is held."""


def kilobytes() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.slow
def test_four_cameras_with_loose_plugs_lose_no_frame_and_nothing_grows() -> None:
    cameras = {name: Loose(seed) for seed, name in enumerate("abcd")}
    retry = Retry(wait=60, backoff=Backoff(first=0.0005, most=0.001))
    engine = NotedEngine()
    group = group_of(engine, cameras, retry=retry, drop="none")
    expected: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    with group:
        while not group.ended:
            for message in group.take(0.1):
                record = message.record
                if isinstance(record, Decision):
                    assert record.frame == expected[record.camera]
                    expected[record.camera] += 1
                elif isinstance(record, StateEvent):
                    lost[record.camera] += record.state == "lost"
            engine.asked.clear()
            if group.stats.frames > FRAMES * len(sizes) // 2:
                sizes.append((kilobytes(), threading.active_count()))
    assert expected == dict.fromkeys(cameras, FRAMES)
    assert group.reconnects == sum(camera.lost for camera in cameras.values()) > FRAMES // 250
    assert all(lost[name] >= camera.lost for name, camera in cameras.items())
    first, *_, last = sizes[1:]
    print(sizes)
    assert last[0] - first[0] < 2000
    assert last[1] <= first[1]
