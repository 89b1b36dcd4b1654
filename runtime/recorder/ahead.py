"""Work on what comes in order, several at a time, and take the results in that order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tgkt_edge.system.cpu import usable_cpus

A = TypeVar("A")
B = TypeVar("B")

_MOST = 8  # threads: the disk is then what is waited for
_AHEAD = 2  # items a thread that are held at a time, so that memory does not grow with what is read


def in_order(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """``work`` of each of ``items``, in their order, computed in threads a few items ahead.

    What ``work`` or ``items`` raise is raised where its result would come.
    """
    threads = max(1, min(_MOST, usable_cpus()))
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="tgkt-edge import") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
