"""One cell of a table: a run folder and its result, found again by what it was computed from.

In the work folder lie ``sources/DIGEST`` (source models), ``translators/DIGEST`` (translation nets) and
``cells/DATA/METHOD-sSEED-DIGEST`` (``run/`` and ``cell.json``, which is written last). A digest is taken over the
lists of files, the sensor, and every option that the computation reads, so a changed option is another cell. The
contents of the images and the program's code are not in it: after changing either, take another work folder.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DataSet
from paper_figures import Row

from tgkt_edge import __version__
from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.data.loading import load_images
from tgkt_edge.errors import ConfigError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.io.atomic import atomic_folder, sha256_of, write_json
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.make_source import make_source
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.nn.device import Compute, open_compute
from tgkt_edge.train.resume_state import StageState
from tgkt_edge.train.run_folder.folder import Run, RunInputs, write_config

ANSWERS = {"source-only": "source-only", "tgmb": "tgmb"}
"""Which of a run's models is a method's result, where it is not "target"."""

READ = {
    "source-only": (),
    "tgmb": ("tgmb",),
    "shot": ("shot",),
    "socket": ("socket",),
    "translate": ("translation",),
}
"""Sections of AdaptConfig that a method reads beside the source's; those of tgkt depend on what is translated."""

SECTIONS = ("translation", "student", "distill", "tgmb", "tgkt", "shot", "socket")


@dataclass(frozen=True)
class Workshop:
    """Where cells are made.

    Attributes:
        config: YAML file or name, as for ``adapt --config``. flags: dotted keys of other flags. sets: ``--set`` texts
            of every row.
        share_translator: take a translation net over from another cell that trained the very same one.
    """

    work: Path
    config: str | None = None
    flags: tuple[tuple[str, Any], ...] = ()
    sets: tuple[str, ...] = ()
    share_translator: bool = True

    def options(self, row: Row, seed: int) -> AdaptConfig:
        """The configuration of one cell."""
        return build_config(
            self.config, [*self.sets, *row.sets], {**dict(self.flags), "seed": seed, "method": row.method}
        )

    def cell(self, data: DataSet, row: Row, seed: int) -> dict[str, Any]:
        """What ``cell.json`` holds; computed first if it is not there yet."""
        config = self.options(row, seed)
        compute = open_compute(config)
        source_key = _source_key(data, config, compute)
        key = _cell_key(source_key, data, row.method, config, compute)
        folder = self.work / "cells" / data.name / f"{row.method}-s{seed}-{key}"
        if (folder / "cell.json").is_file():
            return dict(json.loads((folder / "cell.json").read_text(encoding="utf-8")), again=True)
        source = self._source(source_key, data, config, compute)
        inputs = RunInputs(
            target=str(data.target.resolve()),
            paired=str(data.paired.resolve()),
            source_model=str(Run(source).source.resolve()),
        )
        run, shared = self._adapted(folder / "run", data, row.method, inputs, config, compute, source_key)
        result = evaluate(run.path, data.labelled, device=config.device)
        models = {
            name: {key: value[key] for key in ("accuracy", "balanced_accuracy", "recall")}
            for name, value in result["models"].items()
        }
        cell = {
            "data": data.name,
            "method": row.method,
            "seed": seed,
            "digest": key,
            "frames": result["frames"],
            "support": next(iter(result["models"].values()))["support"],
            **models[ANSWERS.get(row.method, "target")],
            "models": models,
            "stages": {**_costs(source), **run.stage_costs()},
            "shared": ["source", *shared],
            "config": dict(dataclasses.asdict(config), weights=Path(config.weights).name),
            "device": str(compute.device),
            "precision": compute.precision,
            "tool": __version__,
            "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "run": str(run.path.relative_to(self.work)),
        }
        write_json(folder / "cell.json", cell)
        return cell

    def _source(self, key: str, data: DataSet, config: AdaptConfig, compute: Compute) -> Path:
        """Folder of the source model that all methods of one seed share; trained if it is not there."""
        folder = self.work / "sources" / key
        run = Run(folder)
        if (folder / "cost.json").is_file():
            load_classifier(run.source, "source")  # a damaged one is refused before hours are spent on it
            return folder
        images = load_images(data.source, resize_side(config.image_size))
        folder.mkdir(parents=True, exist_ok=True)
        state = StageState(folder / "state.safetensors", config.save_every_s)
        with RunLog(folder) as log:
            log.say(f"source model of {data.name}, seed {config.seed}: {len(images)} images")
            compute.reset_memory()
            start = time.monotonic()
            model, header = make_source(images, config, compute, log, state, run.features)
            seconds = time.monotonic() - start
        save_checkpoint(run.source, model, header)
        shutil.rmtree(run.features, ignore_errors=True)
        cost = {"seconds": round(seconds, 3), "peak_bytes": compute.peak_memory()}
        write_json(folder / "cost.json", {"source": cost})
        state.clear()
        return folder

    def _adapted(
        self,
        out: Path,
        data: DataSet,
        method: str,
        inputs: RunInputs,
        config: AdaptConfig,
        compute: Compute,
        source_key: str,
    ) -> tuple[Run, list[str]]:
        """Adapt into ``out``, going on with what is there; also which stages another cell has computed."""
        sensor, run = load_sensor(data.sensor), Run(out)
        shares = self.share_translator and method in ("tgmb", "tgkt") and not config.by_features
        kept = self.work / "translators" / _translator_key(source_key, data, config, compute)
        begun = (out / "config.yaml").is_file()
        shared = []
        if shares and not begun and kept.is_dir():
            # A run interrupted between TGMB and TGKT is just this: the options, and the checkpoints so far.
            shutil.rmtree(out, ignore_errors=True)
            (out / "checkpoints").mkdir(parents=True)
            shutil.copy2(inputs.source_model or "", run.source)
            shutil.copy2(Run(kept).translator, run.translator)
            shutil.copy2(kept / "metrics.jsonl", out / "metrics.jsonl")
            write_json(out / "shared.json", ["tgmb"])
            write_config(out, inputs, sensor, config)  # last: without it the folder is made again
            begun = True
        try:
            adapt(inputs, sensor, out, config, resume=begun, overwrite=True)
        except ConfigError:
            if not begun:
                raise
            adapt(
                inputs, sensor, out, config, overwrite=True
            )  # begun with other options: the folder was moved
        if (out / "shared.json").is_file():
            shared = json.loads((out / "shared.json").read_text(encoding="utf-8"))
        if shares and not kept.is_dir() and run.translator.is_file():
            with atomic_folder(kept) as folder:
                Run(folder).translator.parent.mkdir()
                shutil.copy2(run.translator, Run(folder).translator)
                lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
                told = [line for line in lines if json.loads(line).get("stage") == "tgmb"]
                (folder / "metrics.jsonl").write_text("".join(line + "\n" for line in told), encoding="utf-8")
        return run, shared


def _costs(source: Path) -> dict[str, Any]:
    costs: dict[str, Any] = json.loads((source / "cost.json").read_text(encoding="utf-8"))
    return costs


def _source_key(data: DataSet, config: AdaptConfig, compute: Compute) -> str:
    weights = Path(config.weights)
    return _digest(
        data.source.read_text(encoding="utf-8"),
        sha256_of(weights) if weights.is_file() else config.weights,
        {**dataclasses.asdict(config.source), "mode": config.linear_source},
        config.translation.views,
        _common(config, compute),
    )


def _translator_key(source_key: str, data: DataSet, config: AdaptConfig, compute: Compute) -> str:
    tgmb = dataclasses.asdict(config.tgmb)
    return _digest(source_key, _adapted_from(data), config.holdout, tgmb, _common(config, compute))


def _cell_key(source_key: str, data: DataSet, method: str, config: AdaptConfig, compute: Compute) -> str:
    """Of everything but what stands for the source model, what changes no number, and sections not read."""
    by_features = ("translation", "student", "distill") if config.by_features else ("tgmb", "tgkt")
    unread = {*SECTIONS} - {*READ.get(method, by_features)}
    unread |= {"source", "save_every_s", "device", "precision", *(() if config.by_features else ("weights",))}
    options = {key: value for key, value in dataclasses.asdict(config).items() if key not in unread}
    labels = data.labelled.read_text(encoding="utf-8")
    return _digest(source_key, _adapted_from(data), labels, method, options, _common(config, compute))


def _common(config: AdaptConfig, compute: Compute) -> Sequence[Any]:
    return (config.image_size, config.batch, config.seed, compute.device.type, compute.precision)


def _adapted_from(data: DataSet) -> Sequence[Any]:
    return (
        data.target.read_text(encoding="utf-8"),
        data.paired.read_text(encoding="utf-8"),
        load_sensor(data.sensor).to_dict(),
    )


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
