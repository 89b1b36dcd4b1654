"""What a borrowed GPU can show within minutes: every figure in a file of its own, as soon as it is there.

    PYTHONPATH=. python benchmarks/gpu.py --minutes 8 -o results [--device cuda] [--tiny]

Jobs run one after the other, in order of worth, each a process of its own with a limit of its own, and never beyond the
minutes that are given; a cut leaves what was done. Each writes ``NN-name.json`` (state, seconds, command, figures, the
end of its output), and ``summary.md`` is written again after each. What needs a library, data or a GPU that is not
there is skipped with the reason. Nothing is installed and nothing is downloaded: a plain checkout and its torch do.

Real data is looked for where ``TGKT_EDGE_DATA`` says, with ImageNet weights in
``resnet50-imagenet1k-fp16.safetensors`` beside it. ``--tiny`` takes scenes that it renders itself, at 32 pixels: with
``--device cpu`` a dry run of about two minutes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "benchmarks" / "datasets.py"
WEIGHTS = "resnet50-imagenet1k-fp16.safetensors"

LEAST_S = 5.0
"""Seconds that must be left for a job to begin."""

TAIL = 4000
"""Characters of a job's output that are kept."""


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
            lambda: _missing("pytest") or ("" if gpu else "they need a GPU"),
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
    return Job(job.name, job.words, 90, lambda: why or _missing("triton"), job.figures)


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
        more = ["--method", "translate", "--set", "translation.force=true", "--set", "source.epochs=1"]
    else:
        code = (
            "import sys; sys.path.insert(0, 'benchmarks'); from pathlib import Path; from datasets import prepare; "
            "prepare(sys.argv[1], Path(sys.argv[2]))"
        )
        lacks = "" if place.data.is_dir() else f"no real data at {place.data}: TGKT_EDGE_DATA names it"
        data = Job(f"data-{name}", ["-c", code, name, str(folder.parent)], 60, lambda: lacks)
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
        return _missing("onnx", "onnxruntime") or (
            "" if (run / "report.json").is_file() else "there is no finished run"
        )

    def lacks_trt() -> str:
        return ("" if gpu else "it needs a GPU") or _missing("tensorrt") or lacks_run()

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


def _missing(*modules: str) -> str:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


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


def perform(job: Job, left: float) -> dict[str, Any]:
    """Run a job for at most ``left`` seconds; returns what its file holds."""
    about: dict[str, Any] = {"name": job.name, "command": ["python", *job.words]}
    why = job.lacks()
    if not why and left < LEAST_S:
        why = "no time is left"
    if why:
        return {**about, "state": "skipped", "reason": why, "seconds": 0.0}
    limit, start = min(job.limit, left), time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *job.words], cwd=ROOT, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    state, reason = "done", ""
    try:
        output, log = process.communicate(timeout=limit)
        if process.returncode:
            state, reason = "failed", f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and what it started
        output, log = process.communicate()
        state, reason = "cut", f"took longer than {limit:.0f} s"
    return {
        **about,
        "state": state,
        "reason": reason,
        "seconds": round(time.monotonic() - start, 1),
        "figures": job.figures(output),
        "output": output[-TAIL:],
        "log": log[-TAIL:],
    }


def refuse_missing(device: str) -> None:
    """Raise SystemExit where nothing could be measured: no torch, or no GPU."""
    if missing := _missing("torch"):
        raise SystemExit(missing)
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"--device {device}: torch sees no GPU. --device cpu --tiny tries this program out.")


def machine(device: str) -> dict[str, Any]:
    """What the figures are of."""
    import torch

    about: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device,
        "cpus": os.cpu_count(),
    }
    if device != "cpu" and torch.cuda.is_available():
        found = torch.cuda.get_device_properties(device)
        about |= {
            "gpu": found.name,
            "memory_gib": round(found.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return about


def summary(about: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a job, then the figures of each."""
    lines = ["# On a borrowed GPU", "", ", ".join(f"{key} {value}" for key, value in about.items()), ""]
    lines += ["| job | state | seconds | why |", "|---|---|---|---|"]
    lines += [f"| {one['name']} | {one['state']} | {one['seconds']} | {one['reason']} |" for one in results]
    for one in results:
        if one.get("figures") is not None:
            lines += ["", f"## {one['name']}", "", "```json", json.dumps(one["figures"], indent=1), "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the jobs, in order, while there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="all together")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for results, made where it is missing"
    )
    parser.add_argument("--work", type=Path, help="folder for runs and bundles (default: OUT/work)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--tiny", action="store_true", help="a dry run on scenes that it renders, at 32 pixels"
    )
    parser.add_argument("--only", nargs="+", default=[], help="jobs whose name begins with one of these")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    refuse_missing(args.device)
    place = Place(args.out.resolve(), (args.work or args.out / "work").resolve(), args.device, args.tiny)
    place.work.mkdir(parents=True, exist_ok=True)
    place.out.mkdir(parents=True, exist_ok=True)
    about, results = machine(args.device), list[dict[str, Any]]()
    chosen = [job for job in jobs(place) if not args.only or job.name.startswith(tuple(args.only))]
    for number, job in enumerate(chosen, 1):
        found = perform(job, end - time.monotonic())
        results.append(found)
        (place.out / f"{number:02}-{job.name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        (place.out / "summary.md").write_text(summary(about, results), encoding="utf-8")
        print(f"{job.name}: {found['state']} in {found['seconds']} s {found['reason']}", flush=True)


if __name__ == "__main__":
    main()
