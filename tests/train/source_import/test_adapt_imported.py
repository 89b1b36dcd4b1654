"""Whole runs from models of other programs: the default way, the methods that copy the source, and a program."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from tests.support.training import CLASSES, FEATURES, SIDE, Tiny, settle
from tests.train.source_import.conftest import saved
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import ConfigError, UsageError
from tgkt_edge.export.export import export
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.report.comparison import Evidence
from tgkt_edge.train.report.judgement import Verdict
from tgkt_edge.train.report.verdict import judge
from tgkt_edge.train.run_folder.folder import Run, RunInputs
from tgkt_edge.train.source_import.options import ImportOptions

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def files(tiny: Tiny, module_folder: Callable[[str], Path]) -> Path:
    """model.pth, a ResNet-50 with an fc for CLASSES; small.pth, a ResNet-18; their names; places.pth.tar with 365."""
    folder = module_folder("models")
    body = {k: v.float() if v.is_floating_point() else v for k, v in load_file(tiny.weights).items()}
    torch.manual_seed(0)
    fc = torch.nn.Linear(2048, len(CLASSES))
    saved({**body, "fc.weight": fc.weight.detach() * 20, "fc.bias": fc.bias.detach()}, folder / "model.pth")
    small = torchvision.models.resnet18(weights=None, num_classes=len(CLASSES))
    settle(small, tiny.data / "source")
    saved(small.state_dict(), folder / "small.pth")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    torch.manual_seed(1)
    places = torchvision.models.resnet18(weights=None, num_classes=365)
    settle(places, tiny.data / "source")
    state = {f"module.{k}": v for k, v in places.state_dict().items() if "num_batches" not in k}
    torch.save(
        {"epoch": 90, "arch": "resnet18", "state_dict": state, "best_prec1": torch.tensor(54.7)},
        folder / "resnet18_places365.pth.tar", _use_new_zipfile_serialization=False,
    )  # fmt: skip
    names = [f"/{chr(97 + i % 26)}/place_{i}" for i in range(345)]
    parts = [f"/{name[0]}/{name}/part_{i}" for name in CLASSES for i in range(4)][:20]
    lines = [f"{name} {number}" for number, name in enumerate([*names, *parts])]
    (folder / "categories_places365.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{part[3:]},{part[3:].partition('/')[0]}" for part in parts]
    (folder / "map.csv").write_text("\n".join(["source_class,task_class", *rows]))
    return folder


def inputs(tiny: Tiny, model: Path) -> RunInputs:
    return dataclasses.replace(tiny.inputs, source=None, source_model=str(model))


def run(
    tiny: Tiny, model: Path, out: Path, options: ImportOptions, *sets: str, resume: bool = False
) -> dict[str, Any]:
    return adapt(
        inputs(tiny, model), load_sensor("depth"), out, tiny.config(*sets), resume=resume, source_options=options
    )  # fmt: skip


def test_the_default_way(files: Path, tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Source, translation and target network; provenance in all of them; the bundle is verified against torch."""
    options = ImportOptions(files / "classes.txt", size=SIDE, origin="CC BY 4.0, somebody")
    report = run(
        tiny, files / "model.pth", tmp_path / "run", options, *FEATURES, "translation.encodings=both"
    )
    assert tuple(report["classes"]) == CLASSES
    assert report["translation"]["own_look"]
    assert "what the imported model itself sees of the frames' surface normals" in capsys.readouterr().err
    source, header = load_classifier(tmp_path / "run" / "checkpoints" / "source.safetensors", "source")
    assert isinstance(source, ImportedClassifier)
    fitted = header.extra["import"]["fitted"]
    assert (fitted["on"], fitted["images"]) == ("RGB of pairs", 10)
    _, target = load_classifier(Run(tmp_path / "run").target, "target")
    assert target.extra["source"]["origin"] == "CC BY 4.0, somebody"
    export(tmp_path / "run", tmp_path / "bundle", precisions=["fp32"])
    bundle = Bundle.open(tmp_path / "bundle")
    assert bundle.provenance["source"]["origin"] == "CC BY 4.0, somebody"
    assert bundle.provenance["source"]["arch"] == "resnet50"


def test_without_imagenet_weights_its_own_features_describe_the_frames(
    files: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ResNet-50 can; the report says so. Whoever trained it may have had more than the task's RGB."""
    judged: list[Evidence] = []

    def kept(evidence: Evidence) -> Verdict:
        judged.append(evidence)
        return judge(evidence)

    monkeypatch.setattr("tgkt_edge.train.report.summary.judge", kept)
    options = ImportOptions(files / "classes.txt", size=SIDE)
    sets = (*FEATURES, "method=translate", "weights=none")
    report = run(tiny, files / "model.pth", tmp_path / "run", options, *sets)
    assert report["translation"]["own_backbone"]
    assert not report["translation"]["generic"]
    assert [one.scratch for one in judged] == [False]


def test_a_factor_in_the_last_layer_gives_the_same_labels(files: Path, tiny: Tiny, tmp_path: Path) -> None:
    """Logits a thousand times as large: the translation's choice, its teacher and its network are the same."""
    state = torch.load(files / "model.pth", weights_only=True)
    state["fc.weight"], state["fc.bias"] = state["fc.weight"] * 1000, state["fc.bias"] * 1000
    other = saved(state, tmp_path / "other.pth")
    options = ImportOptions(files / "classes.txt", size=SIDE)
    found = []
    for name, model in (("a", files / "model.pth"), ("b", other)):
        run(tiny, model, tmp_path / name, options, *FEATURES, "method=translate")
        kept = load_classifier(Run(tmp_path / name).target, "target")[1]
        found.append((kept.beside["labels"], kept.extra["translation"]["chosen"]))
    assert found[0][1] == found[1][1]
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-2, atol=1e-3)


def test_places365_with_twenty_classes_merged(files: Path, tiny: Tiny, tmp_path: Path) -> None:
    options = ImportOptions(files / "categories_places365.txt", map=files / "map.csv", size=SIDE)
    report = run(
        tiny, files / "resnet18_places365.pth.tar", tmp_path / "run", options, *FEATURES, "method=translate"
    )
    assert tuple(report["classes"]) == CLASSES[:5]
    about = load_classifier(tmp_path / "run" / "checkpoints" / "source.safetensors")[1].extra["import"]
    assert (about["arch"], about["outputs"]) == ("resnet18", 365)
    assert about["merged"]["kitchen"] == [f"kitchen/part_{i}" for i in range(4)]
    assert about["proof"]["largest_logit_difference"] < 1e-4


@pytest.mark.parametrize("method", ["shot", "socket", "tgmb", "tgkt", "source-only"])
def test_methods_that_copy_the_source(method: str, files: Path, tiny: Tiny, tmp_path: Path) -> None:
    """A plain classifier without a bottleneck; two classes merged into one, in the copy and its graph, too."""
    rows = [f"{name},{'work' if name in ('kitchen', 'office') else name}" for name in CLASSES]
    (tmp_path / "map.csv").write_text("\n".join(["source_class,task_class", *rows]))
    options = ImportOptions(files / "classes.txt", map=tmp_path / "map.csv", size=SIDE)
    sets = [f"{stage}.epochs=1" for stage in ("tgmb", "tgkt", "shot", "socket")]
    report = run(tiny, files / "small.pth", tmp_path / "run", options, f"method={method}", *sets)
    assert report["classes"] == ["bedroom", "corridor", "work", "staircase", "warehouse"]
    if method == "tgmb":
        return
    model, _ = load_classifier(Run(tmp_path / "run").target, "target")
    assert isinstance(model, ImportedClassifier)
    assert model.classifier.groups == ((0,), (1,), (2, 3), (4,), (5,))
    if method == "tgkt":  # the graph of the others is that of the same network
        export(tmp_path / "run", tmp_path / "bundle", precisions=["fp32"])
        assert Bundle.open(tmp_path / "bundle").verification["fp32"]["top1_agreement"] == 1.0


def test_a_program_teaches(files: Path, tiny: Tiny, tmp_path: Path) -> None:
    network = torchvision.models.resnet18(weights=None, num_classes=len(CLASSES))
    network.load_state_dict(torch.load(files / "small.pth", weights_only=True))
    file = tmp_path / "model.onnx"
    torch.onnx.export(network.eval(), (torch.zeros(1, 3, SIDE, SIDE),), file, dynamo=False)
    options = ImportOptions(files / "classes.txt")
    report = run(tiny, file, tmp_path / "run", options, *FEATURES, "method=translate")
    assert tuple(report["classes"]) == CLASSES
    assert set(report["predicted"]) >= {"source-only", "target"}
    with pytest.raises(UsageError, match="`method=shot`: needs the gradients"):
        run(tiny, file, tmp_path / "shot", options, "method=shot")
    assert not (tmp_path / "shot").exists()


def test_resumed_with_the_same_model_only(files: Path, tiny: Tiny, tmp_path: Path) -> None:
    options = ImportOptions(files / "classes.txt", size=SIDE)
    model = tmp_path / "model.pth"
    shutil.copyfile(files / "small.pth", model)
    sets = ("method=shot", "shot.epochs=1")
    run(tiny, model, tmp_path / "run", options, *sets)
    (tmp_path / "run" / "report.json").unlink()
    run(tiny, model, tmp_path / "run", options, *sets, resume=True)
    assert (tmp_path / "run" / "report.json").is_file()
    state: dict[str, Tensor] = torch.load(model, weights_only=True)
    state["fc.bias"] = state["fc.bias"] + 1
    saved(state, model)
    with pytest.raises(ConfigError, match="holds another model than the run was started with"):
        run(tiny, model, tmp_path / "run", options, *sets, resume=True)


def test_options_of_a_model_without_a_model_are_refused(files: Path, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="`source_classes`: only with a `source_model` that another program trained"
    ):
        adapt(
            tiny.inputs, load_sensor("depth"), tmp_path / "run", tiny.config(),
            source_options=ImportOptions(files / "classes.txt"),
        )  # fmt: skip


def test_the_lines_of_the_documentation(tiny: Tiny, tmp_path: Path) -> None:
    """Trained by them outside the program, at 64 pixels and for one epoch; imported and adapted."""
    page = (REPOSITORY / "docs" / "your-model.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(import torch\n.*?)```", page, re.DOTALL)
    script = script.replace("size, epochs = 224, 10", "size, epochs = 64, 1")
    assert len(script.splitlines()) < 20
    (tmp_path / "rgb").symlink_to(tiny.data / "source")
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    body = {k: v.float() if v.is_floating_point() else v for k, v in load_file(tiny.weights).items()}
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
    head = {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    saved({**head, **body}, cache / weights.url.rpartition("/")[2])
    environment = {"TORCH_HOME": str(tmp_path / "torch"), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=240, env=environment)
    assert (tmp_path / "classes.csv").read_text().splitlines()[:2] == ["class,images", "bedroom,2"]
    options = ImportOptions(tmp_path / "classes.csv", size=64, check_images=tiny.data / "source")
    report = run(
        tiny,
        tmp_path / "model.pth",
        tmp_path / "run",
        options,
        *FEATURES,
        "method=translate",
        "image_size=64",
    )
    assert tuple(report["classes"]) == CLASSES
    header = load_classifier(tmp_path / "run" / "checkpoints" / "source.safetensors")[1]
    assert header.beside["class_shares"].tolist() == pytest.approx([1 / 6] * 6)
