"""``tgkt-edge adapt``: the stages one after the other, into a run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from tgkt_edge.config import AdaptConfig
from tgkt_edge.errors import ConfigError, IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import refuse_existing, refuse_foreign, remove_leftovers, sha256_of
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.memory import available_memory
from tgkt_edge.train.batches import steps_per_epoch
from tgkt_edge.train.cache_choice import choose_cache
from tgkt_edge.train.continuing.shipped import CONTINUED
from tgkt_edge.train.data_checks import remarks
from tgkt_edge.train.few_labels import label_remarks, write_labels
from tgkt_edge.train.given_source import source_checkpoint
from tgkt_edge.train.load_frames import FEWEST
from tgkt_edge.train.load_inputs import load_inputs
from tgkt_edge.train.logger import RunLog, truncate_metrics
from tgkt_edge.train.methods.translation.class_prior import NAMED
from tgkt_edge.train.nn.checkpoint import (
    load_tensors,
    save_checkpoint,
)
from tgkt_edge.train.nn.compiling import why_not_compiled
from tgkt_edge.train.nn.device import oom_as_error, open_compute
from tgkt_edge.train.nn.ranks import Ranks, open_ranks
from tgkt_edge.train.pipeline import Loaded, train_stages
from tgkt_edge.train.report.retention import retention_lines
from tgkt_edge.train.report.words import headline
from tgkt_edge.train.run_folder.contents import DataDigests
from tgkt_edge.train.run_folder.folder import Run, RunInputs, differences, options_of, write_config
from tgkt_edge.train.run_folder.swap import restore, swap_run_folder
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
    ranks = compute.ranks
    if ranks.first:
        restore(out)  # of a run that was killed before it wrote its first file
    options = source_options or ImportOptions()
    if resume:
        _check_resume(inputs, sensor, out, config)
    elif ranks.first:
        refuse_existing(out, overwrite=overwrite, hint="`resume=True` to go on with it or `overwrite=True`")
        refuse_foreign(out, "config.yaml", "an earlier run")
        _refuse_inside(out, inputs, config, options, cache)
    run = Run(out)
    digests = DataDigests()
    say = RunLog(None).say
    free = available_memory()
    if free is not None:  # each rank measures another size, and all must decide alike: they share files
        free = ranks.least(free, compute.device)
    kept = choose_cache(
        inputs, sensor, resize_side(config.image_size), out, cache, say, ranks.on_machine, free,
        None if inputs.source_model is None else config.source.keep,
    )  # fmt: skip
    loaded = load_inputs(
        inputs, sensor, config, skip_bad, run.first(config) if resume else None, options, digests, kept
    )
    refuse_few(dataclasses.replace(config, batch=fitting_batch(config, loaded)), loaded, ranks)
    now = digests.contents()
    del digests  # a path and a checksum for each file
    if inputs.continue_from is not None and loaded.source is not None:
        now["continue_from"] = f"sha256 {loaded.source[1].extra[CONTINUED]['sha256'][:32]}"
    if inputs.labels is not None:
        now["labels"] = f"sha256 {sha256_of(Path(inputs.labels))[:32]}"
    if loaded.prior is not None:
        now["prior"] = f"sha256 {sha256_of(Path(config.translation.prior))[:32]}"
    ranks.agree({**options_of(loaded.sensor, config), "torch": torch.__version__, **now})
    if resume:
        _check_contents(run, now)
    elif ranks.first:
        with swap_run_folder(out):
            if loaded.source is not None:
                save_checkpoint(run.first(config), *loaded.source)  # it may have lain here
            if loaded.labelled is not None:
                write_labels(run.labels, loaded.labelled, loaded.target.names, loaded.classes)
            write_config(out, inputs, sensor, config, now)  # whatever is killed from now on can be resumed
    if ranks.first:
        (out / "checkpoints").mkdir(exist_ok=True)
        if resume:
            _forget_unsaved(run, config)
    ranks.wait()
    if not (out / "checkpoints").is_dir():
        raise TgktEdgeError(
            f"`out={out}`: rank {ranks.rank} does not see what rank 0 wrote there: the run folder must lie on a file "
            f"system that all machines share"
        )
    batch = fitting_batch(config, loaded)  # config.yaml keeps what was asked for: --resume compares with that
    given, config = config.batch, dataclasses.replace(config, batch=batch)
    with RunLog(out if ranks.first else None) as log, oom_as_error(compute.device):
        log.say(
            f"{len(loaded.target)} target frames, {learnt_from(loaded, config)}; "
            f"{config.image_size} pixels, batch "
            f"{config.batch}, {compute.device} in {compute.precision}, {torch.get_num_threads()} threads"
            + ("" if ranks.alone else f", {ranks.count} ranks")
        )
        if batch < given:
            log.say(f"batch lowered from {given} to {batch}: the smallest set has no more images")
        for line in [*remarks(loaded.target), *label_remarks(loaded.labelled, loaded.classes)]:
            log.say(line)
        if config.compile:
            reason = why_not_compiled(compute.device)
            compute = dataclasses.replace(compute, compiles=reason is None)
            if reason:
                log.say(f"`compile=True`: not compiled, since torch.compile does not work here: {reason}")
        return train_stages(run, loaded, config, compute, log)


def learnt_from(loaded: Loaded, config: AdaptConfig) -> str:
    """What there is beside the target frames, in words."""
    if not config.continues:
        return f"{len(loaded.pairs)} pairs, {len(loaded.held)} more held out"
    old, held = (0 if frames is None else len(frames) for frames in (loaded.old, loaded.old_held))
    return f"{old} old frames, {held} more held out"


def _check_contents(run: Run, now: dict[str, str]) -> None:
    then = run.contents()
    changed = [
        f"`{name}`: then {then[name]}, now {now.get(name)}" for name in then if then[name] != now.get(name)
    ]
    if changed:
        raise ConfigError(
            f"`resume=True` {run.path}: started with other files: {'; '.join(changed)}. Bring them back as they "
            f"were, or give another `out`."
        )


def _refuse_inside(
    out: Path, inputs: RunInputs, config: AdaptConfig, options: ImportOptions, cache: Path | None
) -> None:
    """Refuse to write where data lies: ``--overwrite`` would delete it. A source model is read before, and copied."""
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


def _check_resume(inputs: RunInputs, sensor: SensorSpec, out: Path, config: AdaptConfig) -> None:
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
