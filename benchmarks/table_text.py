"""Tables of cells: mean and spread over seeds, cost of each stage, and the paper's figure, as JSON and as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from paper_figures import Row

Cells = dict[tuple[str, str], list[dict[str, Any]]]
"""Finished cells, one a seed, by name of data set and of row."""

Failures = dict[tuple[str, str], list[str]]
"""One line for each cell that could not be computed."""

OURS = "tgkt"

LEGEND = (
    "Accuracy and balanced accuracy in percent on the target frames: mean ± standard deviation over seeds (no ± for "
    "one seed). Paper: its accuracy, a single run; two of its rows that are one configuration differ by 0.9. Stages: "
    "seconds are a mean over seeds, peak memory (of the GPU, or resident on a CPU) the largest; * computed once and "
    "shared with other rows."
)


def summarise(
    cells: Cells, failures: Failures, data: Sequence[str], rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """One record a data set and row: shares from 0 to 1, seconds, bytes; the paper's figure is a share, too.

    ``spread`` is the standard deviation over seeds (n - 1), None for a single seed; a stage's seconds are a mean,
    its bytes the largest.
    """
    records = []
    for name in data:
        for row in rows:
            of_seeds = cells.get((name, row.name), [])
            figure = row.figure(name)
            record: dict[str, Any] = {
                "data": name,
                "row": row.name,
                "method": row.method,
                "sets": list(row.sets),
                "paper": None if figure is None else figure / 100,
                "seeds": [cell["seed"] for cell in of_seeds],
                "failed": failures.get((name, row.name), []),
                "stages": _stages(of_seeds),
                "cells": [cell["digest"] for cell in of_seeds],
            }
            for key in ("accuracy", "balanced_accuracy"):
                values = [cell[key] for cell in of_seeds]
                record[key] = {
                    "mean": statistics.fmean(values) if values else None,
                    "spread": statistics.stdev(values) if len(values) > 1 else None,
                    "by_seed": values,
                }
            records.append(record)
    return records


def margins(cells: Cells, data: Sequence[str], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """By how much each TGKT row leads the best other method, in balanced accuracy over the seeds that both have."""
    found = []
    for name in data:
        for ours in (row for row in rows if row.method == OURS):
            mine = {cell["seed"]: cell["balanced_accuracy"] for cell in cells.get((name, ours.name), [])}
            best: dict[str, Any] | None = None
            for other in (row for row in rows if row.method != OURS):
                theirs = {
                    cell["seed"]: cell["balanced_accuracy"] for cell in cells.get((name, other.name), [])
                }
                shared = sorted(mine.keys() & theirs.keys())
                if not shared:
                    continue
                lead = [mine[seed] - theirs[seed] for seed in shared]
                if best is None or statistics.fmean(lead) < best["mean"]:
                    best = {
                        "data": name,
                        "row": ours.name,
                        "best_other": other.name,
                        "mean": statistics.fmean(lead),
                        "by_seed": lead,
                        "seeds": shared,
                    }
            if best is not None:
                found.append(best)
    return found


def markdown(
    about: dict[str, Any], records: Sequence[dict[str, Any]], leads: Sequence[dict[str, Any]]
) -> str:
    """The whole page: command and machine, then a table a data set."""
    lines = [f"# {about['title']}", "", f"{about['machine']}.", "", "```", about["command"], "```", ""]
    lines.append(LEGEND)
    for name in dict.fromkeys(record["data"] for record in records):
        mine = [record for record in records if record["data"] == name]
        lines += ["", f"## {name}", ""]
        if name in about["notes"]:
            lines += [about["notes"][name], ""]
        lines += [
            "| row | accuracy | balanced | paper | seeds | stages: seconds, peak |",
            "|---|---|---|---|---|---|",
        ]
        for record in mine:
            paper = "" if record["paper"] is None else f"{record['paper']:.2%}".rstrip("%")
            seeds = " ".join(map(str, record["seeds"])) or "-"
            lines.append(
                f"| {record['row']} | {_share(record['accuracy'])} | {_share(record['balanced_accuracy'])} | {paper} "
                f"| {seeds} | {_costs(record['stages'])} |"
            )
        lines += [
            "", *(f"- {record['row']}: {line}" for record in mine for line in record["failed"]),
        ]  # fmt: skip
        for lead in (lead for lead in leads if lead["data"] == name):
            each = ", ".join(f"{value * 100:+.1f}" for value in lead["by_seed"])
            lines.append(
                f"- {lead['row']} against {lead['best_other']}, the best other row: {lead['mean'] * 100:+.1f} points "
                f"of balanced accuracy (by seed: {each})"
            )
    lines += _means(records)
    if about["settings"]:
        lines += ["", "Rows:", "", *(f"- {text}" for text in about["settings"])]
    return "\n".join(lines).rstrip() + "\n"


def _means(records: Sequence[dict[str, Any]]) -> list[str]:
    """A table of means over data sets, where there are several and every row has a result on each."""
    names = dict.fromkeys(record["data"] for record in records)
    done = all(record["accuracy"]["mean"] is not None for record in records)
    if len(names) < 2 or not done:
        return []
    lines = [
        "",
        f"## Mean over the {len(names)} data sets",
        "",
        "| row | accuracy | balanced | paper |",
        "|---|---|---|---|",
    ]
    for row in dict.fromkeys(record["row"] for record in records):
        mine = [record for record in records if record["row"] == row]
        means = [
            statistics.fmean(record[key]["mean"] for record in mine)
            for key in ("accuracy", "balanced_accuracy")
        ]
        figures = [record["paper"] for record in mine if record["paper"] is not None]
        paper = f"{statistics.fmean(figures) * 100:.2f}" if len(figures) == len(mine) else ""
        lines.append(f"| {row} | {means[0] * 100:.1f} | {means[1] * 100:.1f} | {paper} |")
    return lines


def _stages(of_seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(stage for cell in of_seeds for stage in cell["stages"])
    stages: dict[str, Any] = {}
    for name in names:
        costs = [cell["stages"][name] for cell in of_seeds if name in cell["stages"]]
        peaks = [cost["peak_bytes"] for cost in costs if cost["peak_bytes"] is not None]
        stages[name] = {
            "seconds": statistics.fmean(cost["seconds"] for cost in costs),
            "peak_bytes": max(peaks) if peaks else None,
            "shared": any(name in cell["shared"] for cell in of_seeds),
        }
    return stages


def _share(value: dict[str, Any]) -> str:
    if value["mean"] is None:
        return "-"
    spread = "" if value["spread"] is None else f" ± {value['spread'] * 100:.1f}"
    return f"{value['mean'] * 100:.1f}{spread}"


def _costs(stages: dict[str, Any]) -> str:
    parts = []
    for name, cost in stages.items():
        peak = "" if cost["peak_bytes"] is None else f", {cost['peak_bytes'] / 2**30:.1f} GiB"
        parts.append(f"{name}{'*' if cost['shared'] else ''} {cost['seconds']:.0f} s{peak}")
    return "; ".join(parts)
