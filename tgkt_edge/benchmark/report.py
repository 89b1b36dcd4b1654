"""What was measured, as a table for a person; and the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.benchmark.timing import STEADY, VARIES
from tgkt_edge.errors import IncompatibleError, MissingDependency, TgktEdgeError, UsageError
from tgkt_edge.evaluation.tables import aligned
from tgkt_edge.system.hardware_state import describe_state

FEW_CALLS = 100
"""With fewer calls the p99 is nothing but the slowest of them."""

_MIB = 2**20
_HEADER = (
    "precision", "engine", "batch", "median", "p90", "p99", "frames/s", "speed", "load", "memory", "GPU",
    "same class", "accuracy", "stability",
)  # fmt: skip

_COLUMNS = (
    "median, p90, p99: ms a call; speed: against fp32 on the same engine and batch; load: seconds; memory: MiB that "
    "the process grew by, its library included"
)
_NO_FRAMES = (
    "timed on {count} synthetic frames of the bundle's sensor; agreement and accuracy were not measured: give real "
    "frames with `frames` or `labels`"
)


def describe(result: dict[str, Any]) -> list[str]:
    """Lines: the table, what its columns mean where that is not plain, why rows did not run, and the machine."""
    rows = sorted(result["rows"], key=lambda row: not row["ran"])  # those that cannot run last
    several = len(result["bundles"]) > 1
    header = ("bundle", *_HEADER, "as the first", "times as fast") if several else _HEADER
    lines = aligned([header, *(_cells(row, several) for row in rows)])
    lines += _bundle_lines(result["bundles"]) if several else []
    names = {row["engine"]: row["name"] for row in rows if row["name"]}
    lines += [f"{engine}: {name}" for engine, name in names.items()]
    lines.append(_COLUMNS)
    sources = {row["memory"]["device_told_by"] for row in rows if row["memory"]} - {None}
    lines += [f"GPU: MiB, reported by: {', '.join(sorted(sources))}"] if sources else []
    lines += _frames_lines(result)
    lines += _failures(rows)
    lines += _doubts(rows)
    lines += _machine(result["state"])
    if result["interrupted"]:
        lines.append("interrupted: the table holds what was measured until then")
    return lines


def check(result: dict[str, Any]) -> None:
    """Raise unless a row ran: the error of all rows, else of those that come first among damaged or unfitting files
    (exit 4), missing libraries (6), flags (2) and anything else (1)."""
    rows = result["rows"]
    if any(row["ran"] for row in rows) or result["interrupted"]:
        return
    codes = {row["exit_code"] for row in rows}
    kinds: tuple[type[TgktEdgeError], ...] = (IncompatibleError, MissingDependency, UsageError)
    kind = next((kind for kind in kinds if kind.exit_code in codes), TgktEdgeError)
    paths = ", ".join(one["path"] for one in result["bundles"])
    raise kind(f"{paths}: none of {len(rows)} rows could run here; see above for why")


def _bundle_lines(bundles: Sequence[dict[str, Any]]) -> list[str]:
    """What each of several bundles is, and what is said of it where it comes from."""
    lines = []
    for one in bundles:
        what = [one["network"] or "network not recorded"]
        what += [f"adapting: {one['verdict'].replace('_', ' ')}"] if one["verdict"] else []
        what += [f"the gate did not pass {', '.join(one['failed'])}"] if one["failed"] else []
        lines.append(f"{Path(one['path']).name}: {'; '.join(what)}")
    first = Path(bundles[0]["path"]).name
    lines.append(
        f"as the first: share of the frames that get the class of {first}'s fp32; times as fast: against it in the "
        f"same precision, on the same engine and batch"
    )
    return lines


def _cells(row: dict[str, Any], several: bool) -> list[str]:
    start = [row["precision"], row["engine"], str(row["batch"])]
    if several:
        start.insert(0, Path(row["bundle"]).name)
    ends = [_share(row["first_agreement"]), _times(row["first_speed"])] if several else []
    if not row["ran"]:
        return [*start, "cannot run", *["-"] * (len(_HEADER) - 4 + len(ends))]
    ms, memory, steady = row["ms"], row["memory"], row["stability"]
    agreement, accuracy = row["agreement"], row["accuracy"]
    spread = "" if steady["spread"] is None else f" ({steady['spread']:.0%})"
    return [
        *start,
        *(f"{ms[name]:.2f}" for name in ("median", "p90", "p99")),
        f"{row['frames_per_second']:.1f}",
        _times(row["speed"]),
        f"{row['load_s']:.2f}",
        _mib(memory["resident"]),
        _mib(memory["device"]),
        _share(None if agreement is None else agreement["top1_agreement"]),
        _share(accuracy),
        f"{steady['mark']}{spread}",
        *ends,
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _title(row: dict[str, Any]) -> str:
    start = f"{Path(row['bundle']).name}: " if row["shown"] else ""
    return f"{start}{row['precision']} on {row['engine']}, batch {row['batch']}"


def _mib(count: int | None) -> str:
    return "-" if count is None else f"{count / _MIB:.0f}"


def _frames_lines(result: dict[str, Any]) -> list[str]:
    frames = result["frames"]
    if frames["kind"] == "synthetic":
        return [_NO_FRAMES.format(count=frames["count"])]
    rows = [row for row in result["rows"] if row["agreement"]]
    against = {row["agreement"]["against"].removeprefix(f"{Path(row['bundle']).name}: ") for row in rows}
    if not against:
        return ["agreement was not measured: no fp32 row has answered the frames"]
    what = "labelled frames" if frames["kind"] == "labelled" else "frames"
    whose = " of the same bundle" if any(row["shown"] for row in rows) else ""
    return [f"same class: on {frames['count']} {what}, as {', '.join(sorted(against))}{whose}"]


def _failures(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Why rows did not run or not to their end, each reason once."""
    whose: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["why"]:
            what = "did not get to its end" if row["ran"] else "cannot run"
            whose.setdefault((what, row["why"]), []).append(_title(row))
    return [f"{what}: {'; '.join(titles)}: {why}" for (what, why), titles in whose.items()]


def _doubts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What keeps figures from being taken at face value."""
    ran = [row for row in rows if row["ran"]]
    lines = []
    if any(row["calls"] < FEW_CALLS for row in ran):
        fewest = min(row["calls"] for row in ran)
        lines.append(
            f"p99 of under {FEW_CALLS} calls is the slowest of them (fewest: {fewest}); `seconds` gives more"
        )
    if any(row["stability"]["mark"] in ("varies", "unsteady") for row in ran):
        lines.append(
            f"medians of the rounds differ: steady is up to {STEADY:.0%}, unsteady from {VARIES:.0%} on; does "
            f"something else run here?"
        )
    if any(row["stability"]["mark"] == "slowing" for row in ran):
        lines.append("slowing: the last rounds were slower than the first; is it getting hot?")
    cold = [_title(row) for row in ran if not row["warm_up"]["steady"]]
    if cold:
        lines.append(f"not steady after warm-up: {'; '.join(cold)}")
    slow = [
        f"{_title(row)} ({row['speed']:.2f}x)"
        for row in ran
        if row["precision"] != "fp32" and row["speed"] is not None and row["speed"] <= 1
    ]
    return [*lines, f"no faster than fp32 here: {'; '.join(slow)}"] if slow else lines


def _machine(state: dict[str, Any]) -> list[str]:
    lines = []
    for when in ("before", "after"):
        text = describe_state(state[when])
        lines.append(
            f"{when}: {text}"
            if text
            else f"{when}: this machine reports no clocks, temperature or power mode"
        )
    mode = state["before"].get("power_mode")
    if mode and mode["fastest"] not in (None, mode["number"]):
        lines.append(
            f"power mode {mode['number']} ({mode['name']}) limits the clocks; full speed is mode {mode['fastest']}"
        )
    if state["limited_by"]:
        lines.append(f"slowed down meanwhile: {', '.join(state['limited_by'])}")
    return lines
