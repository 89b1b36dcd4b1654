"""Whether batches, parts and ranks can be filled with what was read."""

from __future__ import annotations

from tgkt_edge.config import AdaptConfig
from tgkt_edge.errors import UsageError
from tgkt_edge.train.batches import steps_per_epoch
from tgkt_edge.train.load_frames import FEWEST
from tgkt_edge.train.nn.ranks import Ranks
from tgkt_edge.train.pipeline import Loaded


def fitting_batch(config: AdaptConfig, loaded: Loaded) -> int:
    """``config.batch``, or as many as the smallest set that is trained on holds where that is fewer."""
    sizes = [len(loaded.target), len(loaded.pairs), 0 if loaded.images is None else len(loaded.images)]
    return min([config.batch, *(size for size in sizes if size >= FEWEST)])


def refuse_few(config: AdaptConfig, loaded: Loaded, ranks: Ranks) -> None:
    """Raise UsageError where a rank would have too little to compute in some batch, or a stage knows one process
    alone."""
    if config.distills and not ranks.alone:
        raise UsageError(
            f"`student={config.student.arch}`: another architecture is trained in one process, and "
            f"{ranks.count} ranks were started. Start one, or leave it out."
        )
    if config.compile and not ranks.alone:
        raise UsageError(
            f"`compile=True`: {ranks.count} ranks were started, whose batch norms exchange their statistics, which is "
            f"not compiled. Leave it out, or start one process."
        )
    if config.continues and not ranks.alone:
        raise UsageError(
            f"`continue_`: a network is continued in one process, and {ranks.count} ranks were started. Start one."
        )
    sizes = {"target frames": len(loaded.target)}
    if loaded.images is not None and not config.linear_source:
        sizes["RGB images"] = len(loaded.images)
    for name, size in sizes.items():
        fewest = size // steps_per_epoch(size, config.batch)
        if fewest < ranks.count:
            raise UsageError(
                f"`batch={config.batch}`: {size} {name} make batches of {fewest}, fewer than the {ranks.count} "
                f"ranks. Give a larger `batch`, or start fewer processes."
            )
        if config.accumulate > 1 and fewest // ranks.count < 2 * config.accumulate:
            raise UsageError(
                f"`accumulate={config.accumulate}`: {size} {name} make batches of {fewest}"
                + ("" if ranks.alone else f", {fewest // ranks.count} a rank")
                + ", and batch norm needs at least 2 frames a part. Give a smaller `accumulate`, or a larger `batch`."
            )
