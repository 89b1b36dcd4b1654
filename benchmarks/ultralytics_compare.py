"""The same ResNet-50 in ``tgkt-edge run`` and in ultralytics' ``predict``: frames per second on the same machine.

    python benchmarks/ultralytics_compare.py --venv DIR [--precision fp32] [--rounds 7] [--frames 40]

Both run one network with the same random weights on ONNX Runtime, CPU, with batch 1, from frames that lie in memory,
each in a process of its own and in turn; goal: ours at least 1.3 times theirs. What differs lies in what each is made
for:

- ours reads one channel of 16-bit counts with holes, checks them, watches the sensor's health, averages areas over
  valid pixels only, decides, and writes a JSON line for each frame; capture overlaps with inference, and as frames of
  files are, so many are inferred side by side as there are cores;
- theirs reads the same frames as three channels of 8 bits, converted before the clock starts, resizes the shorter side
  and crops, infers one after the other with ONNX Runtime's default threads, and yields a Results object for each
  frame, from which class and probability are read.

With ``--precision int8-cpu`` ours runs quantised and theirs stays in FP32, as its ONNX export writes it unless told
otherwise: then the ratio holds what 8 bits gain on this processor, too.

ultralytics (AGPL-3.0) is run as a program, in an environment of its own at DIR; nothing of it is imported here or part
of tgkt-edge. If DIR does not exist it is made: ultralytics from the package index, all else shared with this
interpreter's environment, so that PyTorch is not downloaded again. Takes about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from run_overhead import export_resnet50, quantise_for_cpu, speed_of_run, synthetic_frames

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import open_engine
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.sensor import SensorSpec

# Without their dependencies: those that importing and predicting need and that are not in this environment.
PACKAGES = (
    "ultralytics", "ultralytics-thop", "psutil", "py-cpuinfo", "requests", "urllib3", "idna", "certifi",
    "charset-normalizer",
)  # fmt: skip

# Runs in the other environment. Each line on stdin is a round; the answer is its seconds and the classes found.
THEIRS = """
import json, sys, time
import numpy as np
import ultralytics
model = ultralytics.YOLO(sys.argv[1], task="classify")
frames = list(np.load(sys.argv[2]))
count = int(sys.argv[3])
for frame in frames[:2]:
    model.predict(frame, verbose=False, device="cpu")
print(json.dumps({"version": ultralytics.__version__}), flush=True)
for line in sys.stdin:
    begin, found = time.perf_counter(), []
    for number in range(count):
        result = model.predict(frames[number % len(frames)], verbose=False, device="cpu")[0]
        found.append((result.names[result.probs.top1], float(result.probs.top1conf)))
    print(json.dumps({"seconds": time.perf_counter() - begin, "found": found}), flush=True)
"""


def environment(folder: Path) -> Path:
    """The interpreter of the environment at ``folder``, made if it does not exist."""
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"installing ultralytics into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        (own,) = folder.glob("lib/python*/site-packages")
        (own / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES], check=True)
    return python


def export_theirs(path: Path, classes: int) -> None:
    """The network of ``export_resnet50`` after the same seed, as ultralytics wants it: (1, 3, 224, 224) in."""
    import onnx
    import torch
    import torchvision

    torch.manual_seed(0)
    backbone = torchvision.models.resnet50(weights=None, num_classes=classes)
    network = torch.nn.Sequential(backbone, torch.nn.Softmax(dim=1)).eval()
    torch.onnx.export(
        network,
        (torch.rand(1, 3, 224, 224),),
        path,
        input_names=["images"],
        output_names=["output0"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    model = onnx.load(path)
    metadata = {
        "task": "classify",
        "stride": "1",
        "batch": "1",
        "imgsz": "[224, 224]",
        "names": str({number: f"class {number}" for number in range(classes)}),
    }
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)


def eight_bit(frame: NDArray[Any], spec: SensorSpec) -> NDArray[np.uint8]:
    """(H, W) raw counts to (H, W, 3) uint8, the sensor's range on 0 to 255."""
    low, high = spec.range
    unit = np.clip((spec.decode(frame) - low) / (high - low), 0, 1)
    return np.repeat(np.rint(unit * 255).astype(np.uint8)[..., np.newaxis], 3, axis=2)


class Theirs:
    """ultralytics in its process, a round at a time; a context manager."""

    def __init__(self, python: Path, model: Path, frames: Path, count: int, home: Path) -> None:
        # No question to the network, no installation, no settings left in the user's home.
        quiet = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(home)}
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            [python, "-c", THEIRS, model, frames, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, **quiet},
        )
        self.version = str(self._answer()["version"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # it also talks to people
                answer: dict[str, Any] = json.loads(line)
                return answer
        self._process.communicate()
        raise RuntimeError(f"ultralytics ended with code {self._process.returncode}")

    def round(self) -> dict[str, Any]:
        """Seconds of one round, and (class, probability) of each frame."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Theirs:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=60)


def compare(
    python: Path, folder: Path, precision: str, rounds: int, count: int, width: int, height: int
) -> float:
    """Print frames per second of both, round by round; return the ratio of their medians."""
    import torch

    torch.manual_seed(0)
    bundle: Bundle = export_resnet50(folder)
    export_theirs(folder / "theirs.onnx", len(bundle.classes))
    frames = synthetic_frames(bundle.sensor, width, height)
    np.save(folder / "frames.npy", np.stack([eight_bit(frame, bundle.sensor) for frame in frames]))
    if precision != "fp32":
        bundle = quantise_for_cpu(bundle, frames)
    engine = open_engine(bundle, precision, lanes=lanes_for_files())
    ours, theirs = [], []
    files = (folder / "theirs.onnx", folder / "frames.npy")
    with Theirs(python, *files, count, folder) as other:
        for number in range(rounds):
            ours.append(speed_of_run(bundle, engine, frames, count))
            answer = other.round()
            assert len(answer["found"]) == count
            assert all(name in bundle.classes for name, _ in answer["found"])
            theirs.append(count / answer["seconds"])
            print(
                f"round {number + 1}: ours {ours[-1]:.2f} fps, ultralytics {theirs[-1]:.2f} fps", flush=True
            )
        version = other.version
    engine.close()
    ratio: float = statistics.median(ours) / statistics.median(theirs)
    print(
        f"median of {rounds} rounds of {count} frames of {width}x{height}, ResNet-50 at 224: ours "
        f"{statistics.median(ours):.2f} fps ({precision}, 16-bit, one channel), ultralytics {version} "
        f"{statistics.median(theirs):.2f} fps (fp32, 8-bit, three channels), ratio {ratio:.2f} (goal >= 1.3)"
    )
    return ratio


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--venv", type=Path, required=True, help="environment of ultralytics; made if missing"
    )
    parser.add_argument("--precision", choices=["fp32", "int8-cpu"], default="fp32", help="of ours")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    given = parser.parse_args()
    python = environment(given.venv.absolute())
    with tempfile.TemporaryDirectory() as folder:
        compare(python, Path(folder), given.precision, given.rounds, given.frames, given.width, given.height)


if __name__ == "__main__":
    main()
