"""What each precision costs and brings on this CPU: FP32 of the peer, FP32, FP16 and INT8 of ours.

    python benchmarks/precision.py WORK/nyuv2-5-0 WORK/epfl-6-0 --data WORK/csv [--size 224] [--rounds 15] [--threads 2]

Each argument is a run folder of ``benchmarks/real.py``; its name begins with the data set's, whose labelled frames
lie in NAME-labelled.csv or NAME/labels.csv in ``--data``. Each run is exported with every precision and passed through
the gate at its own size, on every labelled frame: agreement with FP32 and accuracy come from there.

Times are of one frame, batch 1, at ``--size``, on real frames: the same weights exported for that size. All files run
in this process in turn, so that a change of clock or load meets all of them; before a file is timed it runs until the
threads of the one before no longer spin. The peer is bare ONNX Runtime on
torchvision's plain ResNet-50, three channels in. The bound is the time that as many multiply-adds take at the rate of
float32 matrix multiplication in ONNX Runtime, measured in the same rounds.
Goals: INT8 at least 2.7 times as fast as FP32, the same class on 98 % and accuracy within 1 point; our FP32 at least
as fast as the peer and within 1.3 times the bound. Takes about 10 minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torchvision
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.data.loading import load_labelled_frames
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.evaluation.engine_timing import settle
from tgkt_edge.export.export import describe, export
from tgkt_edge.export.fp16 import write_fp16
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.export.int8 import quantise
from tgkt_edge.export.int8_calibration import calibrate
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.run_folder.folder import Run

PRECISIONS = ("fp16", "int8", "int8-cpu")
MATMUL = 1024  # side of the matrices of the bound


def labelled_csv(data: Path, name: str) -> Path:
    """The labelled frames of a data set."""
    for path in (data / f"{name}-labelled.csv", data / name / "labels.csv"):
        if path.is_file():
            return path
    raise SystemExit(f"{data}: neither {name}-labelled.csv nor {name}/labels.csv")


def multiply_adds(model: onnx.ModelProto) -> int:
    """Of all convolutions and fully connected layers, for one frame. Shapes are inferred, the batch being free."""
    inferred = onnx.shape_inference.infer_shapes(model)
    weights = {weight.name: list(weight.dims) for weight in inferred.graph.initializer}
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.output)
    }
    total = 0
    for node in inferred.graph.node:
        if node.op_type == "Conv":
            height, width = shapes[node.output[0]][2:]
            total += height * width * int(np.prod(weights[node.input[1]]))
        elif node.op_type in ("Gemm", "MatMul"):
            total += int(np.prod(weights[node.input[1]]))
    return total


def matmul_file(path: Path) -> int:
    """Write a graph of one float32 matrix multiplication; return its multiply-adds."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.standard_normal((MATMUL, MATMUL)).astype(np.float32), "w")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [MATMUL, MATMUL])
        for name in ("frame", "logits")
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["frame", "w"], ["logits"])], "matmul", ends[:1], ends[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save_model(model, str(path))
    return MATMUL**3


def peer_file(path: Path, size: int) -> None:
    """torchvision's ResNet-50 as it comes, in FP32."""
    network = torchvision.models.resnet50(weights=None).eval()
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            network, (torch.rand(2, 3, size, size),), str(path), dynamo=True, input_names=["frame"],
            output_names=["logits"], verbose=False, opset_version=18, external_data=False,
            dynamic_shapes={"x": {0: torch.export.Dim("batch", min=1)}},
        )  # fmt: skip


def session(path: Path, threads: int | None) -> Any:
    """Bare ONNX Runtime."""
    import onnxruntime  # after tgkt_edge, which switches its telemetry off

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def caller(opened: Any, feeds: list[NDArray[np.float32]]) -> Callable[[int], object]:
    """A call that runs one of ``feeds`` by its number."""
    return lambda number: opened.run(["logits"], {"frame": feeds[number % len(feeds)]})


def in_turns(calls: dict[str, Callable[[int], object]], rounds: int, repeats: int = 5) -> dict[str, float]:
    """Median seconds of each call over ``rounds`` times ``repeats``; each takes the number of a frame."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name, call in calls.items():
            settle(partial(call, number))
            for repeat in range(repeats):
                begin = time.perf_counter()
                call(number * repeats + repeat)
                seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure_speed(run: Path, frames: NDArray[np.float32], rounds: int, threads: int | None) -> list[str]:
    """Time every file of a run's network at the size of ``frames`` (N, 1, S, S). Returns lines of a table."""
    size = frames.shape[-1]
    model, header = load_classifier(Run(run).target, "target")
    assert header.sensor is not None
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        files = {name: folder / f"{name}.onnx" for name in ("peer", "plain", "fp32", *PRECISIONS, "matmul")}
        deployed = Deployed(model)
        peer_file(files["peer"], size)
        export_onnx(deployed, files["plain"], size, header.classes, header.sensor, fold=False)
        export_onnx(deployed, files["fp32"], size, header.classes, header.sensor)
        write_fp16(files["fp32"], files["fp16"])
        ranges = calibrate(files["fp32"], frames[:32], "minmax").ranges  # times do not depend on the ranges
        for form in ("int8", "int8-cpu"):
            onnx.save_model(quantise(files["fp32"], ranges, form), str(files[form]))
        work = {"matmul": matmul_file(files["matmul"])}
        work |= {name: multiply_adds(onnx.load(str(files[name]))) for name in ("peer", "plain", "fp32")}
        square = np.random.default_rng(1).standard_normal((MATMUL, MATMUL)).astype(np.float32)
        calls: dict[str, Callable[[int], object]] = {}
        for name, path in files.items():
            opened = session(path, threads)
            feeds = [square] if name == "matmul" else [frame[np.newaxis] for frame in frames]
            if name == "peer":
                feeds = [np.repeat(feed, 3, axis=1) for feed in feeds]
            calls[name] = caller(opened, feeds)
        found = in_turns(calls, rounds)
    rate = work["matmul"] / found["matmul"]
    bound = work["fp32"] / rate
    lines = [
        f"one frame of {size} pixels, {threads or 'all'} threads, {rounds} rounds",
        f"matmul of {MATMUL}: {rate / 1e9:.1f} G multiply-adds a second",
        f"multiply-adds a frame: our FP32 {work['fp32'] / 1e9:.3f} G, the peer {work['peer'] / 1e9:.3f} G",
        "",
        "| file | ms | speed against our FP32 |",
        "|---|---|---|",
    ]
    names = {"peer": "torchvision ResNet-50, FP32", "plain": "our network, nothing folded"}
    for name in ("peer", "plain", "fp32", *PRECISIONS):
        lines.append(
            f"| {names.get(name, name)} | {1000 * found[name]:.2f} | {found['fp32'] / found[name]:.2f} |"
        )
    lines += [
        f"INT8 for CPUs against FP32: {found['fp32'] / found['int8-cpu']:.2f} times as fast (goal 2.7)",
        f"our FP32 against the peer: {found['peer'] / found['fp32']:.3f} times as fast (goal 1)",
        f"our FP32 against its multiply-adds at matmul speed: {found['fp32'] / bound:.2f} times the time (goal 1.3)",
    ]
    return lines


def measure_accuracy(run: Path, labelled: Path, out: Path, method: str, max_drop: float) -> list[str]:
    """Export every precision of a run and pass it through the gate on all labelled frames. Returns lines."""
    made = export(
        run, out, precisions=PRECISIONS, calibrate=labelled, labels=labelled, calibration_method=method,
        max_drop=max_drop, skip_bad=True, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    found = made.verification.get("int8-cpu", {})
    lines = [f"{run.name}, {made.size} pixels, calibration {method}", *describe(made)[1:]]
    if "top1_agreement" in found:
        lines.append(
            f"INT8 for CPUs: same class on {found['top1_agreement']:.2%} (goal 98), accuracy {found['accuracy']:.2%} "
            f"against {found['reference_accuracy']:.2%} (goal: within 1 point)"
        )
    return lines


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with the labelled CSVs")
    parser.add_argument("--size", type=int, default=224, help="of the frames that are timed")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="default: what ONNX Runtime takes")
    parser.add_argument("--method", default="percentile", help="as export --calibration-method")
    parser.add_argument("--max-drop", type=float, default=0.01)
    parser.add_argument("--skip", choices=("speed", "accuracy"), action="append", default=[])
    args = parser.parse_args()
    first = args.runs[0]
    if "speed" not in args.skip:
        name = first.name.rpartition("-")[0]
        _, header = load_classifier(Run(first).target, "target")
        assert header.sensor is not None
        known = load_labelled_frames(
            labelled_csv(args.data, name),
            header.sensor,
            resize_side(args.size),
            header.classes,
            skip_bad=True,
        )
        frames = network_inputs(known.codes[:: max(1, len(known) // 32)], args.size)
        print("\n".join(measure_speed(first, frames, args.rounds, args.threads)), flush=True)
    if "accuracy" not in args.skip:
        for run in args.runs:
            labelled = labelled_csv(args.data, run.name.rpartition("-")[0])
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "bundle"
                lines = measure_accuracy(run, labelled, out, args.method, args.max_drop)
                size = sum(file.stat().st_size for file in Bundle.open(out).path.glob("model.int8-cpu.onnx"))
            print("\n".join([*lines, f"model.int8-cpu.onnx: {size / 1e6:.1f} MB"]), flush=True)


if __name__ == "__main__":
    main()
