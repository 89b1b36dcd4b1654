"""The network that was shipped: of a run folder, or of a bundle; and where the frames lie that it was adapted to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tgkt_edge.bundle.bundle import MANIFEST, Bundle
from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.errors import CheckpointError, ConfigError, IncompatibleError, UsageError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.continuing.rebuild import rebuild_network
from tgkt_edge.train.nn.checkpoint import Header, architecture, load_classifier, read_header
from tgkt_edge.train.nn.imported import ImportedClassifier, resnet50_in
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.run_folder.folder import Run, RunInputs

CONTINUED = "continued_from"
"""Entry of a header, of a bundle's provenance: ``name`` of the folder, ``sha256`` of the manifest or checkpoint."""


def identity(path: Path) -> dict[str, str]:
    """What names the shipped network at ``path``.

    Raises:
        UsageError: (exit 2) neither a bundle nor a run. IncompatibleError: (exit 4) a run without a target network.
        BundleError: (exit 4) a damaged bundle.
    """
    if (path / MANIFEST).is_file():
        return {"name": path.resolve().name, "sha256": Bundle.open(path).digest}
    file = _run(path).target
    return {"name": path.resolve().name, "sha256": sha256_of(file)}


def sensor_and_size(path: Path) -> tuple[SensorSpec, int]:
    """SensorSpec and side of the input of the shipped network. Raises as :func:`identity`."""
    if (path / MANIFEST).is_file():
        bundle = Bundle.open(path)
        return bundle.sensor, bundle.size
    header = read_header(_run(path).target)
    assert header.sensor is not None
    return header.sensor, header.image_size


def _run(path: Path) -> Run:
    found = file_kind(path)
    if found.name != "run":
        raise UsageError(
            f"`continue_={path}`: expected a bundle that 'tgkt-edge export' wrote, or a run folder; this {found}"
        )
    run = Run(path)
    if not run.target_checkpoint().is_file():
        raise IncompatibleError(
            f"`continue_={path}`: this run is not finished: {run.target} is missing. Go on with adapt "
            f"`resume=True` there."
        )
    return run


def shipped_network(path: Path, kept: Path | None) -> tuple[Classifier, Header]:
    """The network in evaluation mode on the CPU; its header names where it is from.

    Args:
        kept: the copy that a run which goes on has, if it has one already; ``path`` has to hold the same, or nothing.

    Raises:
        ConfigError: (exit 2) ``path`` holds another network than the run was started with. UsageError: neither a bundle
            nor a run. BundleError, CheckpointError, IncompatibleError: (exit 4) damaged, or cannot be continued from.
    """
    if kept is not None and kept.is_file():
        network, header = load_classifier(kept)
        begun = header.extra[CONTINUED]
        if path.exists() and identity(path)["sha256"] != begun["sha256"]:
            raise ConfigError(
                f"`continue_={path}`: holds another network than the run was started with, which lies in {kept}. "
                f"Give the same, or another `out`."
            )
        return network, header
    named = identity(path)
    if (path / MANIFEST).is_file():
        bundle = Bundle.open(path)
        network = rebuild_network(bundle)
        header = Header("target", bundle.classes, bundle.size, bundle.sensor)
    else:
        network, header = load_classifier(Run(path).target, "target")
    if isinstance(network, ImportedClassifier) and resnet50_in(network) is None:
        raise CheckpointError(
            f"`continue_={path}`: its target network is a model of another program ({architecture(network)}), "
            f"whose features this program does not read; expected a ResNet-50 or a network that `student` named"
        )
    return network, dataclasses.replace(header, extra={CONTINUED: named}, beside={})


def old_frames_of(inputs: RunInputs) -> Path | None:
    """Where the frames lie that the shipped network knew: as given, or those that the run was adapted to, where they
    are still there; None where nothing is continued, or nothing is known of them, as of a bundle."""
    if inputs.old_frames is not None:
        return Path(inputs.old_frames)
    if inputs.continue_from is None or not (Path(inputs.continue_from) / "config.yaml").is_file():
        return None
    target = Path(Run(Path(inputs.continue_from)).read_config()[0].target)
    return target if target.exists() else None


def earlier_frames(path: Path) -> str | None:
    """Where the run at ``path`` went on from, if it was continued itself: it knew other frames before its own."""
    return Run(path).read_config()[0].continue_from


def refuse_other(path: Path, header: Header, sensor: SensorSpec, size: int) -> None:
    """Raise UsageError where the new frames are said to be of another sensor, or are to be read at another size."""
    if size != header.image_size:
        raise UsageError(
            f"`image_size={size}`: the network of `continue_={path}` takes {header.image_size} pixels. Leave "
            f"`image_size` out, or adapt from the start."
        )
    assert header.sensor is not None
    then, now = header.sensor.to_dict(), sensor.to_dict()
    keys = [
        key for key in {**then, **now} if key not in ("size", "intrinsics") and then.get(key) != now.get(key)
    ]
    if keys:
        differences = "; ".join(f"{key} {now.get(key)!r}, there {then.get(key)!r}" for key in keys)
        raise UsageError(
            f"`sensor`: not the one that `continue_={path}` was adapted to: {differences}. Leave `sensor` out to take "
            f"that one, or adapt from the start."
        )
