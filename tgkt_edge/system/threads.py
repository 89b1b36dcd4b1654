"""Calls in threads, in order, of as many things as one likes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tgkt_edge.system.cpu import usable_cpus

A = TypeVar("A")
B = TypeVar("B")

MOST = 8
"""Threads: what they call releases Python's lock for most of its time, not for all."""

AHEAD = 256
"""Calls that are begun, or wait for a thread, before their answer is asked for. Each that waits takes 2 KiB, which of a
million files would be 2 GiB."""


def in_threads(call: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """What ``call`` returns of each item, in order. An error comes where its answer would; nothing more is begun then.

    Args:
        items: read as they are needed.
    """
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(max_workers=min(MOST, usable_cpus())) as pool:
        try:
            for item in items:
                if len(waiting) >= AHEAD:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(call, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
