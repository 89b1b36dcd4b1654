"""Runs from a model that another program trained, with the labelled images that it was trained on."""

from __future__ import annotations

import dataclasses
import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from tests.support.training import (
    CLASSES,
    FEATURES,
    SIDE,
    Tiny,
    differing_tensors,
    run_inputs,
    write_small_data,
)
from tests.train.source_import.conftest import saved
from tgkt_edge.errors import ConfigError, DataError, UsageError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.methods.translation import answers, translate
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.run_folder.folder import Run, RunInputs
from tgkt_edge.train.source_import.import_source import import_source
from tgkt_edge.train.source_import.options import ImportOptions

pytestmark = pytest.mark.slow

TRANSLATE = (*FEATURES, "method=translate", "translation.encodings=plain", "translation.strength=300")

Reals = NDArray[np.float64]


@pytest.fixture(scope="module")
def model(tiny: Tiny, module_folder: Callable[[str], Path]) -> Path:
    """model.pth, a ResNet-50 with an fc for CLASSES, and classes.txt beside it."""
    folder = module_folder("models")
    body = {k: v.float() if v.is_floating_point() else v for k, v in load_file(tiny.weights).items()}
    torch.manual_seed(0)
    fc = torch.nn.Linear(2048, len(CLASSES))
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return saved(
        {**body, "fc.weight": fc.weight.detach() * 20, "fc.bias": fc.bias.detach()}, folder / "model.pth"
    )


def options(model: Path) -> ImportOptions:
    return ImportOptions(model.with_name("classes.txt"), size=SIDE)


def beside(tiny: Tiny, model: Path) -> RunInputs:
    """The run's own labelled RGB, as the images of ``model``."""
    return dataclasses.replace(tiny.inputs, source_model=str(model))


def run(
    tiny: Tiny, inputs: RunInputs, out: Path, about: ImportOptions | None, *sets: str, **others: Any
) -> dict[str, Any]:
    return adapt(inputs, load_sensor("depth"), out, tiny.config(*sets), source_options=about, **others)


@dataclass(frozen=True)
class Finished:
    """A run at which the images were given; tests copy it.

    Attributes:
        images: a folder that no other run reads. out: its folder. report, said: what came of it.
    """

    images: Path
    out: Path
    report: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def at(model: Path, tiny: Tiny, module_folder: Callable[[str], Path]) -> Finished:
    folder = module_folder("at")
    shutil.copytree(str(tiny.inputs.source), folder / "rgb")
    inputs = dataclasses.replace(beside(tiny, model), source=str(folder / "rgb"))
    with redirect_stderr(io.StringIO()) as said:
        report = run(tiny, inputs, folder / "run", options(model), *TRANSLATE)
    return Finished(folder / "rgb", folder / "run", report, said.getvalue())


def test_at_the_run_or_before_it_is_the_same(at: Finished, model: Path, tiny: Tiny, tmp_path: Path) -> None:
    """``adapt --source-model model.pth --source rgb/``, or what ``source import --source rgb/`` wrote."""
    found = at.report["translation"]
    assert (found["opinions"], found["way_back"], found["known_shares"]) == (2, 12, True)
    assert found["own_spread"]
    assert "learns from generic features of 12 labelled images" in at.said
    file = tmp_path / "source.safetensors"
    import_source(
        model, file, options(model), source=Path(str(tiny.inputs.source)), weights=str(tiny.weights),
        image_size=SIDE, device="cpu", precision="fp32",
    )  # fmt: skip
    before = dataclasses.replace(tiny.inputs, source=None, source_model=str(file))
    run(tiny, before, tmp_path / "before", None, *TRANSLATE)
    assert differing_tensors(Run(tmp_path / "before").target, Run(at.out).target) == []
    kept = load_classifier(Run(at.out).target)[1].extra["source"]["images"]
    assert (kept["listed"], kept["kept"]) == (12, 12)  # the provenance of all that comes of it


@pytest.fixture
def opinions(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Reals]]:
    """The logits that each run's teacher is made of, in order."""
    seen: list[Sequence[Reals]] = []
    teach = answers.teach

    def listen(given: Sequence[Reals], *others: Any) -> Any:
        seen.append(given)
        return teach(given, *others)

    monkeypatch.setattr(translate, "teach", listen)
    return seen


@pytest.mark.parametrize(("sensor", "start"), [("depth", "zero"), ("nir", "identity")])
def test_the_way_back_is_that_of_a_source_model_made_of_the_same_images(
    sensor: str, start: str, model: Path, tiny: Tiny, opinions: list[Sequence[Reals]], tmp_path: Path
) -> None:
    """Generic features of the images, to frames: whatever network the model itself is."""
    given = tiny.inputs
    if sensor == "nir":
        given = run_inputs(write_small_data(tmp_path / "nir", "nir"))
    config = tiny.config(*TRANSLATE, f"translation.start={start}")
    adapt(given, load_sensor(sensor), tmp_path / "made", config)
    adapt(
        dataclasses.replace(given, source_model=str(model)), load_sensor(sensor), tmp_path / "imported", config,
        source_options=options(model),
    )  # fmt: skip
    (_, made), (_, imported) = opinions
    np.testing.assert_allclose(imported, made, rtol=1e-3, atol=1e-3 * np.abs(made).max())


def test_a_run_that_was_killed_goes_on_with_the_same_images(
    at: Finished, model: Path, tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before their features were stored they are computed; afterwards they are there."""
    images, out, whole = at.images, tmp_path / "run", Run(at.out).source
    inputs = dataclasses.replace(beside(tiny, model), source=str(images))
    shutil.copytree(at.out, out)
    (out / "report.json").unlink()
    Run(out).target.unlink()
    run(tiny, inputs, out, options(model), *TRANSLATE, resume=True)
    assert "features of 12 of 12 labelled images are kept" not in capsys.readouterr().err
    assert differing_tensors(Run(out).source, whole) == []
    (out / "report.json").unlink()
    Run(out).target.unlink()
    blank = tmp_path / "blank.safetensors"  # as it lay there first
    import_source(model, blank, options(model))
    shutil.copyfile(blank, Run(out).source)
    run(tiny, inputs, out, options(model), *TRANSLATE, resume=True)
    assert "features of 12 of 12 labelled images are kept" in capsys.readouterr().err
    assert differing_tensors(Run(out).source, whole) == []
    first = next(images.rglob("*.png"))
    first.rename(tmp_path / first.name)
    try:
        with pytest.raises(ConfigError, match=r"`source`: then 12 with sha256 .*, now 11 with"):
            run(tiny, inputs, out, options(model), *TRANSLATE, resume=True)
    finally:
        (tmp_path / first.name).rename(first)


def test_features_of_other_weights_or_another_size_are_refused(
    model: Path, tiny: Tiny, tmp_path: Path
) -> None:
    file, source = tmp_path / "source.safetensors", Path(str(tiny.inputs.source))
    import_source(
        model,
        file,
        options(model),
        source=source,
        weights=str(tiny.weights),
        image_size=SIDE,
        device="cpu",
        precision="fp32",
    )
    inputs = dataclasses.replace(tiny.inputs, source=None, source_model=str(file))
    with pytest.raises(UsageError, match=r"`image_size=64`: .* 12 of its labelled images at 32 pixels"):
        run(tiny, inputs, tmp_path / "run", None, *TRANSLATE, "image_size=64")
    with pytest.raises(UsageError, match=r"by weights with sha256 .*, and now there are none"):
        run(tiny, inputs, tmp_path / "run", None, *TRANSLATE, "weights=none")
    state = load_file(tiny.weights)
    state["conv1.weight"] = state["conv1.weight"] * 1.01
    changed = tmp_path / "other.safetensors"
    save_file(state, changed)
    with pytest.raises(UsageError, match=r"Give the `weights` that it was imported with, or give `set_="):
        run(tiny, inputs, tmp_path / "run", None, *TRANSLATE, f"weights={changed}")
    assert not (tmp_path / "run").exists()
    report = run(
        tiny, inputs, tmp_path / "run", None, *TRANSLATE, f"weights={changed}", "translation.reverse=0"
    )
    assert (report["translation"]["opinions"], report["translation"]["way_back"]) == (1, 0)


def test_images_without_use_are_refused_before_anything_is_written(
    model: Path, tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    inputs, out = beside(tiny, model), tmp_path / "run"
    with pytest.raises(UsageError, match=r"only a translation of features learns from it.*`method=shot`"):
        run(tiny, inputs, out, options(model), "method=shot")
    with pytest.raises(UsageError, match="features are computed by ImageNet weights, and there are none"):
        run(tiny, inputs, out, options(model), *TRANSLATE, "weights=none")
    missing = f"weights={tmp_path / 'no.safetensors'}"  # where "none" would be refused, it is not offered
    with pytest.raises(UsageError, match=r"no such file\. Expected imagenet or a safetensors file\.$"):
        run(tiny, inputs, out, options(model), *TRANSLATE, missing)
    with pytest.raises(UsageError, match="was trained by this program"):
        run(tiny, beside(tiny, finished.source), out, None, *TRANSLATE)
    renamed = tmp_path / "rgb"
    shutil.copytree(str(tiny.inputs.source), renamed)
    (renamed / "kitchen").rename(renamed / "kitchens")
    with pytest.raises(DataError, match="classes that the source model does not have: kitchens"):
        run(tiny, dataclasses.replace(inputs, source=str(renamed)), out, options(model), *TRANSLATE)
    assert not out.exists()
