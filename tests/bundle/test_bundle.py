"""A bundle comes back as it was written, and whatever was damaged on the way is refused with exit 4."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tgkt_edge import __version__
from tgkt_edge.bundle.bundle import MANIFEST, SCHEMA, Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.sensor import PRESETS

MODEL = b"not really a graph" * 100


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = tmp_path / "bundle"
    (path / "engines").mkdir(parents=True)
    (path / "model.onnx").write_bytes(MODEL)
    (path / "model.fp16.onnx").write_bytes(b"half")
    (path / "engines" / "orin.fp16.plan").write_bytes(b"plan")
    return Bundle(
        path=path,
        classes=("kitchen", "Büro"),
        sensor=PRESETS["sunrgbd"].with_size(640, 480),
        size=224,
        provenance={"run": "runs/a", "seed": 0},
        verification={"fp32": {"max_difference": 1e-6, "agreement": float("nan")}},
    ).write()


def edit(bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest as JSON."""
    manifest = bundle.path / MANIFEST
    values = json.loads(manifest.read_text(encoding="utf-8"))
    change(values)
    manifest.write_text(json.dumps(values), encoding="utf-8")


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as caught:
        Bundle.open(path)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_a_bundle_comes_back_as_it_was_written(bundle: Bundle) -> None:
    opened = Bundle.open(bundle.path)
    assert (opened.classes, opened.sensor, opened.size) == (bundle.classes, bundle.sensor, 224)
    assert opened.files == bundle.files
    assert opened.provenance == {"run": "runs/a", "seed": 0}
    assert opened.verification == {"fp32": {"max_difference": 1e-6, "agreement": None}}  # JSON knows no NaN
    assert opened.tool_version == __version__
    assert opened.precisions == ("fp32", "fp16")
    assert opened.model().read_bytes() == MODEL
    assert opened.model("fp16") == bundle.path / "model.fp16.onnx"
    assert opened.file("engines/orin.fp16.plan").read_bytes() == b"plan"


def test_the_manifest_says_what_another_program_needs(bundle: Bundle) -> None:
    values = json.loads((bundle.path / MANIFEST).read_text(encoding="utf-8"))
    assert values["schema"] == SCHEMA
    assert values["classes"] == ["kitchen", "Büro"]
    assert values["input"] == {
        "name": "frame", "size": 224, "resize_side": 256, "outputs": ["logits", "probabilities"],
    }  # fmt: skip
    assert values["sensor"]["encoding"] == "sunrgbd"
    assert sorted(values["files"]) == ["engines/orin.fp16.plan", "model.fp16.onnx", "model.onnx"]
    assert values["files"]["model.onnx"]["bytes"] == len(MODEL)


def test_writing_again_takes_up_new_files_and_every_file_but_the_manifest(bundle: Bundle) -> None:
    (bundle.path / "model.int8.onnx").write_bytes(b"int8")
    (bundle.path / "engines" / MANIFEST).write_text("{}", encoding="utf-8")
    again = Bundle.open(bundle.path).write()
    assert sorted(set(again.files) - set(bundle.files)) == ["engines/manifest.json", "model.int8.onnx"]
    assert Bundle.open(bundle.path).precisions == ("fp32", "fp16", "int8")


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (lambda file: file.write_bytes(MODEL.replace(b"not", b"yes", 1)), "was altered"),
        (
            lambda file: file.write_bytes(MODEL[:-1]),
            f"has {len(MODEL) - 1} bytes, the manifest says {len(MODEL)}",
        ),
        (lambda file: file.write_bytes(MODEL + b"\0"), f"has {len(MODEL) + 1} bytes"),
        (lambda file: file.write_bytes(b""), "has 0 bytes"),
        (lambda file: file.unlink(), "is missing although the manifest names it"),
    ],
    ids=["altered", "truncated", "longer", "empty", "missing"],
)
def test_a_damaged_file_is_refused_when_it_is_asked_for(
    bundle: Bundle, damage: Callable[[Path], object], messages: str
) -> None:
    damage(bundle.path / "model.onnx")
    opened = Bundle.open(bundle.path)
    assert opened.model("fp16").read_bytes() == b"half"  # the others may still be used
    with pytest.raises(BundleError, match=r"model\.onnx") as caught:
        opened.model("fp32")
    assert messages in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_file_that_came_in_later_is_not_trusted(bundle: Bundle) -> None:
    (bundle.path / "model.int8.onnx").write_bytes(b"from elsewhere")
    opened = Bundle.open(bundle.path)
    with pytest.raises(BundleError, match="not named in the manifest, so it is not trusted"):
        opened.file("model.int8.onnx")
    with pytest.raises(BundleError, match="holds no int8 model; it has: fp32, fp16"):
        opened.model("int8")
    with pytest.raises(
        BundleError, match=r"`precision=bf16`: unknown; expected one of fp32, fp16.* holds fp32, fp16"
    ):
        opened.model("bf16")


def test_what_is_no_bundle_is_named(bundle: Bundle, tmp_path: Path) -> None:
    assert "absent does not exist. Expected a bundle folder" in refused(tmp_path / "absent")
    assert f"{tmp_path} is a folder, and neither a bundle (manifest.json) nor a run" in refused(tmp_path)
    assert "Expected a bundle folder" in refused(bundle.path / "model.onnx")


@pytest.mark.parametrize("text", [b"", b"{", b'{"schema": 1', b"[1]", b"null", b"\xff\xfe\x00"])
def test_a_manifest_that_is_no_json_object_is_refused(bundle: Bundle, text: bytes) -> None:
    (bundle.path / MANIFEST).write_bytes(text)
    assert "manifest.json is damaged" in refused(bundle.path)


@pytest.mark.parametrize(
    "field", ["classes", "sensor", "input", "files", "provenance", "verification", "tool"]
)
def test_a_missing_or_senseless_field_is_refused(bundle: Bundle, field: str) -> None:
    whole = (bundle.path / MANIFEST).read_text(encoding="utf-8")
    for value in (None, 3, "text", [], ["a"]):
        if (field, value) == ("classes", ["a"]):
            continue  # one class: below
        (bundle.path / MANIFEST).write_text(whole, encoding="utf-8")
        edit(bundle, lambda values, value=value: values.update({field: value}))  # type: ignore[misc]
        assert "manifest.json is damaged" in refused(bundle.path)
    (bundle.path / MANIFEST).write_text(whole, encoding="utf-8")
    edit(bundle, lambda values: values.pop(field))
    assert f"field '{field}' is missing" in refused(bundle.path)


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda v: v.update(classes=["one"]), "expected at least two names"),
        (lambda v: v.update(classes=["one", 2]), "expected at least two names"),
        (lambda v: v.update(classes="kitchen"), "expected a list of names"),
        (lambda v: v["input"].update(size=0), "input size = 0"),
        (lambda v: v["input"].update(resize_side=224), "input resize_side = 224: frames are resized to 256"),
        (lambda v: v["input"].update(resize_side="256"), "input resize_side = '256'"),
        (lambda v: v["input"].update(size=1, resize_side=True), "input resize_side = True"),
        (lambda v: v["input"].update(size=224.0), "input size = 224.0"),
        (lambda v: v["input"].update(size=True), "input size = True"),
        (lambda v: v["input"].update(size="224"), "input size = '224'"),
        (lambda v: v["sensor"].update(far_m=-1.0), "expected 0 <= near_m < far_m"),
        (lambda v: v["sensor"].update(farm=1.0), "Did you mean 'far_m'?"),
        (lambda v: v["files"]["model.onnx"].pop("sha256"), "files without a sha256"),
        (lambda v: v["files"].update({"model.onnx": "abc"}), "files without a sha256"),
        (lambda v: v["files"].update({"../x": v["files"]["model.onnx"]}), "a file outside the bundle"),
        (
            lambda v: v["files"].update({"engines/../../x": v["files"]["model.onnx"]}),
            "a file outside the bundle",
        ),
        (lambda v: v["files"].update({"/etc/passwd": v["files"]["model.onnx"]}), "a file outside the bundle"),
    ],
)
def test_a_bad_value_in_the_manifest_is_named(
    bundle: Bundle, change: Callable[[dict[str, Any]], object], messages: str
) -> None:
    edit(bundle, change)
    assert messages in refused(bundle.path)


def test_a_manifest_from_before_the_resize_side_was_written_down_opens(bundle: Bundle) -> None:
    edit(bundle, lambda values: values["input"].pop("resize_side"))
    assert Bundle.open(bundle.path).size == 224


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "1", None])
def test_another_schema_version_is_refused_and_says_who_can_read_it(bundle: Bundle, schema: object) -> None:
    edit(bundle, lambda values: values.update(schema=schema, tool={"version": "9.9.9"}))
    message = refused(bundle.path)
    assert f"schema version {schema!r}, this tgkt-edge {__version__} reads {SCHEMA}" in message
    assert "9.9.9" in message


@pytest.mark.parametrize("tool", [None, "9.9.9", []])
def test_another_schema_version_without_a_tool_is_refused_just_the_same(bundle: Bundle, tool: object) -> None:
    edit(bundle, lambda values: values.update(schema=SCHEMA + 1, tool=tool))
    assert "(unknown)" in refused(bundle.path)
