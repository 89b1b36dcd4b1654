"""The run folder: where things lie in it, and the options it was started with."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tgkt_edge import __version__
from tgkt_edge.bundle.bundle import STATISTICS
from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.config import AdaptConfig
from tgkt_edge.config_parsing import from_dict
from tgkt_edge.config_removed import removed_options, without_removed
from tgkt_edge.errors import ConfigError, IncompatibleError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.sensor import SensorSpec

SCHEMA = 1
"""Version of config.yaml in a run folder."""

WITHOUT_PAIRS = ("shot", "source-only")
"""Methods that train without paired frames; where there are some, the report asks the models about them."""


@dataclass(frozen=True)
class RunInputs:
    """Paths as absolute text: ``target`` and ``paired`` frames; ``source`` (labelled RGB) or ``source_model``.

    ``paired`` is None only for methods that look at no pairs (:data:`WITHOUT_PAIRS`). ``labels``: a CSV ``frame,label``
    of a few target frames, or None. ``continue_from``: a bundle or a run whose target network is gone on with, in place
    of a source; ``old_frames``: frames that it knew, or None.
    """

    target: str
    paired: str | None
    source: str | None = None
    source_model: str | None = None
    labels: str | None = None
    continue_from: str | None = None
    old_frames: str | None = None


@dataclass(frozen=True)
class Run:
    """Paths in a run folder."""

    path: Path

    @property
    def source(self) -> Path:
        """Checkpoint of the source model."""
        return self.path / "checkpoints" / "source.safetensors"

    @property
    def shipped(self) -> Path:
        """Checkpoint of the network that the run went on from; only of runs with ``--continue``."""
        return self.path / "checkpoints" / "shipped.safetensors"

    @property
    def continued(self) -> Path:
        """Checkpoint of that network with its new head, where the whole of it was trained afterwards."""
        return self.path / "checkpoints" / "continue.safetensors"

    @property
    def translator(self) -> Path:
        """Checkpoint of the translation net T."""
        return self.path / "checkpoints" / "translator.safetensors"

    @property
    def target(self) -> Path:
        """Checkpoint of the target network."""
        return self.path / "checkpoints" / "target.safetensors"

    @property
    def translated(self) -> Path:
        """Checkpoint of the network that a translation of features gave, before the target network was trained."""
        return self.path / "checkpoints" / "translate.safetensors"

    @property
    def features(self) -> Path:
        """Folder of the features that stages in closed form read; gone once they are done."""
        return self.path / "features"

    @property
    def labels(self) -> Path:
        """CSV ``frame,label`` of the target frames whose labels were learnt from; only of runs with ``--labels``."""
        return self.path / "labels.csv"

    @property
    def statistics(self) -> Path:
        """What the target frames and the target network's answers to them were like; absent in older runs."""
        return self.path / STATISTICS

    def stages(self, config: AdaptConfig) -> dict[str, Path]:
        """The stages of ``config.method`` in order, each with the checkpoint that it ends with."""
        if config.continues:
            if not config.continuing.epochs:
                return {"shipped": self.shipped, "continue": self.target}
            return {"shipped": self.shipped, "continue": self.continued, "tgkt": self.target}
        found = {"source": self.source}
        if config.method in ("shot", "socket"):
            found[config.method] = self.target
        if config.by_features:
            found["translate"] = self.target if config.method == "translate" else self.translated
        elif config.method in ("tgmb", "tgkt"):
            found["tgmb"] = self.translator
        if config.method == "tgkt":
            found["tgkt"] = self.target
        return found

    def first(self, config: AdaptConfig) -> Path:
        """Checkpoint that the run begins with: the source model, or the shipped network."""
        return self.shipped if config.continues else self.source

    def target_checkpoint(self) -> Path:
        """The target network to ship. Raises IncompatibleError where the run has none (yet)."""
        _, _, config = self.read_config()
        if config.method == "tgmb":
            raise IncompatibleError(
                f"{self.path}: adapted with `method=tgmb`, which has no target network. Expected another `method`."
            )
        return self.target

    def read_config(self) -> tuple[RunInputs, SensorSpec, AdaptConfig]:
        """The options this run was started with, without those that this version no longer has.

        Raises:
            IncompatibleError: (exit 4) no run, or one of another version.
        """
        file = self.path / "config.yaml"
        if not file.is_file():
            raise IncompatibleError(
                f"{self.path}: no run here: config.yaml is missing. Expected what 'adapt -o' wrote; this "
                f"{file_kind(self.path)}"
            )
        values: Any = None
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
            schema = values["schema"]
            if schema != SCHEMA:
                raise IncompatibleError(
                    f"{file}: run of schema {schema!r}, this tgkt-edge {__version__} reads {SCHEMA}. Adapt again."
                )
            # Runs from before there was a hold-out trained on every pair; before features, T was the only translation.
            config = {"holdout": 0.0, "translator": "pixels", **without_removed(values["config"])}
            return (
                from_dict(RunInputs, values["inputs"], str(file)),
                SensorSpec.from_dict(values["sensor"], str(file)),
                from_dict(AdaptConfig, config, str(file)),
            )
        except (yaml.YAMLError, KeyError, TypeError, ConfigError) as error:
            tool = values.get("tool") if isinstance(values, dict) else None
            if tool not in (None, __version__):
                raise IncompatibleError(
                    f"{file}: written by tgkt-edge {tool}, and this is {__version__}, which cannot read it: "
                    f"{str(error).rstrip('.')}. Use that version, or adapt again."
                ) from error
            raise IncompatibleError(f"{file} is damaged: {str(error).rstrip('.')}. Adapt again.") from error

    def written_by(self) -> str:
        """Version of tgkt-edge that started this run. Call it where :meth:`read_config` succeeds."""
        values = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return str(values.get("tool"))

    def removed_options(self) -> list[str]:
        """Options this run was started with that this version no longer has, as ``key = value``. Call it where
        :meth:`read_config` succeeds."""
        values = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return removed_options(values["config"])

    def contents(self) -> dict[str, str]:
        """What :mod:`tgkt_edge.train.run_folder.contents` found as this run began; empty for older runs."""
        values = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        return dict(values.get("contents") or {})

    def stage_costs(self) -> dict[str, Any]:
        """Seconds and peak bytes (``Compute.peak_memory``) of each trained stage; of a resumed one, its last part."""
        costs: dict[str, Any] = {}
        for line in (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if entry.get("event") == "done":
                costs[entry["stage"]] = {"seconds": entry["seconds"], "peak_bytes": entry["peak_bytes"]}
        return costs


def write_config(
    out: Path,
    inputs: RunInputs,
    sensor: SensorSpec,
    config: AdaptConfig,
    contents: dict[str, str] | None = None,
) -> None:
    """Write ``out/config.yaml``.

    Args:
        contents: what the data held, which --resume compares with; None: it compares nothing.
    """
    values = {**_plain(inputs, sensor, config), **({"contents": contents} if contents else {})}
    write_text(out / "config.yaml", yaml.safe_dump(values, sort_keys=False))


def differences(run: Run, inputs: RunInputs, sensor: SensorSpec, config: AdaptConfig) -> list[str]:
    """Options that differ from those the run was started with, as "key: then x, now y".

    Raises:
        IncompatibleError: another version of the tool started the run, or it was started with an option that this
            version does not have. This one would compute something else.
    """
    before = _flat(_plain(*run.read_config()))
    if run.written_by() != __version__:
        raise IncompatibleError(
            f"{run.path}: begun by tgkt-edge {run.written_by()}, and this is {__version__}, which may compute other "
            f"numbers. Finish it with that version, or begin again with another `out`."
        )
    removed = run.removed_options()
    if removed:
        raise IncompatibleError(
            f"{run.path / 'config.yaml'}: begun with {', '.join(removed)}, which was removed in this version of "
            f"tgkt-edge. Finish the run with the version that began it, or begin again with another `out`, without "
            f"{'it' if len(removed) == 1 else 'them'}."
        )
    now = _flat(_plain(inputs, sensor, config))
    # How often state is saved changes nothing that is computed; force, whether it is computed at all.
    free = ("config.save_every_s", "config.translation.force")
    keys = [key for key in {**before, **now} if key not in free]
    return [
        f"{key}: then {before.get(key)!r}, now {now.get(key)!r}"
        for key in keys
        if before.get(key) != now.get(key)
    ]


def options_of(sensor: SensorSpec, config: AdaptConfig) -> dict[str, str]:
    """Every option of a run by name, as text: what all ranks that train together must have in common."""
    values = {"tgkt-edge": __version__, "sensor": sensor.to_dict(), "config": dataclasses.asdict(config)}
    return {key: repr(value) for key, value in _flat(values).items()}


def _plain(inputs: RunInputs, sensor: SensorSpec, config: AdaptConfig) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "tool": __version__,
        "inputs": dataclasses.asdict(inputs),
        "sensor": sensor.to_dict(),
        "config": dataclasses.asdict(config),
    }


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
