"""The model bundle: a folder with a manifest, the ONNX graph, and whatever else was exported, all checksummed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgkt_edge import __version__
from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.bundle.manifest_fields import (
    check_resize_side,
    finite,
    grid_of,
    is_temperature,
    names_of,
    raw_of,
)
from tgkt_edge.bundle.onnx_file import MAPS
from tgkt_edge.errors import BundleError, ConfigError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.io.atomic import sha256_of, write_json
from tgkt_edge.notes import note
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec

SCHEMA = 1
"""Version of manifest.json. A reader refuses a larger one."""

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
"""Signatures over the manifest (:mod:`tgkt_edge.bundle.signature`), which cannot name them."""

STATISTICS = "statistics.json"
"""What the adaptation frames and the answers to them were like (:mod:`tgkt_edge.monitoring.reference_stats`); older
bundles lack it."""

INPUT_NAME = "frame"
OUTPUT_NAMES = ("logits", "probabilities")
"""What every graph answers with, (N, K) float32 each."""

MODEL_FILES = {
    "fp32": "model.onnx",
    "fp16": "model.fp16.onnx",
    "int8": "model.int8.onnx",
    "int8-cpu": "model.int8-cpu.onnx",
}
"""ONNX file of each precision. The graph takes ``frame`` (N, 1, S, S) float32 in [0, 1]."""

RAW_FILES = {name: file.replace("model.", "model.raw.", 1) for name, file in MODEL_FILES.items()}
"""ONNX file of each precision with preprocessing inside. The graph takes ``counts`` (1, H, W), raw counts."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: the folder.
        classes: names in the order of the logits.
        sensor: what a raw frame means; its range is the one the model was adapted with.
        size: side of the network's input, pixels.
        files: relative name -> {"sha256": hex, "bytes": int}.
        provenance: where it came from: run, checkpoint digest, tool and library versions, and what INT8 was calibrated
            with (:attr:`int8_calibration`).
        verification: what was measured when it was exported, by precision.
        calibration: how its probabilities were calibrated (:mod:`tgkt_edge.evaluation.temperature`), with
        ``temperature``; empty:
            they are the network's own.
        maps: rows and columns of the output ``maps``; None: its graphs have none.
        raw: input of the graphs that take raw counts: ``name``, ``dtype``, ``height``, ``width``, ``outputs``; empty:
            there are none.
        opened_digest: SHA-256 of the bytes of the manifest that was opened; empty: none was.
    """

    path: Path
    classes: tuple[str, ...]
    sensor: SensorSpec
    size: int
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    maps: tuple[int, int] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    tool_version: str = __version__
    opened_digest: str = field(default="", compare=False)

    @classmethod
    def open(cls, path: Path) -> Bundle:
        """Read and check the manifest. Files are checked when they are asked for (:meth:`file`).

        Raises:
            BundleError: (exit 4) no bundle, a manifest that is damaged or cannot be read, or one of a newer version.
        """
        manifest = path / MANIFEST
        try:
            if not manifest.is_file():
                found = file_kind(path)
                what = "does not exist" if found.name == "missing" else str(found).rstrip(".")
                raise BundleError(
                    f"{redacted(str(path))} {what}. Expected a bundle folder with {MANIFEST}, as 'tgkt-edge export RUN "
                    "-o BUNDLE' writes"
                )
            data = manifest.read_bytes()
            values = json.loads(data.decode("utf-8"))
            if not isinstance(values, dict):
                raise ValueError(f"holds a {type(values).__name__}, not an object")
        except OSError as error:
            raise BundleError(f"{manifest} cannot be read: {error.strerror or error}") from error
        except (ValueError, UnicodeDecodeError) as error:
            raise BundleError(f"{manifest} is damaged: {error}. Export the bundle again.") from error
        schema, tool = values.get("schema"), values.get("tool")
        if schema != SCHEMA:
            raise BundleError(
                f"{manifest}: schema version {schema!r}, this tgkt-edge {__version__} reads {SCHEMA}. "
                f"Export the bundle again, or install the version that wrote it "
                f"({tool.get('version', 'unknown') if isinstance(tool, dict) else 'unknown'})."
            )
        try:
            check_resize_side(values["input"])
            bundle = cls(
                path=path,
                classes=names_of(values["classes"]),
                sensor=SensorSpec.from_dict(values["sensor"], where=f"{manifest}: sensor"),
                size=values["input"]["size"],
                files=values["files"],
                provenance=values["provenance"],
                verification=values["verification"],
                calibration=values.get("calibration", {}),
                maps=grid_of(values.get("maps")),
                raw=raw_of(values.get("raw")),
                tool_version=values["tool"]["version"],
                opened_digest=hashlib.sha256(data).hexdigest(),
            )
        except (KeyError, TypeError, ConfigError) as error:
            what = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise BundleError(f"{manifest} is damaged: {what}. Export the bundle again.") from error
        bundle._check(manifest)
        return bundle

    def _check(self, manifest: Path) -> None:
        problem = ""
        if len(self.classes) < 2 or not all(isinstance(name, str) for name in self.classes):
            problem = f"classes = {self.classes!r}: expected at least two names"
        elif isinstance(self.size, bool) or not isinstance(self.size, int) or self.size < 1:
            problem = f"input size = {self.size!r}: expected a positive number of pixels"
        elif not isinstance(self.files, dict) or not all(
            isinstance(entry, dict) and isinstance(entry.get("sha256"), str) for entry in self.files.values()
        ):
            problem = "files without a sha256"
        elif any(Path(name).is_absolute() or ".." in Path(name).parts for name in self.files):
            problem = "a file outside the bundle"
        elif not isinstance(self.provenance, dict) or not isinstance(self.verification, dict):
            problem = "provenance and verification: expected objects"
        elif not isinstance(self.calibration, dict) or not is_temperature(
            self.calibration.get("temperature", 1.0)
        ):
            problem = f"calibration = {self.calibration!r}: expected a temperature above 0"
        if problem:
            raise BundleError(f"{manifest} is damaged: {problem}. Export the bundle again.")

    @property
    def digest(self) -> str:
        """SHA-256 of manifest.json as it lies there now, hexadecimal: since that names every file with its own, of all.

        Raises:
            BundleError: (exit 4) it cannot be read.
        """
        try:
            return sha256_of(self.path / MANIFEST)
        except OSError as error:
            raise BundleError(f"{self.path / MANIFEST} cannot be read: {error.strerror or error}") from error

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; 1: the network's own probabilities."""
        return float(self.calibration.get("temperature", 1.0))

    @property
    def int8_calibration(self) -> dict[str, Mapping[str, Any]]:
        """What the ranges of each INT8 precision come from, as far as it is known: method, frames, digest of them.

        Bundles from before each had an entry of its own hold one, that of the precision exported last.
        """
        found = self.provenance.get("calibration")
        if not isinstance(found, dict):
            return {}
        entries = dict.fromkeys(MODEL_FILES, found) if "sha256" in found else found
        return {
            name: entries[name] for name in self.precisions if name.startswith("int8") and name in entries
        }

    @property
    def precisions(self) -> tuple[str, ...]:
        """The ONNX precisions this bundle holds."""
        return tuple(name for name, file in MODEL_FILES.items() if file in self.files)

    @property
    def raw_precisions(self) -> tuple[str, ...]:
        """The precisions of which there is a graph that takes raw counts."""
        return tuple(name for name, file in RAW_FILES.items() if file in self.files)

    def model(self, precision: str = "fp32") -> Path:
        """Path of the ONNX file of one precision, its checksum verified.

        Raises:
            BundleError: (exit 4) the bundle has no such precision, or the file is missing or altered.
        """
        name = MODEL_FILES.get(precision)
        have = ", ".join(self.precisions) or "none"
        if name is None:
            raise BundleError(
                f"`precision={precision}`: unknown; expected one of {', '.join(MODEL_FILES)}. {self.path} holds {have}."
            )
        if name not in self.files:
            raise BundleError(
                f"{self.path} holds no {precision} model; it has: {have}. Export it with `precisions={precision}`."
            )
        return self.file(name)

    def file(self, name: str) -> Path:
        """Path of one file of the bundle, its checksum verified.

        Raises:
            BundleError: (exit 4) not in the manifest, missing, truncated, altered, or it cannot be read.
        """
        entry, path = self.files.get(name), self.path / name
        if entry is None:
            raise BundleError(
                f"{path} is not named in the manifest, so it is not trusted. Export the bundle again."
            )
        try:
            if not path.is_file():
                raise BundleError(
                    f"{path} is missing although the manifest names it. Copy the whole bundle again."
                )
            size = path.stat().st_size
            if "bytes" in entry and size != entry["bytes"]:
                raise BundleError(
                    f"{path} has {size} bytes, the manifest says {entry['bytes']}: truncated? Copy the bundle again."
                )
            found = sha256_of(path)
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
        if found != entry["sha256"]:
            raise BundleError(
                f"{path} was altered: its sha256 is {found[:12]}..., the manifest says {entry['sha256'][:12]}.... "
                f"Copy the bundle again, or export it again."
            )
        return path

    def write(self) -> Bundle:
        """Write ``path/manifest.json`` with checksums of all other files found in ``path``; return what was written."""
        files = {
            file.relative_to(self.path).as_posix(): {"sha256": sha256_of(file), "bytes": file.stat().st_size}
            for file in sorted(self.path.rglob("*"))
            if file.is_file() and file not in (self.path / MANIFEST, self.path / SIGNATURE)
        }
        return dataclasses.replace(self, files=files)._write_manifest()

    def replace_files(self, add: Sequence[str], remove: Sequence[str] = ()) -> Bundle:
        """Name the files ``add`` in the manifest (hashed now) and no longer those in ``remove``, then deleted.

        Unlike :meth:`write`, it trusts no other file that lies in the folder. The manifest changes in one step: until
        then the old files are the bundle's, after it the new ones are.
        """
        files = {name: entry for name, entry in self.files.items() if name not in remove}
        for name in add:
            path = self.path / name
            files[name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        written = dataclasses.replace(self, files=dict(sorted(files.items())))._write_manifest()
        for name in set(remove) - set(add):
            (self.path / name).unlink(missing_ok=True)
        return written

    def _write_manifest(self) -> Bundle:
        manifest = {
            "schema": SCHEMA,
            "tool": {"name": "tgkt-edge", "version": self.tool_version},
            "classes": list(self.classes),
            "sensor": self.sensor.to_dict(),
            "input": {
                "name": INPUT_NAME,
                "size": self.size,
                "resize_side": resize_side(self.size),
                "outputs": [*OUTPUT_NAMES, *([MAPS] if self.maps else [])],
            },
            **({"maps": dict(zip(("rows", "columns"), self.maps, strict=True))} if self.maps else {}),
            **({"raw": dict(self.raw)} if self.raw else {}),
            "files": dict(self.files),
            "provenance": dict(self.provenance),
            "verification": dict(self.verification),
            **({"calibration": dict(self.calibration)} if self.calibration else {}),
        }
        write_json(self.path / MANIFEST, finite(manifest))
        if (self.path / SIGNATURE).exists():
            (self.path / SIGNATURE).unlink()
            note(f"{self.path} was signed and is changed now: sign it again (tgkt-edge bundle sign)")
        return self
