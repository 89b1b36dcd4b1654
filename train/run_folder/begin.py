"""A run folder before the first stage: refused, begun, or taken up again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tgkt_edge.config import AdaptConfig
from tgkt_edge.errors import ConfigError, IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import refuse_existing, refuse_foreign, remove_leftovers
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.logger import truncate_metrics
from tgkt_edge.train.methods.translation.class_prior import NAMED
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.nn.ranks import Ranks
from tgkt_edge.train.run_folder.folder import Run, RunInputs, differences, write_config
from tgkt_edge.train.run_folder.swap import swap_run_folder
from tgkt_edge.train.source_import.options import ImportOptions


def refuse_folder(
    out: Path,
    inputs: RunInputs,
    config: AdaptConfig,
    options: ImportOptions,
    cache: Path | None,
    *,
    overwrite: bool,
) -> None:
    """Refuse a folder that no run may begin in: it holds something, or data that ``overwrite`` would delete.

    Raises:
        UsageError: why not. A source model may lie there: it is read before, and copied.
    """
    refuse_existing(out, overwrite=overwrite, hint="`resume=True` to go on with it or `overwrite=True`")
    refuse_foreign(out, "config.yaml", "an earlier run")
    places: dict[str, str | Path | None] = {**dataclasses.asdict(inputs), "source_model": None}
    places |= {
        "continue_": places.pop("continue_from"),
        "cache": cache,
        "source_classes": options.classes,
        "map_": options.map,
        "check_images": options.check_images,
    }
    if config.weights not in ("imagenet", "none"):
        places["weights"] = config.weights
    if config.student.weights not in ("imagenet", "none"):
        places["student_weights"] = config.student.weights
    if config.translation.prior not in NAMED:
        places["prior"] = config.translation.prior
    for name, value in places.items():
        if value is not None and Path(value).resolve().is_relative_to(out.resolve()):
            raise UsageError(f"`out={out}`: `{name}={value}` lies inside it. Choose another output folder.")


def refuse_other_options(inputs: RunInputs, sensor: SensorSpec, out: Path, config: AdaptConfig) -> None:
    """Refuse to go on in ``out`` with other options than its run has.

    Raises:
        IncompatibleError: (exit 4) there is no run, or one of another version. ConfigError: which options differ.
    """
    if not (out / "config.yaml").is_file():
        raise IncompatibleError(
            f"`resume=True` {out}: no run here: config.yaml is missing. Leave `resume=True` out to start one."
        )
    changed = differences(Run(out), inputs, sensor, config)
    if changed:
        raise ConfigError(
            f"`resume=True` {out}: started with other options: {'; '.join(changed)}. Give the same ones, or another "
            f"`out`."
        )


@contextmanager
def new_run(
    out: Path, inputs: RunInputs, sensor: SensorSpec, config: AdaptConfig, contents: dict[str, str]
) -> Iterator[None]:
    """Put an earlier run aside for the body, then write ``config.yaml``: whatever is killed from now on can be
    resumed."""
    with swap_run_folder(out):
        yield
        write_config(out, inputs, sensor, config, contents)


def take_up(run: Run, config: AdaptConfig, contents: dict[str, str], ranks: Ranks) -> None:
    """Go on with a run: with the files it began with, from what it saved last.

    Args:
        contents: digests of what was read now.

    Raises:
        ConfigError: which files are others.
    """
    then = run.contents()
    changed = [
        f"`{name}`: then {then[name]}, now {contents.get(name)}"
        for name in then
        if then[name] != contents.get(name)
    ]
    if changed:
        raise ConfigError(
            f"`resume=True` {run.path}: started with other files: {'; '.join(changed)}. Bring them back as they "
            f"were, or give another `out`."
        )
    if ranks.first:
        (run.path / "checkpoints").mkdir(exist_ok=True)
        _forget_unsaved(run, config)


def wait_for_folder(out: Path, ranks: Ranks) -> None:
    """Until rank 0 has begun or taken up the run. Raises TgktEdgeError where this rank cannot see it."""
    ranks.wait()
    if not (out / "checkpoints").is_dir():
        raise TgktEdgeError(
            f"`out={out}`: rank {ranks.rank} does not see what rank 0 wrote there: the run folder must lie on a file "
            f"system that all machines share"
        )


def _forget_unsaved(run: Run, config: AdaptConfig) -> None:
    """Cut metrics.jsonl back to what is saved, since the rest is going to be written again; drop what a kill left."""
    for folder in (run.path, run.source.parent, run.path / "state", run.path / "epochs"):
        remove_leftovers(folder)
    stages = run.stages(config)
    for stage, file in stages.items():
        state = run.path / "state" / f"{stage}.safetensors"
        if file.is_file():
            state.unlink(missing_ok=True)  # killed after the checkpoint, before the state was cleared
        else:
            epochs = int(load_tensors(state)[1]["epoch"]) if state.is_file() else 0
            truncate_metrics(run.path / "metrics.jsonl", stage, epochs, tuple(stages))
            return
