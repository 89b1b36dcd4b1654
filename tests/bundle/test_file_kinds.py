"""Files are known by what they hold: what they are, and what to do, whatever they are called."""

from __future__ import annotations

import io
import json
import shlex
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.bundle.inspect_bundle import inspect
from tgkt_edge.cli.main import app
from tgkt_edge.errors import BundleError, IncompatibleError


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x")  # its time is fixed, so the bytes are too
    return out.getvalue()


def tensors(about: dict[str, str] | None = None, *, cut: int = 0, names: tuple[str, ...] = ("a",)) -> bytes:
    header: dict[str, object] = {
        name: {"dtype": "F32", "shape": [2], "data_offsets": [8 * n, 8 * n + 8]}
        for n, name in enumerate(names)
    }
    if about is not None:
        header["__metadata__"] = about
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(8 * len(names))
    return data[: len(data) - cut]


OURS = {
    "format": "tgkt-edge/1",
    "tool": "0",
    "about": json.dumps({"kind": "source", "classes": ["a", "b"], "image_size": 64}),
}


@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        (b"", "empty", "an empty file"),
        (zipped("archive/data.pkl", "archive/data/0"), "torch", "a PyTorch file, as torch.save writes it"),
        (zipped("m/data.pkl", "m/constants.pkl", "m/code/x.py"), "torchscript", "a TorchScript program"),
        (zipped("a/data.pkl")[:-30], "other", "zip archive (perhaps of torch.save) that is cut off"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch", "a Python pickle"),
        (b"\x80\x04\x95\x10\x00", "torch", "a Python pickle"),
        (b"\x80", "unknown", "no model file that is known here"),
        (zipped("arr_0.npy"), "other", "a NumPy archive"),
        (zipped("config.json", "model.weights.h5"), "other", "a Keras model"),
        (b"\x89HDF\r\n\x1a\n", "other", "an HDF5 file"),
        (b"\x1c\x00\x00\x00TFL3", "other", "a TensorFlow Lite model"),
        (b"<!DOCTYPE html><html>", "other", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "other", "a Git LFS pointer"),
        (b"ftrt" + bytes(40), "plan", "a TensorRT plan"),
        (tensors(), "safetensors", "a safetensors file of another program"),
        (tensors(OURS), "checkpoint", "a checkpoint of 'adapt' (source)"),
        (tensors(OURS, cut=3), "other", "a safetensors file that is cut off"),
        (tensors(OURS)[:40], "other", "cut off within its header"),
        (b"hello, this is no model", "unknown", "no model file that is known here"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_each_kind_is_recognized_under_any_name(data: bytes, name: str, text: str, tmp_path: Path) -> None:
    for called in ("model.pth", "model.safetensors", "x"):
        path = tmp_path / called
        path.write_bytes(data)
        found = file_kind(path)
        assert found.name == name
        assert text in found.text
        if name in ("other", "torch", "empty"):
            with pytest.raises(IncompatibleError) as caught:
                inspect(path)
            assert text in str(caught.value)
            assert "ONNX" not in str(caught.value)


@pytest.fixture
def a_run(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "source.safetensors").write_bytes(tensors(OURS))
    (run / "config.yaml").write_text(
        "tool: '0'\nconfig: {method: tgkt, image_size: 64}\ninputs: {target: /t}\nsensor: {kind: depth}\n"
    )
    return run


def test_inspect_describes_checkpoints_runs_and_other_weights(a_run: Path, tmp_path: Path) -> None:
    def lines(path: Path) -> str:
        done = CliRunner().invoke(app, ["inspect", str(path)])
        assert done.exit_code == 0, done.stderr
        return str(done.stdout)

    assert "source checkpoint of tgkt-edge 0" in lines(a_run / "checkpoints" / "source.safetensors")
    shown = lines(a_run)
    assert "method tgkt, 64 pixels, not finished" in shown
    assert "checkpoints/source.safetensors: source, 2 parameters" in shown
    assert "go on with adapt, --resume" in shown
    other, resnet50 = tmp_path / "resnet.safetensors", ("m.conv1.weight", "m.layer4.2.conv3.weight")
    theirs = {"made": "by `weights=3` of another program"}
    for names, holds, use in (
        ((*resnet50, "m.fc.weight"),
         "a ResNet-50 with torchvision's names after 'm.', with a classifier fc of 2 classes\n",
         "tgkt-edge source import makes it a source model; or --weights, which leaves the classifier out"),
        (resnet50, "a ResNet-50 with torchvision's names after 'm.'\n",
         "--weights: a source model that is trained with --source starts from it"),
        (("blocks.0.weight",), "not a ResNet-50: parts blocks\n",
         "if it is a classifier of images, tgkt-edge source import makes it a source model"),
    ):  # fmt: skip
        other.write_bytes(tensors(theirs, names=names))
        shown = lines(other)
        assert f"  holds    {holds}" in shown
        assert f"  use      {use}" in shown
        assert "  metadata made: by `weights=3` of another program\n" in shown
        assert shown.count("`") == 2


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (zipped("archive/data.pkl"), "a PyTorch file"),
        (b"\x80\x04\x95\x10\x00", "a Python pickle"),
        (zipped("m/data.pkl", "m/constants.pkl"), "a TorchScript program"),
    ],
)
def test_inspect_points_to_what_takes_a_classifier(data: bytes, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    file.write_bytes(data)
    done = CliRunner().invoke(app, ["inspect", str(file)])
    assert done.exit_code == 4
    assert f"{file}: is {kind}" in done.stderr
    assert f"tgkt-edge source import {file} --source-classes FILE -o source.safetensors" in done.stderr


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda run: run, "is a run folder of 'adapt'. Make a bundle of it: tgkt-edge export"),
        (lambda run: run / "checkpoints", "is a part of a run folder. Give"),
        (lambda run: run / "checkpoints" / "source.safetensors", "is a checkpoint of 'adapt' (source)"),
        (lambda run: run.parent, "is a folder, and neither a bundle (manifest.json) nor a run"),
    ],
    ids=["run", "part", "checkpoint", "folder"],
)
def test_what_is_no_bundle_is_named(make: Callable[[Path], Path], words: str, a_run: Path) -> None:
    with pytest.raises(BundleError) as caught:
        Bundle.open(make(a_run))
    assert words in str(caught.value)


@pytest.mark.slow
def test_the_advised_conversion_works(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    weight = torch.ones(2, 3)
    for name, saved in {
        "plain": {"a": weight, "tied": weight},
        "wrapped": {"state_dict": {"a": weight.T}},
        "otherwise": {"epoch": 3, "model_state_dict": {"a": weight}},
        "of $HOME": {"net": {"a": weight}},
    }.items():
        path = tmp_path / f"{name}.pth"
        torch.save(saved, path)
        command = file_kind(path).advice.partition("Convert its weights: ")[2]
        subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, cwd=tmp_path)
        assert "a" in load_file(tmp_path / f"{name}.safetensors")


def test_what_does_not_exist_is_said_to(tmp_path: Path) -> None:
    assert str(file_kind(tmp_path / "no")) == "does not exist."
