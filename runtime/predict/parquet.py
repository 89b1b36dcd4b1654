"""A table as Parquet, made of its JSON lines once they are complete: a file of Parquet cannot be appended to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tgkt_edge.io.atomic import atomic_file
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.predict.rows import CLASS_PREFIX

GROUP = 16_384
"""Rows that are in memory at a time."""


def check_pyarrow() -> None:
    """Raise MissingDependency (exit 6) where there is no pyarrow: before hours of work, not after."""
    require("pyarrow.parquet", "tables", "writing Parquet")


def write_parquet(lines: Path, out: Path, classes: Sequence[str], job: Mapping[str, Any]) -> None:
    """Write ``out``, atomically, from JSON lines of :class:`tgkt_edge.runtime.predict.rows.JsonLines`.

    ``time`` is a timestamp in microseconds, UTC; probabilities are float32, ``health`` is a list of texts.

    Args:
        job: what the table is made of; stands in the file's metadata under ``tgkt_edge``.

    Raises:
        TgktEdgeError: (exit 1) the disk refuses.
    """
    arrow, parquet = (
        require("pyarrow", "tables", "writing Parquet"),
        require("pyarrow.parquet", "tables", "writing Parquet"),
    )
    fields = [
        ("frame", arrow.int64()),
        ("time", arrow.timestamp("us", tz="UTC")),
        ("label", arrow.string()),
        ("probability", arrow.float32()),
        ("health", arrow.list_(arrow.string())),
        ("error", arrow.string()),
        ("path", arrow.string()),
        *((CLASS_PREFIX + name, arrow.float32()) for name in classes),
    ]
    schema = arrow.schema(fields, metadata={"tgkt_edge": json.dumps(dict(job))})
    with (
        atomic_file(out) as temporary,
        lines.open("rb") as file,
        parquet.ParquetWriter(temporary, schema) as writer,
    ):
        for rows in _groups(file):
            columns = [
                [row["frame"] for row in rows],
                [round(row["time"] * 1e6) for row in rows],
                [row.get("label") for row in rows],
                [row.get("probability") for row in rows],
                [row.get("health", []) for row in rows],
                [row.get("error") for row in rows],
                [row["path"] for row in rows],
                *([row.get("probabilities", {}).get(name) for row in rows] for name in classes),
            ]
            arrays = [arrow.array(values, kind) for values, (_, kind) in zip(columns, fields, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _groups(file: Any) -> Iterator[list[dict[str, Any]]]:
    while rows := [json.loads(line) for line in islice(file, GROUP)]:
        yield rows
