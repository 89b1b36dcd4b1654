"""``tgkt-edge data prepare``: read a public data set, divide it as the paper does, write what adapt reads."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tgkt_edge import __version__
from tgkt_edge.data.names import abbreviate
from tgkt_edge.data.public import diml, nyuv2, rgbnir, sunrgbd
from tgkt_edge.data.public.scenes import Found, Pair, Split
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.atomic import atomic_folder, write_json
from tgkt_edge.sensor import SensorSpec

SCHEMA = 1
"""Version of prepare.json."""

SPLITS: dict[str, Split] = {
    "sunrgbd": sunrgbd.SPLIT,
    "diml": diml.SPLIT,
    "rgbnir": rgbnir.SPLIT,
    "nyuv2": nyuv2.SPLIT,
}
_READ = {"sunrgbd": sunrgbd.read, "diml": diml.read, "rgbnir": rgbnir.read}
_LOOKS_LIKE: dict[str, Callable[[Path], bool]] = {
    "sunrgbd": sunrgbd.looks_like,
    "rgbnir": rgbnir.looks_like,
    "nyuv2": nyuv2.looks_like,
    "diml": diml.looks_like,
}


def prepare(
    name: str,
    src: Path | str,
    out: Path | str,
    *,
    source_domain: str | None = None,
    target_domain: str | None = None,
    depth: str = "filled",
    task: Sequence[str] = (),
    skip_bad: bool = False,
) -> list[dict[str, Any]]:
    """Write ``source.csv``, ``target.csv``, ``labels.csv``, ``paired.csv``, ``sensor.yaml`` and ``prepare.json``.

    The files fit adapt's ``--source``, ``--target``, ``--paired`` and ``--sensor``, and evaluate's ``--data``. Images
    stay where they are, and the CSVs hold absolute paths; only those inside NYU's .mat are written out, beside the
    CSVs, which then hold relative paths.

    Args:
        name: sunrgbd, diml, rgbnir or nyuv2.
        src: where the set lies, as its authors' archive unpacks.
        out: folder to write; it must not hold anything yet, and appears only when all is written.
        source_domain, target_domain: cameras of sunrgbd. Without them every pair of cameras that are there becomes a
            folder of ``out``, ``sunrgbd-SOURCE-TARGET``: the paper's 16 tasks.
        depth: "filled" or "raw", where the set has both.
        task: scenes to classify, two or more; every other scene gives pairs. Empty: the split that the set is known by.
        skip_bad: go on without images that have no partner.

    Returns:
        What each ``prepare.json`` holds, with ``folder``.

    Raises:
        UsageError: an unknown name, domain, depth or scene, or ``out`` exists. DataError: not that data set.
    """
    src, out = Path(src), Path(out)
    _one_of("data set", name, tuple(SPLITS))
    _one_of("`depth`", depth, ("filled", "raw"))
    if (source_domain is None) != (target_domain is None):
        raise UsageError(
            "give both `source_domain` and `target_domain`, or neither for every pair of cameras"
        )
    for flag, domain in (("`source_domain`", source_domain), ("`target_domain`", target_domain)):
        if domain is not None and name != "sunrgbd":
            raise UsageError(f"{flag} {domain}: {name} has one camera only; this is for sunrgbd")
        if domain is not None:
            _one_of(flag, domain, sunrgbd.DOMAINS)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(
            f"`out={out}`: already exists and is not empty. Choose another folder; nothing is replaced."
        )
    with atomic_folder(out) as folder:
        found = _read(name, src.resolve(), depth, folder)
        if found.bad and not skip_bad:
            raise DataError(
                f"{src}: {len(found.bad)} of {len(found.bad) + len(found.pairs)} cannot be used: "
                f"{abbreviate(found.bad)}. Repair them, or give `skip_bad=True` to go on without them."
            )
        split = SPLITS[name]
        if task:
            split = split.of_task(task, (pair.scene for pair in found.pairs))
        tasks = _tasks(found, source_domain, target_domain) if name == "sunrgbd" else [("", "")]
        several = len(tasks) > 1 or (name == "sunrgbd" and source_domain is None)
        reports = []
        for source, target in tasks:
            label = f"{name}-{source}-{target}" if source else name
            place = folder / label if several else folder
            report = _write_task(place, label, split, found, source, target, keep_relative=not several)
            reports.append({**report, "folder": str(out / label if several else out)})
    return reports


def describe(report: dict[str, Any]) -> list[str]:
    """What was written and what differs from the paper, for a person."""
    counts, folder = report["counts"], report["folder"]
    found = (
        f"{report['name']}: {counts['source_images']} source images and {counts['target_frames']} target frames of "
        f"{counts['classes']} classes, {counts['pairs']} pairs of {counts['other_scenes']} other scenes"
    )
    then = (
        f"  next: tgkt-edge adapt --source {folder}/source.csv --target {folder}/target.csv --paired "
        f"{folder}/paired.csv --sensor {folder}/sensor.yaml -o RUN"
    )
    useful = counts["classes"] > 1 and counts["pairs"] > 0
    return [
        found,
        *(f"  {line}" for line in (*report["differs"], *report["notes"])),
        *([then] if useful else []),
    ]


def _one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{what} {value!r}: expected one of {', '.join(allowed)}")


def _read(name: str, src: Path, depth: str, out: Path) -> Found:
    """What the set's reader finds. Raises DataError, also for what the system does not let it read."""
    try:
        return _read_or_guess(name, src, depth, out)
    except OSError as error:
        file = Path(str(error.filename)) if error.filename is not None else src
        if file.is_relative_to(out):
            raise  # who writes there says that
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _read_or_guess(name: str, src: Path, depth: str, out: Path) -> Found:
    try:
        if name == "nyuv2":
            return nyuv2.read(src, depth, out)
        return _READ[name](src, depth)
    except DataError as error:
        others = [other for other, like in _LOOKS_LIKE.items() if other != name and like(src)]
        if not others or _LOOKS_LIKE[name](src):
            raise
        raise DataError(f"{error} It looks like {' or '.join(others)}.") from None


def _tasks(found: Found, source: str | None, target: str | None) -> list[tuple[str, str]]:
    there = [domain for domain in sunrgbd.DOMAINS if any(pair.domain == domain for pair in found.pairs)]
    if source is None or target is None:
        return [(one, other) for one in there for other in there]
    for flag, domain in (("`source_domain`", source), ("`target_domain`", target)):
        if domain not in there:
            raise DataError(
                f"{flag} {domain}: no sample of that camera; there are {', '.join(there) or 'none'}"
            )
    return [(source, target)]


def _write_task(
    folder: Path, name: str, split: Split, found: Found, source: str, target: str, *, keep_relative: bool
) -> dict[str, Any]:
    """One task into ``folder``; ``source`` and ``target`` are domains, "" where there are none."""
    assert keep_relative or all(pair.rgb.is_absolute() for pair in found.pairs)
    task: list[tuple[Pair, str]] = []
    other: list[tuple[Pair, str]] = []
    unknown: Counter[str] = Counter()
    for pair in found.pairs:
        place = split.place(pair.scene)
        if place is None:
            unknown[pair.scene] += 1
        else:
            (task if place[0] == "task" else other).append((pair, place[1]))
    images = [(pair, label) for pair, label in task if pair.domain == source]
    classes = sorted({label for _, label in images})
    # A frame of a class that no source image shows cannot be classified: the paper's classes are common to all.
    frames = [(pair, label) for pair, label in task if pair.domain == target and label in classes]
    dropped = Counter(label for pair, label in task if pair.domain == target and label not in classes)
    folder.mkdir(exist_ok=True)
    _write_csv(folder / "source.csv", ("image", "label"), ((p.rgb, label) for p, label in images))
    _write_csv(folder / "target.csv", ("frame",), ((p.frame,) for p, _ in frames))
    _write_csv(folder / "labels.csv", ("frame", "label"), ((p.frame, label) for p, label in frames))
    _write_csv(folder / "paired.csv", ("rgb", "frame"), ((p.rgb, p.frame) for p, _ in other))
    _write_sensor(folder / "sensor.yaml", found.sensor)
    counts = {
        "source_images": len(images),
        "target_frames": len(frames),
        "pairs": len(other),
        "classes": len(classes),
        "other_scenes": len({label for _, label in other}),
    }
    notes = list(found.notes)
    if found.bad:
        notes.append(f"{len(found.bad)} left out that cannot be used: {abbreviate(found.bad)}")
    if unknown:
        notes.append(f"scenes that the split does not name were left out: {_listed(unknown)}")
    if dropped:
        notes.append(f"target frames of classes without a source image were left out: {_listed(dropped)}")
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "tool": __version__,
        "name": name,
        "classes": classes,
        "counts": counts,
        "frames_by_class": dict(sorted(Counter(label for _, label in frames).items())),
        "pairs_by_scene": dict(sorted(Counter(label for _, label in other).items())),
        "differs": _differs(split, counts, classes, source, target),
        "notes": notes,
    }
    write_json(folder / "prepare.json", report)
    return report


def _differs(
    split: Split, counts: dict[str, int], classes: Sequence[str], source: str, target: str
) -> list[str]:
    """In words, every count that is not the expected one; and what keeps adapt from working."""
    expected = [("classes", counts["classes"], len(split.task))]
    if split.frames:
        expected = [
            ("source images", counts["source_images"], split.frames[source]),
            ("target frames", counts["target_frames"], split.frames[target]),
            ("pairs of other scenes", counts["pairs"], split.pairs),
            *expected,
        ]
    if split.other:
        expected.append(("other scenes", counts["other_scenes"], len(split.other)))
    lines = [
        f"{what}: {found}, but {expected} in {split.origin}"
        for what, found, expected in expected
        if found != expected
    ]
    lacking = [name for name in split.task if name not in classes]
    if lacking and classes:
        lines.append(f"no source image of: {abbreviate(lacking)}")
    if counts["classes"] < 2:
        lines.append("adapt cannot train a source model from this: it needs two classes or more")
    if counts["pairs"] == 0:
        lines.append("adapt cannot use this: it needs pairs of other scenes")
    return lines


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Raises DataError if a file or a scene has a name that no CSV in UTF-8 can hold."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            try:
                writer.writerow(row)
            except UnicodeEncodeError as error:
                names = [str(cell).encode("utf-8", "backslashreplace").decode() for cell in row]
                odd = next(name for name, cell in zip(names, row, strict=True) if name != str(cell))
                raise DataError(
                    f"{odd}: its name is not UTF-8, and {path.name} could not hold it. Rename it, or the folder above."
                ) from error


def _write_sensor(path: Path, sensor: SensorSpec) -> None:
    path.write_text(yaml.safe_dump(sensor.to_dict(), sort_keys=False), encoding="utf-8")
