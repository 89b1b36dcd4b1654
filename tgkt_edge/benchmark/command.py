"""``tgkt-edge benchmark``: every precision of one bundle or several on every engine of this machine, in turns."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge import __version__
from tgkt_edge.benchmark import ROUNDS, SECONDS
from tgkt_edge.benchmark.rows import Row
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.evaluation.accuracy_gate import compare
from tgkt_edge.evaluation.cpu_engines import remember
from tgkt_edge.evaluation.verify import real_inputs
from tgkt_edge.preprocess import CODE_MAX, to_unit
from tgkt_edge.runtime import ENGINES
from tgkt_edge.sensor import SensorSpec, unit_table
from tgkt_edge.system.hardware_state import ROOT, Limits, free_memory, limits, machine_state

WARM_UP_SECONDS = 10.0
"""A row that is not steady by then is measured as it is, and marked."""

SYNTHETIC_FRAMES = 8

_MIB = 2**20


def engine_names() -> tuple[str, ...]:
    """The engines that get rows of their own: all that :func:`open_engine` knows, each once.

    "auto" is one of the others, and so is "onnxruntime" where its devices have names.
    """
    names = tuple(name for name in ENGINES if name != "auto")
    return tuple(name for name in names if name != "onnxruntime" or "cpu" not in names)


def benchmark(
    bundles: Sequence[Path],
    *,
    precisions: Sequence[str] | None = None,
    engines: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    frames: Path | None = None,
    labels: Path | None = None,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    threads: int | None = None,
    skip_bad: bool = False,
    say: Callable[[str], None] = lambda line: None,
    root: Path = ROOT,
) -> dict[str, Any]:
    """Measure one bundle, or several that are to be compared. Each row, a precision on an engine at a batch, is loaded
    in a process of its own; their rounds take turns, so that a slow phase of the machine meets all of them.

    Args:
        bundles: one or more; several of the same classes and sensor, whose networks or sizes differ.
        precisions: of those the bundle holds; default: all. fp32 is always measured: the others are compared with it.
        engines: names that ``run --engine`` takes; default: all.
        batches: frames a call; default: 1.
        frames, labels: real frames, as for ``verify``: agreement with FP32 and, with labels, accuracy are measured.
            Without them time is measured on synthetic frames of the bundle's sensor, and agreement is not.
        rounds, seconds: how often each row's turn comes, and how long it is timed in all.
        threads: CPU threads of one inference; None: the engine's choice.
        say: takes lines on how far it is.
        root: where the system's files lie.

    Returns:
        ``rows``, one for each that was asked for, those that did not run with ``why`` (see :meth:`Row.result`).
        Beside what was measured they hold ``bundle``, ``speed`` against that bundle's FP32 on the same engine at the
        same batch (:func:`speed`), ``first_speed`` against the first bundle's same precision (None of itself),
        ``agreement`` with its own FP32 (:class:`tgkt_edge.evaluation.accuracy_gate.Comparison`, and
        ``against`` whom), ``first_agreement``, the share of frames that get the class of the first bundle's FP32, and
        ``accuracy``, each None where it was not measured. ``state``: what the machine tells ``before`` and ``after``
        the rounds (:func:`tgkt_edge.system.hardware_state.machine_state`), and ``limited_by``, what slowed it down
        meanwhile.
        ``frames``: ``kind``, "synthetic", "frames" or "labelled", and ``count``. ``interrupted``: after Ctrl-C it is
        true, and the rest is what was measured until then. ``bundles``: of each ``path``, ``network``, ``verdict`` of
        the run it was exported from, and ``failed``, the precisions that did not pass the gate. Also ``bundle``, the
        first, ``tool``, ``rounds``, ``seconds`` and
        ``threads``.

    Raises:
        BundleError: (exit 4) a damaged bundle, an altered file, or a precision it lacks.
        UsageError, DataError: (exit 2) a flag, or frames that cannot be used.
    """
    _check(engines, batches, rounds, seconds, threads)
    known = _opened(bundles)
    expected = {
        bundle.path: ["fp32", *(name for name in precisions or bundle.precisions if name != "fp32")]
        for bundle in known
    }
    sizes = {
        (bundle.path, name): bundle.model(name).stat().st_size
        for bundle in known
        for name in expected[bundle.path]
    }
    inputs, truth = real_inputs(known[0], frames, labels, skip_bad)
    rows = [
        Row(precision, engine, batch, bundle.path, shown=len(known) > 1)
        for batch in dict.fromkeys(batches or (1,))
        for engine in dict.fromkeys(engines or engine_names())
        for bundle in known
        for precision in dict.fromkeys(expected[bundle.path])
    ]
    result: dict[str, Any] = {
        "bundle": str(known[0].path),
        "bundles": [_about(bundle) for bundle in known],
        "tool": __version__,
        "frames": {
            "kind": "synthetic" if inputs is None else "frames" if truth is None else "labelled",
            "count": SYNTHETIC_FRAMES if inputs is None else len(inputs),
        },
        "rounds": rounds,
        "seconds": seconds,
        "threads": threads,
        "interrupted": False,
        "state": {"before": machine_state(root), "after": {}, "limited_by": []},
    }
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        jobs = {}
        for number, bundle in enumerate(known):
            file = folder / f"inputs-{number}.npy"
            seen_by = inputs if bundle is known[0] else real_inputs(bundle, frames, labels, skip_bad)[0]
            np.save(file, synthetic(bundle.sensor, bundle.size) if seen_by is None else seen_by)
            jobs[bundle.path] = {"bundle": str(bundle.path), "threads": threads, "inputs": str(file)}
        before, seen = limits(root), set[str]()
        patience: dict[str, float] = {}
        try:
            for number, row in enumerate(rows):
                say(f"loading {row.title}")
                _load(row, jobs[row.bundle], sizes[row.bundle, row.precision], folder / f"{number}.log", root)
            _take_turns(rows, rounds, seconds / rounds, before, seen, say, root)
            result["state"]["after"] = machine_state(root)
            if inputs is not None:
                for row in [row for row in rows if row.worker is not None]:
                    say(f"answering {len(inputs)} frames: {row.title}")
                    row.answer(folder / "answers.npy")
        except KeyboardInterrupt:
            result["interrupted"], patience = True, {"patience": 0}
        finally:
            for row in rows:
                row.stop(**patience)
    result["state"]["after"] = result["state"]["after"] or machine_state(root)
    result["state"]["limited_by"] = sorted(seen)
    result["rows"] = _compared(rows, truth)
    if threads is None and not result["interrupted"]:
        for bundle in known:
            own = [row for row in result["rows"] if row["bundle"] == str(bundle.path)]
            for line in remember(bundle, own):
                say(f"{bundle.path.name}: {line}" if len(known) > 1 else line)
    for found in result["rows"]:
        if result["interrupted"] and not found["ran"] and not found["why"]:
            found["why"] = "interrupted before its first round"
    return result


def _opened(bundles: Sequence[Path]) -> list[Bundle]:
    """Every bundle once, its files checked. Raises UsageError unless all answer one question."""
    if not bundles:
        raise UsageError("`bundles`: none given; expected one bundle folder or more")
    known = [Bundle.open(path) for path in dict.fromkeys(bundles)]
    for bundle in known:
        for name in bundle.files:
            bundle.file(name)
        for what, one, other in (
            ("classes", known[0].classes, bundle.classes),
            ("sensor", known[0].sensor, bundle.sensor),
        ):
            if one != other:
                raise UsageError(
                    f"{bundle.path}: another {what} than {known[0].path}: {other} and {one}. Only bundles of one task "
                    f"and sensor can be compared; measure them one by one."
                )
    return known


def _about(bundle: Bundle) -> dict[str, Any]:
    return {
        "path": str(bundle.path),
        "network": bundle.provenance.get("network"),
        "verdict": bundle.provenance.get("verdict"),
        "failed": [name for name, found in bundle.verification.items() if found.get("passed") is False],
    }


def _check(
    engines: Sequence[str] | None,
    batches: Sequence[int] | None,
    rounds: int,
    seconds: float,
    threads: int | None,
) -> None:
    for name in engines or ():
        if name not in ENGINES:
            raise UsageError(f"`engines={name}`: unknown; expected one of {', '.join(ENGINES)}")
    for argument, value, least in (
        *(("batches", batch, 1) for batch in batches or ()),
        ("rounds", rounds, 1),
        ("threads", 1 if threads is None else threads, 1),
    ):
        if value < least:
            raise UsageError(f"`{argument}={value}`: expected at least {least}")
    if not 0 < seconds < float("inf"):
        raise UsageError(f"`seconds={seconds:g}`: expected more than 0")


def synthetic(sensor: SensorSpec, size: int) -> NDArray[np.float32]:
    """Frames as the sensor could have sent them: ramps with noise, over the raw counts that lie within its range.

    Returns:
        (SYNTHETIC_FRAMES, 1, size, size) float32 in [0, 1].
    """
    if sensor.is_float:
        values = np.arange(CODE_MAX + 1, dtype=np.float32)
        valid = np.ones(CODE_MAX + 1, np.bool_)
    else:
        values, valid = unit_table(sensor)
    inside = np.flatnonzero(valid & (values > 0) & (values < CODE_MAX))
    counts = inside[np.argsort(values[inside])] if len(inside) else np.flatnonzero(valid)  # from near to far
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 0.9, size)
    frames = []
    for number in range(SYNTHETIC_FRAMES):
        scene = np.rot90(np.broadcast_to(ramp, (size, size)), number) + rng.uniform(0, 0.1, (size, size))
        raw = counts[(scene * (len(counts) - 1)).astype(np.intp)]
        frames.append(to_unit(values[raw].astype(np.uint16))[np.newaxis])
    return np.stack(frames)


def _load(row: Row, job: dict[str, Any], model_bytes: int, log: Path, root: Path) -> None:
    """Load a row, unless the machine has not the memory: all rows are in memory at once."""
    free, need = free_memory(root), 4 * model_bytes + 200 * _MIB
    if free is not None and free < need:
        row.fail(
            f"only {free // _MIB} MiB of memory are free here, about {need // _MIB} are needed beside the rows before "
            f"it. Measure fewer at a time: `precisions`, `engines`, `batches`."
        )
        return
    row.load(job, WARM_UP_SECONDS, log)


def _take_turns(
    rows: Sequence[Row],
    rounds: int,
    seconds: float,
    before: Limits,
    seen: set[str],
    say: Callable[[str], None],
    root: Path,
) -> None:
    """Round after round, in each of them every row that still runs. Adds to ``seen`` what slowed the machine down."""
    running = [row for row in rows if row.worker is not None]
    if running:
        say(
            f"measuring {len(running)} rows in turns, {rounds} rounds, about {rounds * seconds * len(running):.0f} s"
        )
    for _ in range(rounds if running else 0):
        for row in running:
            if row.worker is not None:
                row.take_turn(seconds)
        seen |= limits(root).since(before)


def _compared(rows: Sequence[Row], truth: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    """Results of all rows, with what compares them; see :func:`benchmark`."""
    found = [row.result() for row in rows]
    medians = {
        (row.bundle, row.precision, row.engine, row.batch): values["round_medians_ms"]
        for row, values in zip(rows, found, strict=True)
    }
    first = rows[0].bundle
    references = {
        path: _reference([row for row in rows if row.bundle == path]) for path in {r.bundle for r in rows}
    }
    foremost = references[first]
    for row, values in zip(rows, found, strict=True):
        own = values["round_medians_ms"]
        values["speed"] = speed(medians.get((row.bundle, "fp32", row.engine, row.batch), ()), own)
        others = medians.get((first, row.precision, row.engine, row.batch), ())
        values["first_speed"] = None if row.bundle == first else speed(others, own)
        values["agreement"] = values["accuracy"] = values["first_agreement"] = None
        reference = references[row.bundle]
        if row.answers is not None:
            if row.bundle != first and foremost is not None:
                assert foremost.answers is not None
                same = row.answers[0].argmax(1) == foremost.answers[0].argmax(1)
                values["first_agreement"] = float(same.mean())
            if truth is not None:
                values["accuracy"] = float((row.answers[0].argmax(1) == truth).mean())
            if reference is not None:
                assert reference.answers is not None
                measured = compare(reference.answers, row.answers, truth)
                values["agreement"] = {"against": reference.title, **measured.to_dict()}
    return found


def speed(fp32: Sequence[float], medians: Sequence[float]) -> float | None:
    """How many times as fast as FP32: the median, over the rounds, of FP32's median by the row's own.

    Both had their turns one after the other, so what slows the machine down for a while cancels out. None: one of both
    has no round.
    """
    ratios = [base / own for base, own in zip(fp32, medians, strict=False)]
    return statistics.median(ratios) if ratios else None


def _reference(rows: Sequence[Row]) -> Row | None:
    """The FP32 answers that all are compared with: a CPU's, where there are any, as GPUs may round to TF32."""
    answered = [row for row in rows if row.precision == "fp32" and row.answers is not None]
    on_cpu = [row for row in answered if row.name.endswith("CPU")]
    return next(iter([*on_cpu, *answered]), None)
