"""``tgkt_edge.adapt``: from frames and a source model to a run folder with a network for the sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.signature import refuse_untrusted
from tgkt_edge.config import build_config, refuse_twice
from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import SensorSpec, load_sensor

_TRAINED = ("source", "student", "distill", "tgmb", "tgkt", "shot", "socket", "continuing")
"""Stages that ``epochs`` is for."""


def adapt(
    target: Path | str,
    sensor: SensorSpec | str | None = None,
    out: Path | str | None = None,
    *,
    paired: Path | str | None = None,
    source_model: Path | str | None = None,
    source_classes: Path | str | None = None,
    map_: Path | str | None = None,
    arch: str | None = None,
    mean: Sequence[float] | str | None = None,
    std: Sequence[float] | str | None = None,
    bgr: bool = False,
    size: int | None = None,
    origin: str | None = None,
    check_images: Path | str | None = None,
    source: Path | str | None = None,
    weights: str | None = None,
    student: str | None = None,
    student_weights: str | None = None,
    method: str | None = None,
    translator: str | None = None,
    prior: str | None = None,
    labels: Path | str | None = None,
    continue_: Path | str | None = None,
    old_frames: Path | str | None = None,
    epochs: int | None = None,
    image_size: int | None = None,
    batch: int | None = None,
    accumulate: int | None = None,
    compile_: bool = False,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    config: str | None = None,
    set_: Sequence[str] | Mapping[str, Any] = (),
    resume: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
    max_skew_ms: float | None = None,
    cache: Path | str | None = None,
    trust: Sequence[Path | str] = (),
) -> dict[str, Any]:
    """Train the stages of the method (source unless given, TGMB, TGKT, or a baseline) and write the run folder ``out``.

    Arguments that are None keep the default of the configuration reference, or the value in ``config``.

    Args:
        target: unlabelled frames of the task: a folder, or a CSV with ``frame``.
        sensor: what the target and the paired frames mean: a SensorSpec, a preset's name or a YAML file; None, which
            only ``continue_`` allows: the shipped network's.
        out: run folder to write; required.
        paired: other scenes: a folder with ``rgb/`` and ``frame/``, or a CSV ``rgb,frame``. "shot" and "source-only"
            need none.
        source_model: source checkpoint, a run with one, or a model of another program; or instead of it ``source``.
        source_classes, map_, arch, mean, std, bgr, size, origin, check_images: what the file of another program's
            model does not contain: see :class:`tgkt_edge.train.source_import.options.ImportOptions`.
        source: labelled RGB to train one: a folder of class folders, or a CSV ``image,label``. Beside a
            ``source_model`` of another program: the images that it was trained on, of which class shares and features
            are taken.
        weights: ImageNet's, which describe the frames, and which a source model starts from: "imagenet", "none", or a
            safetensors file.
        student: the target network: "resnet50" (a copy of the translation's network), another name of torchvision's,
            such as "resnet18" or "mobilenet_v3_large", or "timm:NAME".
        student_weights: where another network than "resnet50" starts: "imagenet", "none", or a file.
        method: "tgkt", "translate" (no training of a second network), or to compare with "tgmb", "socket", "shot",
            "source-only".
        translator: "features" (a translation in closed form) or "pixels" (the paper's T).
        prior: expected class shares: "estimated", "shares" (the source's), "half", "between", "uniform", or a CSV
            ``class,share``.
        labels: CSV ``frame,label`` of a few target frames, as ``audit`` writes it: they correct the translation.
        continue_: a bundle that was shipped, or the run it came from: training continues with its target network on the
            frames of ``target``, without pairs and without a source, and the verdict compares with it.
        old_frames: frames of its sensor that it knew: four fifths to train on again, a fifth to measure what it still
            knows; None: those that the run was adapted to, if they are still there; for a bundle none.
        epochs: of every stage; with ``continue_`` of the whole network, which is not trained without.
        image_size: side of the network's input, pixels. batch: frames a step.
        accumulate: parts in which each batch is computed, one after the other, where memory is too small for it.
        compile_: whether torch.compile is used for the networks that are trained.
        seed: of everything random. device: "auto", "cpu", "cuda", "cuda:N". precision: "auto", "fp32" or "bf16".
        config: YAML file of options, or "paper".
        set_: further options, as ``{"tgmb.epochs": 30}`` or ``["tgmb.epochs=30"]``.
        resume: continue the run in ``out``, after the last epoch it saved.
        overwrite: replace what is in ``out``, once all inputs have been read without an error.
        skip_bad: go on without frames that cannot be used.
        max_skew_ms: match the pairs of a folder by the times in their names, at most so many milliseconds apart, not by
            equal names; folders ``depth/``, ``frame/`` or ``ir/``, and ``rgb/``. Also as ``DIR?max_skew_ms=20``.
        cache: folder that keeps decoded images and features, for this run and others. None: in memory; where that
            is not enough, a folder ``tgkt-edge-cache`` beside ``out``.
        trust: public keys (.pub); given some, ``continue_`` has to be a bundle that one of them signed.

    Returns:
        What ``report.json`` holds.

    Raises:
        UsageError: (exit 2) ``out`` holds a run; bad data, device or configuration. CheckpointError: (exit 4) a bad
            source model. MissingDependency: (exit 6) torch is not installed.
        TgktEdgeError: (exit 1) training diverged, or the disk or the GPU's memory is full.
    """
    if out is None:
        raise UsageError("`out=RUN` is missing: where is the run folder to be written?")
    if max_skew_ms is not None:
        if paired is None or not Path(paired).is_dir():
            raise UsageError("`max_skew_ms` matches the pairs of a folder: give one with `paired`")
        paired = f"{paired}?max_skew_ms={max_skew_ms:g}"
    given: dict[str, Any] = {
        "method": method,
        "translator": translator,
        "translation.prior": _absolute(prior),
        **{f"{stage}.epochs": epochs for stage in _TRAINED},
        "image_size": image_size,
        "batch": batch,
        "accumulate": accumulate,
        "compile": compile_ or None,
        "seed": seed,
        "device": device,
        "precision": precision,
        "weights": weights if weights in ("imagenet", "none") else _absolute(weights),
        "student.arch": student,
        "student.weights": student_weights
        if student_weights in ("imagenet", "none")
        else _absolute(student_weights),
    }
    refuse_twice(given, set_)
    given |= set_ if isinstance(set_, Mapping) else {}
    if continue_ is not None:
        _refuse_beside(
            paired=paired, source_model=source_model, source_classes=source_classes, map_=map_, arch=arch, mean=mean,
            std=std, bgr=bgr or None, size=size, origin=origin, check_images=check_images, source=source,
            weights=weights, student=student, student_weights=student_weights, translator=translator, method=method,
        )  # fmt: skip
        given |= {"method": "continue"}
        refuse_untrusted(Path(continue_), trust)
    elif trust:
        raise UsageError("`trust` is for a bundle given with `continue_`: give one, or leave `trust` out")
    elif sensor is None:
        raise UsageError("give `sensor`: a preset (see tgkt-edge data presets), a YAML file or a SensorSpec")
    elif old_frames is not None:
        raise UsageError(
            f"`old_frames={old_frames}`: only where a network is continued. Give `continue_`, too"
        )
    require("torch", "train", "Adapting")
    require("jinja2", "train", "Adapting")
    if continue_ is not None:
        from tgkt_edge.train.continuing.shipped import sensor_and_size

        known, side = sensor_and_size(Path(continue_))
        sensor = known if sensor is None else sensor
        # A file of options or a `set_` that says otherwise is refused by name.
        given |= {"image_size": side if image_size is None else image_size}
    assert sensor is not None
    spec = sensor if isinstance(sensor, SensorSpec) else load_sensor(sensor)
    options = build_config(config, () if isinstance(set_, Mapping) else set_, given)
    if continue_ is not None and not options.continues:
        raise UsageError(
            f"`method={options.method}`: cannot be used with `continue_`, which is a method of its own. Leave "
            "it out of `set_`"
        )
    if options.continues and continue_ is None:
        raise UsageError("`method=continue` comes with `continue_`, the shipped bundle or run; give that")
    from tgkt_edge.train.adapt import adapt as train
    from tgkt_edge.train.run_folder.folder import RunInputs
    from tgkt_edge.train.source_import.options import ImportOptions

    inputs = RunInputs(
        target=str(Path(target).resolve()),
        paired=_resolved(paired),
        source=_resolved(source),
        source_model=_resolved(source_model),
        labels=_resolved(labels),
        continue_from=_resolved(continue_),
        old_frames=_resolved(old_frames),
    )
    about = ImportOptions(
        _path(source_classes), _path(map_), arch, _three(mean, "mean"), _three(std, "std"), bgr, size, origin,
        _path(check_images),
    )  # fmt: skip
    return train(
        inputs, spec, Path(out), options,
        resume=resume, overwrite=overwrite, skip_bad=skip_bad, source_options=about, cache=_path(cache),
    )  # fmt: skip


def _refuse_beside(**others: object) -> None:
    """Refuse what a network that is continued has no use for: it brings its classes, weights and architecture along."""
    given = [f"`{name}={value}`" for name, value in others.items() if value is not None]
    if given:
        raise UsageError(
            f"{', '.join(given)}: cannot be used with `continue_`: the shipped network teaches, on frames of its own "
            f"sensor alone. Leave that out, or adapt from the start without `continue_`."
        )


def _three(values: Sequence[float] | str | None, name: str) -> tuple[float, float, float] | None:
    from tgkt_edge.train.source_import.options import three_numbers

    given = values if values is None or isinstance(values, str) else ",".join(map(str, values))
    return three_numbers(given, name)


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)


def _resolved(path: Path | str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _absolute(text: str | None) -> str | None:
    """A file as an absolute path, so that a run can be resumed from elsewhere; a name as it is."""
    return _resolved(text) if text is not None and Path(text).is_file() else text
