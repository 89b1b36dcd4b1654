"""``tgkt_edge.demo``: the whole job on scenes that it renders itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tgkt_edge.notes import log_progress


def demo(
    out: Path | str = "demo",
    *,
    sensor: str = "depth",
    seed: int = 0,
    weights: str = "none",
    precision: str = "auto",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Render scenes, adapt, evaluate, export and run; write ``out/{data,run,bundle,run.jsonl}``.

    Args:
        sensor: "depth" (16-bit millimetres) or "nir" (10-bit counts in 16 bits).
        seed: of the scenes and of training.
        weights: what the source model starts from, as for ``adapt``.
        precision: "fp32", "bf16" or "auto", as for ``adapt``.
        overwrite: replace an earlier demo in ``out``.

    Returns:
        Accuracy (0 to 1) of each model on the target frames and of the engine on the clip, and its latency in ms.

    Raises:
        UsageError: (exit 2) ``out`` is not empty, or a bad argument.
        MissingDependency: (exit 6) the extras train, export and cpu are not installed.
        TgktEdgeError: (exit 1) one of the commands failed; its own message was printed before.
    """
    from tgkt_edge.demo.command import demo as show

    return show(
        Path(out),
        sensor=sensor,
        seed=seed,
        weights=weights,
        precision=precision,
        overwrite=overwrite,
        say=log_progress,
    )
