"""The JSON file beside a plan, and whether a plan would load on a machine: in words, before anything is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_header import read_header
from tgkt_edge.bundle.engine_metadata import (
    Here,
    Profile,
    Sidecar,
    differences,
    gpu_fits,
    read_sidecar,
    sidecar_path,
    version_fits,
)
from tgkt_edge.bundle.engines import fitting, plans, read_plan
from tgkt_edge.errors import BundleError
from tgkt_edge.io.atomic import sha256_of, write_json
from tgkt_edge.sensor import PRESETS

NAME = "engines/fp16-sm87-0123abcd.plan"
ORIN = Here("tensorrt", "10.3.0", "8.7", "Orin", "aarch64")
DATA = b"ftrt" + struct.pack("<I", 0) + bytes(16) + bytes((10, 3, 0, 26)) + bytes(500)


def make_sidecar(data: bytes = DATA, onnx: str = "ab" * 32) -> Sidecar:
    return Sidecar(
        plan={"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
        onnx={"file": "model.fp16.onnx", "sha256": onnx, "opset": 18},
        flavour="tensorrt",
        version="10.3.0.26",
        compute_capabilities=("8.7",),
        device="Orin",
        precision={"asked": "fp16", "network": {"fp16": 53}, "engine": {"fp16": 50}, "proven": True},
        profile=Profile(1, 4, 8),
        inputs={"frame": {"dtype": "fp32", "shape": [-1, 1, 224, 224]}},
        outputs={"logits": {"dtype": "fp32", "shape": [-1, 6]}},
        system={"machine": "aarch64", "l4t": "R36", "cuda": "12.6"},
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle whose plan is a header and zeros: enough for everything that happens before TensorRT gets it."""
    path = tmp_path / "bundle"
    (path / NAME).parent.mkdir(parents=True)
    (path / NAME).write_bytes(DATA)
    (path / "model.fp16.onnx").write_bytes(b"the graph")
    write_json(path / f"{NAME}.json", make_sidecar(onnx=sha256_of(path / "model.fp16.onnx")).to_dict())
    return Bundle(path=path, classes=("a", "b"), sensor=PRESETS["depth"], size=224).write()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = sidecar_path(tmp_path / "a.plan")
    assert path == tmp_path / "a.plan.json"
    write_json(path, make_sidecar().to_dict())
    assert read_sidecar(path) == make_sidecar()
    assert make_sidecar().profile.text() == "1 to 8, made for 4"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema version 2"),
        ({"profile": {"min": 2, "opt": 1, "max": 8}}, "expected 1 <= min <= opt <= max"),
        ({"profile": {"min": 1, "opt": "4", "max": 8}}, "three whole numbers"),
        ({"profile": 8}, "three whole numbers"),
        ({"plan": {"bytes": 5}}, "field 'sha256' is missing"),
        ({"onnx": {"file": "model.onnx", "sha256": 5}}, "onnx.sha256 = 5: expected a str"),
        ({"flavour": "openvino"}, "expected one of tensorrt, tensorrt_rtx"),
        ({"compute_capabilities": []}, "expected texts such as '8.7'"),
        ({"inputs": {"frame": {"dtype": "fp32"}}}, "field 'shape' is missing"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_a_damaged_sidecar_is_refused_and_says_why(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.plan.json"
    path.write_text(json.dumps({**make_sidecar().to_dict(), **change}), encoding="utf-8")
    with pytest.raises(BundleError, match="Build the plan again") as caught:
        read_sidecar(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_no_sidecar_or_half_of_one_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.plan.json"
    with pytest.raises(BundleError, match="cannot be read"):
        read_sidecar(path)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"a\.plan\.json is damaged"):
        read_sidecar(path)


def logged(machine: Here, **changes: Any) -> list[str]:
    sidecar = dataclasses.replace(make_sidecar(), **changes)
    header = dataclasses.replace(read_plan_header(), bytes=len(DATA))
    return differences(sidecar, header, machine, "ab" * 32)


def read_plan_header() -> Any:
    from tgkt_edge.bundle.engine_header import parse_header

    return parse_header(DATA, len(DATA), "a.plan")


def test_on_the_machine_it_was_built_on_nothing_speaks_against_it() -> None:
    assert logged(ORIN) == []
    assert logged(dataclasses.replace(ORIN, version="10.3.0.26")) == []


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"version": "10.7.0"}, ["built with TensorRT 10.3.0.26 and needs that version; here is 10.7.0"]),
        ({"flavour": "tensorrt_rtx", "version": "1.7.1.116"}, ["neither loads the other's plans"]),
        ({"compute_capability": "8.9", "device": "L4"}, ["the GPU here is L4 (compute capability 8.9)"]),
        ({"machine": "x86_64"}, ["built on aarch64, the processor here is x86_64"]),
        ({"compute_capability": None, "why_not": ["no driver"]}, ["no driver"]),
        ({"flavour": None, "version": None, "why_not": ["no TensorRT"]}, ["no TensorRT"]),
        (
            {"flavour": None, "version": None, "compute_capability": "7.2", "device": "Xavier"},
            ["TensorRT is not installed here", "the GPU here is Xavier"],
        ),
    ],
)
def test_what_differs_is_said_in_words(machine: dict[str, Any], words: list[str]) -> None:
    found = logged(dataclasses.replace(ORIN, **machine))
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence


def test_a_changed_onnx_and_a_header_of_another_version_are_told() -> None:
    other = dataclasses.replace(read_plan_header(), version=(10, 13, 3, 9), bytes=100)
    found = differences(make_sidecar(), other, ORIN, "cd" * 32)
    assert [sentence.split(",")[0] for sentence in found] == [
        "the plan has 100 bytes",
        "the plan's header says TensorRT 10.13.3.9",
        "model.fp16.onnx has changed since it was built (sha256 abababababab... then",
    ]
    assert "no longer holds model.fp16.onnx" in differences(make_sidecar(), read_plan_header(), ORIN, None)[0]


@pytest.mark.parametrize(
    ("built", "here", "compatible", "fits"),
    [
        ("10.3.0.26", "10.3.0.30", False, False),
        ("10.3.0.26", "10.3.0", True, True),
        ("10.3.0.26", "10.13.3.9", True, True),
        ("10.13.3.9", "10.3.0.26", True, False),  # older than the builder
        ("10.13.3.9", "11.4.0.106", True, False),  # another major version
        ("10.0.0.44", "10.0.0.300", False, True),  # 300 is 44 in the one byte that a header has for it
    ],
)
def test_versions_fit_as_tensorrt_documents_it(built: str, here: str, compatible: bool, fits: bool) -> None:
    assert version_fits(built, here, compatible) is fits


def test_a_hardware_compatible_plan_runs_from_ampere_on() -> None:
    plain = make_sidecar()
    wide = dataclasses.replace(plain, hardware_compatible=True)
    assert [gpu_fits(plain, one) for one in ("8.7", "8.6", "7.5")] == [True, False, False]
    assert [gpu_fits(wide, one) for one in ("8.7", "8.6", "12.0", "7.5")] == [True, True, True, False]


def test_a_bundle_gives_the_plan_that_fits(bundle: Bundle) -> None:
    (found,), reasons = fitting(bundle, "fp16", ORIN)
    assert (found.name, reasons) == (NAME, [])
    assert read_plan(bundle, found) == DATA
    assert fitting(bundle, "int8", ORIN) == ([], ["the bundle holds no int8 plan"])
    none, reasons = fitting(bundle, "fp16", Here("tensorrt", "11.4.0", "11.0", "Thor", "aarch64"))
    assert none == []
    assert reasons[0].startswith(f"{NAME}: it was built with TensorRT 10.3.0.26 and needs that version")
    assert "Thor" in reasons[0]


def test_a_graph_exported_anew_makes_its_plan_stale(bundle: Bundle) -> None:
    (bundle.path / "model.fp16.onnx").write_bytes(b"another graph")
    none, reasons = fitting(bundle.write(), "fp16", ORIN)
    assert none == []
    assert "model.fp16.onnx has changed" in reasons[0]


def test_an_edited_sidecar_is_refused(bundle: Bundle) -> None:
    path = sidecar_path(bundle.path / NAME)
    path.write_text(path.read_text(encoding="utf-8").replace('"8.7"', '"8.9"'), encoding="utf-8")
    with pytest.raises(BundleError, match=r"plan\.json was altered"):
        plans(bundle)


@pytest.mark.parametrize("damage", [DATA[:300], DATA[:-1] + b"\1", b""])
def test_an_altered_or_truncated_plan_is_never_handed_out(bundle: Bundle, damage: bytes) -> None:
    (plan,) = plans(bundle)
    (bundle.path / NAME).write_bytes(damage)
    with pytest.raises(BundleError, match=r"was altered or truncated.*It is not loaded\. Build it again"):
        read_plan(bundle, plan)


def test_a_plan_that_the_manifest_does_not_name_is_never_handed_out(bundle: Bundle) -> None:
    (plan,) = plans(bundle)
    stray = bundle.path / "engines" / "stray.plan"
    stray.write_bytes(DATA)
    assert plans(bundle) == [plan]
    with pytest.raises(BundleError, match="is not named in the manifest"):
        read_plan(bundle, dataclasses.replace(plan, name="engines/stray.plan"))
    assert read_header(stray).version_text == "10.3.0.26"


def test_an_edited_manifest_does_not_help_a_plan_that_its_sidecar_does_not_know(bundle: Bundle) -> None:
    other = DATA[:-1] + b"\1"
    (bundle.path / NAME).write_bytes(other)
    again = bundle.write()
    with pytest.raises(BundleError, match="its sidecar says"):
        read_plan(again, plans(again)[0])


def test_files_are_exchanged_in_one_step(bundle: Bundle) -> None:
    new = "engines/fp16-sm87-89abcdef.plan"
    (bundle.path / new).write_bytes(DATA + b"new")
    (bundle.path / "stray").write_bytes(b"")
    written = bundle.replace_files([new], [NAME])
    assert Bundle.open(bundle.path).files == written.files
    assert new in written.files
    assert NAME not in written.files
    assert "stray" not in written.files
    assert not (bundle.path / NAME).exists()
    assert written.file(new).read_bytes() == DATA + b"new"
