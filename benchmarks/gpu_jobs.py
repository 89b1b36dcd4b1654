"""What ``gpu.py`` measures, in order of worth: the command of each job, its limit, what it needs and its figures."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = "resnet50-imagenet1k-fp16.safetensors"


@dataclass(frozen=True)
class Job:
    """Something to measure.

    Attributes:
        name: of the file. words: what Python is given. limit: seconds.
        lacks: why it cannot run here; an empty text: it can. Asked when its turn comes.
        figures: what it found, from what it printed on stdout or wrote into files.
    """

    name: str
    words: Sequence[str]
    limit: float
    lacks: Callable[[], str] = lambda: ""
    figures: Callable[[str], Any] = lambda _: None


@dataclass(frozen=True)
class Place:
    """Where and how everything runs: ``out`` for results, ``work`` for runs and bundles."""

    out: Path
    work: Path
    device: str
    tiny: bool

    @property
    def size(self) -> int:
        """Pixels of the networks' input."""
        return 32 if self.tiny else 224

    @property
    def data(self) -> Path:
        """Of real data."""
        return Path(os.environ.get("TGKT_EDGE_DATA", ROOT.parent / "shared" / "data"))

    @property
    def weights(self) -> str:
        """Of the backbone: real ones where they lie beside the data."""
        file = self.data / WEIGHTS
        return str(file) if file.is_file() and not self.tiny else "none"


def jobs(place: Place) -> list[Job]:
    """All of them, in order of worth."""
    gpu = "" if place.device == "cpu" else f"on {place.device}"
    first = "demo" if place.tiny else "nyuv2-5"
    found = [
        Job(
            "tests", ["-m", "pytest", "tests", "-m", "hardware", "-q", "-p", "no:cacheprovider"], 90,
            lambda: missing("pytest") or ("" if gpu else "they need a GPU"),
        ),
        *_stages(place, 4 if place.tiny else 32),
        *_adaptation(place, first),
        *([] if place.tiny else _adaptation(place, "epfl-6")),
        *_bundle(place, first),
    ]  # fmt: skip
    return [*found, *([] if place.tiny else _stages(place, 256)), _compiled(place)]


def _overhead(place: Place, name: str, batch: int, precision: str, *more: str) -> Job:
    file = place.work / f"{name}.json"
    steps = ["--steps", "2", "--rounds", "1", "--epochs", "1"] if place.tiny else ["--rounds", "2"]
    return Job(
        name,
        [
            "benchmarks/train_overhead.py", "--size", str(place.size), "--batch", str(batch), *steps,
            "--device", place.device, "--precision", precision, "--json", str(file), *more,
        ],
        60,
        figures=lambda _: _read(file),
    )  # fmt: skip


def _stages(place: Place, batch: int) -> list[Job]:
    """Images per second of each stage and of its bare loop, in each precision."""
    precisions = ("fp32",) if place.tiny else ("bf16", "fp32")
    return [_overhead(place, f"stages-{batch}-{one}", batch, one) for one in precisions]


def _compiled(place: Place) -> Job:
    job = _overhead(place, "compiled", 4 if place.tiny else 32, "fp32" if place.tiny else "bf16", "--compile")
    why = "compiling takes longer than a dry run has" if place.tiny else ""
    return Job(job.name, job.words, 90, lambda: why or missing("triton"), job.figures)


def _adaptation(place: Place, name: str) -> list[Job]:
    """Data, a whole adaptation, and its accuracy."""
    folder, run = place.work / "data" / name, place.work / "runs" / name
    if name == "demo":
        code = (
            "import sys; from pathlib import Path; from tgkt_edge.demo.write import write_demo_data; "
            "write_demo_data(Path(sys.argv[1]), source_per_class=2, target_per_class=2, pairs_per_class=2, "
            "clip_frames=6, width=40, height=30)"
        )
        data = Job("data-demo", ["-c", code, str(folder)], 60)
        inputs = {"--source": folder / "source", "--target": folder / "target", "--paired": folder / "paired"}
        sensor, labelled = "depth", folder / "target_labels.csv"
        quick = (
            "translation.force=true",
            "translation.views=1",
            "translation.encodings=plain",
            "source.epochs=1",
        )
        more = ["--method", "translate", *(word for one in quick for word in ("--set", one))]
    else:
        lacks = "" if place.data.is_dir() else f"no real data at {place.data}: TGKT_EDGE_DATA names it"
        data = Job(f"data-{name}", ["benchmarks/datasets.py", name, str(folder.parent)], 60, lambda: lacks)
        inputs = {f"--{one}": folder / f"{one}.csv" for one in ("source", "target", "paired")}
        sensor, labelled = str(folder / "sensor.yaml"), folder / "labels.csv"
        more = []
    words = [word for flag, path in inputs.items() for word in (flag, str(path))]
    return [
        data,
        Job(
            f"adapt-{name}",
            [
                "-m", "tgkt_edge", "adapt", *words, "--sensor", sensor, "-o", str(run), "--overwrite",
                "--image-size", str(place.size), "--device", place.device, "--weights", place.weights, *more,
            ],
            180,
            lambda: "" if folder.is_dir() else "its data is not there",
            lambda _: _report(run),
        ),
        Job(
            f"accuracy-{name}",
            [
                "-m", "tgkt_edge", "evaluate", str(run), "--data", str(labelled), "--device", place.device,
                "--json",
            ],
            60,
            lambda: "" if (run / "report.json").is_file() else "there is no finished run",
            _parse,
        ),
    ]  # fmt: skip


def _bundle(place: Place, name: str) -> list[Job]:
    """The exported network on ONNX Runtime, and on TensorRT."""
    run, plain, plans = (place.work / "runs" / name, place.work / "bundle", place.work / "bundle-trt")
    target = place.work / "data" / name / ("target" if name == "demo" else "target.csv")

    def lacks_run() -> str:
        return missing("onnx", "onnxruntime") or (
            "" if (run / "report.json").is_file() else "there is no finished run"
        )

    def lacks_trt() -> str:
        return ("" if gpu else "it needs a GPU") or missing("tensorrt") or lacks_run()

    gpu = place.device != "cpu"
    timed = ["--seconds", "1" if place.tiny else "4", "--rounds", "2" if place.tiny else "8"]

    def timing(bundle: Path, name: str, *more: str) -> Job:
        file = place.work / f"{name}.json"
        return Job(
            name, ["-m", "tgkt_edge", "benchmark", str(bundle), *timed, *more, "--json", str(file)], 120,
            lambda: "" if (bundle / "manifest.json").is_file() else lacks_run() or "there is no bundle",
            lambda _: _read(file),
        )  # fmt: skip

    return [
        Job("export", ["-m", "tgkt_edge", "export", str(run), "-o", str(plain), "--overwrite"], 90, lacks_run),
        timing(plain, "onnxruntime", "--batch", "1", *(() if place.tiny else ("--batch", "32"))),
        Job(
            "tensorrt-build",
            [
                "-m", "tgkt_edge", "export", str(run), "-o", str(plans), "--overwrite",
                "--calibrate", str(target), "--trt",
            ],
            240,
            lacks_trt,
        ),
        timing(plans, "tensorrt", "--engine", "tensorrt", "--batch", "1", "--batch", "8", "--frames", str(target)),
    ]  # fmt: skip


def missing(*modules: str) -> str:
    """Why nothing runs that needs these; an empty text: all are installed."""
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _read(file: Path) -> Any:
    try:
        return _parse(file.read_text(encoding="utf-8"))
    except OSError:
        return None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _report(run: Path) -> Any:
    report = _read(run / "report.json")
    return None if report is None else {key: report[key] for key in ("stages", "predicted", "verdict")}
