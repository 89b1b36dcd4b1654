"""``tgkt_edge.benchmark``: all precisions of one bundle or several on all engines of this machine, timed in turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.benchmark import ROUNDS, SECONDS
from tgkt_edge.bundle.signature import refuse_untrusted
from tgkt_edge.notes import log_progress


def benchmark(
    bundles: Path | str | Sequence[Path | str],
    *,
    precisions: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    frames: Path | str | None = None,
    labels: Path | str | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    threads: int | None = None,
    skip_bad: bool = False,
    trust: Sequence[Path | str] = (),
) -> dict[str, Any]:
    """Measure each precision on each engine at each batch, every one in a process of its own, in turns.

    Args:
        bundles: folder written by ``export``; or several of one task, whose networks are compared in one table.
        precisions: of those the bundle holds; default: all. fp32, which they are compared with, is always measured.
        engines: names that ``run`` takes; default: all.
        batches: frames per call; default: 1.
        frames: real frames, to measure agreement with FP32. labels: labelled ones instead, to measure accuracy, too.
        rounds, seconds: how many times each row is measured, and for how long in total.
        threads: CPU threads of one inference; None: the engine's choice.
        skip_bad: go on without frames that cannot be used.
        trust: public keys (.pub); given some, each bundle is refused unless it is signed with one of them.

    Returns:
        See :func:`tgkt_edge.benchmark.command.benchmark`; ``interrupted`` is true after Ctrl-C.

    Raises:
        BundleError: (exit 4) a damaged bundle, an altered file, or a precision it lacks.
        UsageError, DataError: (exit 2) an argument, or frames that cannot be used.
    """
    from tgkt_edge.benchmark.command import benchmark as measure

    paths = [Path(bundles)] if isinstance(bundles, Path | str) else [Path(one) for one in bundles]
    for path in paths:
        refuse_untrusted(path, trust)
    return measure(
        paths,
        precisions=precisions,
        engines=engines,
        batches=batches,
        frames=None if frames is None else Path(frames),
        labels=None if labels is None else Path(labels),
        rounds=rounds,
        seconds=seconds,
        threads=threads,
        skip_bad=skip_bad,
        say=log_progress,
    )
