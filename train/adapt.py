"""``tgkt-edge adapt``: the stages one after the other, into a run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.memory import available_memory
from tgkt_edge.train.cache_choice import choose_cache
from tgkt_edge.train.continuing.shipped import CONTINUED
from tgkt_edge.train.data_checks import remarks
from tgkt_edge.train.few_labels import label_remarks, write_labels
from tgkt_edge.train.fitting_batch import fitting_batch, refuse_few
from tgkt_edge.train.given_source import source_checkpoint
from tgkt_edge.train.load_inputs import load_inputs
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.checkpoint import save_checkpoint
from tgkt_edge.train.nn.compiling import why_not_compiled
from tgkt_edge.train.nn.device import Compute, oom_as_error, open_compute
from tgkt_edge.train.nn.ranks import open_ranks
from tgkt_edge.train.pipeline import Loaded, train_stages
from tgkt_edge.train.report.retention import retention_lines
from tgkt_edge.train.report.words import headline
from tgkt_edge.train.run_folder.begin import (
    new_run,
    refuse_folder,
    refuse_other_options,
    take_up,
    wait_for_folder,
)
from tgkt_edge.train.run_folder.contents import DataDigests
from tgkt_edge.train.run_folder.folder import Run, RunInputs, options_of
from tgkt_edge.train.run_folder.swap import restore
from tgkt_edge.train.source_import.options import ImportOptions


def adapt(
    inputs: RunInputs,
    sensor: SensorSpec,
    out: Path,
    config: AdaptConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
    source_options: ImportOptions | None = None,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Train source (unless given) and what ``config.method`` needs, and write the run folder ``out``.

    Args:
        inputs: where the data is: target frames, paired frames, and labelled RGB or a source checkpoint.
        sensor: what the target and the paired frames mean.
        resume: go on with the run in ``out``, after the last epoch it saved.
        overwrite: replace what is in ``out``, once all inputs have been read without an error.
        source_options: what a source model of another program does not say of itself, such as its classes.
        cache: folder that keeps decoded images and features for this and other runs; None: in memory, or where that
            would not do in a folder beside ``out``.

    Returns:
        What ``report.json`` holds.

    Raises:
        UsageError: ``out`` holds a run; bad data, device or configuration. CheckpointError: a bad source model.
        TgktEdgeError: training diverged, or the disk or the GPU's memory is full.
    """
    # Everything that can be wrong is found before anything is written.
    require("torch.utils.tensorboard.writer", "train", "Adapting")
    if inputs.source_model is not None:
        inputs = dataclasses.replace(inputs, source_model=str(source_checkpoint(Path(inputs.source_model))))
    compute = open_compute(config)
    compute = dataclasses.replace(compute, ranks=open_ranks(compute.device))
    ranks, run = compute.ranks, Run(out)
    if ranks.first:
        restore(out)  # of a run that was killed before it wrote its first file
    options = source_options or ImportOptions()
    if resume:
        refuse_other_options(inputs, sensor, out, config)
    elif ranks.first:
        refuse_folder(out, inputs, config, options, cache, overwrite=overwrite)
    digests = DataDigests()
    kept = _cache(inputs, sensor, out, config, cache, compute)
    loaded = load_inputs(
        inputs, sensor, config, skip_bad, run.first(config) if resume else None, options, digests, kept
    )
    batch = fitting_batch(config, loaded)
    refuse_few(dataclasses.replace(config, batch=batch), loaded, ranks)
    contents = _contents(inputs, config, loaded, digests)
    del digests  # a path and a checksum for each file
    ranks.agree({**options_of(loaded.sensor, config), "torch": torch.__version__, **contents})
    if resume:
        take_up(run, config, contents, ranks)
    elif ranks.first:
        with new_run(out, inputs, sensor, config, contents):
            if loaded.source is not None:
                save_checkpoint(run.first(config), *loaded.source)  # it may have lain here
            if loaded.labelled is not None:
                write_labels(run.labels, loaded.labelled, loaded.target.names, loaded.classes)
        run.source.parent.mkdir(exist_ok=True)
    wait_for_folder(out, ranks)
    # config.yaml keeps the batch that was asked for: --resume compares with that
    fitted = dataclasses.replace(config, batch=batch)
    with RunLog(out if ranks.first else None) as log, oom_as_error(compute.device):
        _say_what_is_there(loaded, config, fitted, compute, log)
        if config.compile:
            compute = _compiling(compute, log)
        return train_stages(run, loaded, fitted, compute, log)


def _cache(
    inputs: RunInputs,
    sensor: SensorSpec,
    out: Path,
    config: AdaptConfig,
    given: Path | None,
    compute: Compute,
) -> Cache | None:
    """Where decoded images are kept; None: in memory."""
    free = available_memory()
    if free is not None:  # each rank measures another size, and all must decide alike: they share files
        free = compute.ranks.least(free, compute.device)
    keep = None if inputs.source_model is None else config.source.keep
    side, readers = resize_side(config.image_size), compute.ranks.on_machine
    return choose_cache(inputs, sensor, side, out, given, RunLog(None).say, readers, free, keep)


def _contents(inputs: RunInputs, config: AdaptConfig, loaded: Loaded, digests: DataDigests) -> dict[str, str]:
    """Name of an input -> a digest of what was read of it."""
    found = digests.contents()
    if inputs.continue_from is not None and loaded.source is not None:
        found["continue_from"] = f"sha256 {loaded.source[1].extra[CONTINUED]['sha256'][:32]}"
    if inputs.labels is not None:
        found["labels"] = f"sha256 {sha256_of(Path(inputs.labels))[:32]}"
    if loaded.prior is not None:
        found["prior"] = f"sha256 {sha256_of(Path(config.translation.prior))[:32]}"
    return found


def _say_what_is_there(
    loaded: Loaded, config: AdaptConfig, fitted: AdaptConfig, compute: Compute, log: RunLog
) -> None:
    """The first lines: data, size, device, and what a person should know of the data. ``fitted``: with the batch that
    they allow."""
    ranks = compute.ranks
    log.say(
        f"{len(loaded.target)} target frames, {learnt_from(loaded, config)}; {config.image_size} pixels, batch "
        f"{fitted.batch}, {compute.device} in {compute.precision}, {torch.get_num_threads()} threads"
        + ("" if ranks.alone else f", {ranks.count} ranks")
    )
    if fitted.batch < config.batch:
        log.say(f"batch lowered from {config.batch} to {fitted.batch}: the smallest set has no more images")
    for line in [*remarks(loaded.target), *label_remarks(loaded.labelled, loaded.classes)]:
        log.say(line)


def _compiling(compute: Compute, log: RunLog) -> Compute:
    """``compute`` with torch.compile, or as it is where that does not work, which is said."""
    reason = why_not_compiled(compute.device)
    if reason:
        log.say(f"`compile=True`: not compiled, since torch.compile does not work here: {reason}")
    return dataclasses.replace(compute, compiles=reason is None)


def learnt_from(loaded: Loaded, config: AdaptConfig) -> str:
    """What there is beside the target frames, in words."""
    if not config.continues:
        return f"{len(loaded.pairs)} pairs, {len(loaded.held)} more held out"
    old, held = (0 if frames is None else len(frames) for frames in (loaded.old, loaded.old_held))
    return f"{old} old frames, {held} more held out"


def _translation_line(report: dict[str, Any]) -> list[str]:
    """What the translation gave before any training, and how well it fits pairs left out; none for other methods."""
    translation = report["translation"]
    if translation is None:
        return []
    counts = report["predicted"].get("translate", report["predicted"]["target"])
    unadapted = report["correlation"].get("source-only")
    return [
        "the translation alone gave "
        + ", ".join(f"{name} {count}" for name, count in counts.items())
        + f"; on {translation['pairs']} pairs left out its answers correlate with those on the RGB by "
        f"{translation['correlation']:.2f}"
        + (f" (source-only {unadapted:.2f})" if unadapted is not None else "")
    ]


def describe(report: dict[str, Any], out: Path) -> list[str]:
    """The report as lines for the person who waited."""
    counts, verdict = report["predicted"]["target"], report["verdict"]
    if report["method"] == "tgmb":
        then = (
            f"tgkt-edge evaluate {out} --data LABELLED; only a target network can be exported (--method tgkt)"
        )
    else:
        learnt = (report["translation"] or {}).get("labelled", 0)
        frames = min(60, report["target_frames"] - learnt)
        audit = (
            f"tgkt-edge audit {out} --frames {frames}"
            if frames
            else f"tgkt-edge evaluate {out} --data LABELLED, on other frames than the labelled ones"
        )
        hurt = verdict["verdict"] == "hurt"
        then = audit if hurt else f"tgkt-edge export {out} -o BUNDLE; to be sure, {audit}"
    return [
        *_translation_line(report),
        "classes given to the target frames: "
        + ", ".join(f"{name} {count}" for name, count in counts.items()),
        *(
            f"agreement of the target network with {key.removeprefix('target_with_').replace('_', '-')}: {share:.0%}"
            for key, share in report["agreement"].items()
        ),
        *verdict["warnings"],
        ": ".join(headline(verdict["verdict"], report["method"])),
        *retention_lines(report),
        verdict["sentence"],
        f"{out / 'report.html'}: curves, pictures, and why",
        f"{out}: checkpoints, metrics.jsonl, tensorboard, report.json",
        f"next: {then}",
    ]
