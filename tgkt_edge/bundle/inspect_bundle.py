"""``tgkt-edge inspect``: what a bundle, run, ONNX file, plan or checkpoint holds. Needs no other library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MODEL_FILES, RAW_FILES, Bundle
from tgkt_edge.bundle.engines import FOLDER, here
from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.bundle.inspect_engine import describe_plan, inspect_plan
from tgkt_edge.bundle.inspect_weights import describe_run, describe_weights, inspect_run, inspect_weights
from tgkt_edge.bundle.onnx_file import read_onnx
from tgkt_edge.errors import BundleError, IncompatibleError, UsageError
from tgkt_edge.io.addresses import redacted


def inspect(path: Path | str) -> dict[str, Any]:
    """Look at a file or folder.

    Args:
        path: bundle or run folder, ONNX file, TensorRT plan, or safetensors.

    Returns:
        ``kind`` ("bundle", "onnx", "plan", "run", "checkpoint" or "safetensors") and its fields; of a bundle
        and a plan also ``problems``: files that are missing or altered, each in words.

    Raises:
        UsageError: (exit 2) nothing is there. IncompatibleError, BundleError: (exit 4) it is none of these, damaged, or
            cannot be read.
    """
    path = Path(path)
    try:
        found = file_kind(path)
    except OSError as error:
        raise IncompatibleError(f"{path} cannot be read: {error.strerror or error}") from error
    if found.name == "missing":
        raise UsageError(
            f"{redacted(str(path))}: no such file or folder. Expected a bundle, a run, an ONNX file, a TensorRT plan "
            "or safetensors."
        )
    if found.name == "bundle":
        return _bundle(path)
    if found.name == "run":
        return inspect_run(path)
    if found.name in ("checkpoint", "safetensors"):
        return inspect_weights(path, found)
    if found.name == "plan":
        return inspect_plan(path)
    if found.name == "onnx" or (found.name == "unknown" and path.suffix == ".onnx"):
        return _onnx(path)
    expected = ""
    if found.name == "unknown":
        expected = " Expected a bundle, a run, an ONNX file, a TensorRT plan or safetensors."
    raise IncompatibleError(f"{path}: {found}{expected}")


def _bundle(path: Path) -> dict[str, Any]:
    bundle = Bundle.open(path)
    problems, models, raw_models, plans = [], {}, {}, {}
    machine = None
    for name in bundle.files:
        try:
            bundle.file(name)
        except BundleError as error:
            problems.append(str(error))
            continue
        for precision, file in MODEL_FILES.items():
            if file == name:
                models[precision] = _onnx(path / name)
        for precision, file in RAW_FILES.items():
            if file == name:
                raw_models[precision] = _onnx(path / name)
        if name.startswith(f"{FOLDER}/") and name.endswith(".plan"):
            machine = machine or here()
            try:
                plans[name] = inspect_plan(path / name, machine)
            except BundleError as error:
                problems.append(str(error))
                continue
            problems += plans[name]["problems"]
    return {
        "kind": "bundle",
        "tool": bundle.tool_version,
        "classes": list(bundle.classes),
        "sensor": bundle.sensor.to_dict(),
        "size": bundle.size,
        "files": dict(bundle.files),
        "models": models,
        "raw": dict(bundle.raw),
        "raw_models": raw_models,
        "plans": plans,
        "provenance": dict(bundle.provenance),
        "verification": dict(bundle.verification),
        "calibration": dict(bundle.calibration),
        "maps": None if bundle.maps is None else list(bundle.maps),
        "problems": problems,
    }


def _onnx(path: Path) -> dict[str, Any]:
    info = read_onnx(path)

    def tensors(of: dict[str, Any]) -> dict[str, Any]:
        return {name: {"dtype": tensor.dtype, "shape": list(tensor.shape)} for name, tensor in of.items()}

    return {
        "kind": "onnx",
        "bytes": info.bytes,
        "precision": info.precision,
        "opset": info.opset,
        "other_opsets": info.other_opsets,
        "ir_version": info.ir_version,
        "producer": info.producer,
        "inputs": tensors(info.inputs),
        "outputs": tensors(info.outputs),
        "parameters": info.parameters,
        "parameter_bytes": info.parameter_bytes,
        "weights": dict(info.weight_types),
        "operators": dict(info.operators.most_common()),
        "metadata": info.metadata,
    }


def describe(seen: dict[str, Any], path: Path) -> list[str]:
    """What :func:`inspect` returned, as lines for a person."""
    if seen["kind"] == "plan":
        return [_plan_line(seen, str(path)), *describe_plan(seen)]
    if seen["kind"] == "run":
        return describe_run(seen, path)
    if seen["kind"] in ("checkpoint", "safetensors"):
        return describe_weights(seen, path)
    if seen["kind"] == "onnx":
        return [f"{path}: {_model_line(seen)}", *_model_lines(seen)]
    sensor = {key: value for key, value in seen["sensor"].items() if value is not None}
    lines = [
        f"{path}: bundle of tgkt-edge {seen['tool']}",
        f"  classes  {', '.join(seen['classes'])}",
        f"  sensor   {', '.join(f'{key} {value}' for key, value in sensor.items())}",
        f"  input    {seen['size']} pixels",
    ]
    if seen["calibration"]:
        lines.append(f"  answers  logits divided by {seen['calibration']['temperature']:.3g} (calibrated)")
    if seen["maps"]:
        lines.append(f"  maps     {seen['maps'][0]} x {seen['maps'][1]} places of evidence for each class")
    for precision, model in seen["models"].items():
        lines.append(f"  {precision:<8} {MODEL_FILES[precision]}: {_model_line(model)}")
    for precision, model in seen["raw_models"].items():
        lines.append(f"  raw      {RAW_FILES[precision]}: {_model_line(model)}")
    for name, plan in seen["plans"].items():
        lines += [f"  {_plan_line(plan, name)}", *(f"  {line}" for line in describe_plan(plan))]
    lines += [f"  PROBLEM  {problem}" for problem in seen["problems"]]
    return lines


def _plan_line(seen: dict[str, Any], name: str) -> str:
    return f"{name}: plan of {seen['library']} {seen['version']}, {_size(seen['bytes'])}"


def _model_line(model: dict[str, Any]) -> str:
    return (
        f"ONNX, {model['precision']}, opset {model['opset']}, {_size(model['bytes'])}, "
        f"{model['parameters']:,} parameters, {sum(model['operators'].values())} operators"
    )


def _model_lines(model: dict[str, Any]) -> list[str]:
    lines = []
    for kind in ("inputs", "outputs"):
        for name, tensor in model[kind].items():
            shape = ", ".join("?" if one is None else str(one) for one in tensor["shape"])
            lines.append(f"  {kind[:-1]:<9} {name}: {tensor['dtype']} ({shape})")
    lines.append("  operators " + ", ".join(f"{name} {count}" for name, count in model["operators"].items()))
    lines += [f"  metadata  {key}: {value}" for key, value in model["metadata"].items()]
    return lines


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} kiB"
