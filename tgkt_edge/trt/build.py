"""One plan, in memory, from one ONNX file.

Strongly typed: the precision is what the ONNX file says, layer by layer, and TensorRT may not change it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES
from tgkt_edge.bundle.engine_header import TYPES
from tgkt_edge.bundle.onnx_file import MAPS, read_onnx
from tgkt_edge.errors import IncompatibleError
from tgkt_edge.system.gpu import Gpu, find_gpu
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.messages import Errors, make_logger
from tgkt_edge.trt.monitor import Progress, watched
from tgkt_edge.trt.options import (
    BuildOptions,
    configure,
    default_timing_cache,
    keep_timings,
    targets,
)
from tgkt_edge.trt.precision_check import check_network, network_layers, prove

MAX_OPSET = 25
"""Newest ONNX operator set that a TensorRT parser is documented to read (11.x; 10.15 reads 24). The parser itself takes
any number and may misread what is newer."""


@dataclass(frozen=True)
class Built:
    """A plan in memory, and what is known of it; see :class:`tgkt_edge.bundle.engine_metadata.Sidecar` for the fields.

    Attributes:
        opset: of the ONNX file. gpu: on which it was built; None: built for another one.
        warning: a line for a person, or "".
    """

    plan: bytes
    opset: int
    compute_capabilities: tuple[str, ...]
    gpu: Gpu | None
    precision: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    build: Mapping[str, Any]
    warning: str = ""


def build_plan(
    onnx: Path, precision: str, size: int, options: BuildOptions, progress: Progress | None = None
) -> Built:
    """Build a plan.

    Args:
        onnx: a bundle's ONNX file of this precision, its checksum verified.
        precision: "fp32", "fp16" or "int8"; the graph must really hold it.
        size: side S of the network's input, pixels.

    Raises:
        MissingDependency: (exit 6) no TensorRT is installed.
        UsageError: (exit 2) options that this flavour of TensorRT does not know.
        IncompatibleError: (exit 4) the ONNX file is damaged, TensorRT does not know an operator of it, it does not have
            the precision asked for, or TensorRT cannot build it.
        KeyboardInterrupt: the build was interrupted.
    """
    found = trt.find()
    gpu, why_no_gpu = find_gpu()
    capabilities = targets(options, found, gpu, why_no_gpu)
    if options.timing_cache is None:
        options = dataclasses.replace(options, timing_cache=default_timing_cache(found, gpu))
    opset = read_onnx(onnx).opset
    if opset > MAX_OPSET:
        raise IncompatibleError(
            f"{onnx} is of opset {opset}; TensorRT reads up to {MAX_OPSET}. Export the run again with this tgkt-edge."
        )
    started = time.monotonic()
    log, errors = make_logger()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(onnx, network, log, errors, found.text, opset)
    inputs, outputs = _tensors(onnx, network, size)
    layers = network_layers(network)
    check_network(onnx, precision, layers)
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    batch = options.profile
    shapes = [trt.Dims4([n, 1, size, size]) for n in (batch.min, batch.opt, batch.max)]
    profile.set_shape(INPUT_NAME, shapes[0], shapes[1], shapes[2])
    if config.add_optimization_profile(profile) < 0:
        raise IncompatibleError(f"{found.text} refused batch {batch.text()}: {errors.last}")
    warnings = [configure(config, options, found, capabilities)]
    with watched(config, progress):
        plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise IncompatibleError(
            f"{found.text} could not build {onnx}: {errors.last or 'it does not say why.'} If memory ran out: "
            f"`workspace=MIB`, a smaller `max_batch`, or close other programs."
        )
    data = bytes(plan)
    warnings.append(keep_timings(config, options, found))
    local = gpu is not None and gpu.compute_capability in capabilities
    return Built(
        plan=data,
        opset=opset,
        compute_capabilities=capabilities,
        gpu=gpu if local else None,
        precision=prove(onnx, precision, layers, data if local else None),
        inputs=inputs,
        outputs=outputs,
        build={
            "optimisation": options.level,
            "workspace_mib": options.workspace_mib,
            "tf32": False,
            "seconds": round(time.monotonic() - started, 1),
        },
        warning="; ".join(line for line in warnings if line),
    )


def _parse(
    onnx: Path, network: trt.INetworkDefinition, log: trt.ILogger, errors: Errors, library: str, opset: int
) -> None:
    """Parse the file into the network. IncompatibleError names every node that TensorRT does not take."""
    parser = trt.OnnxParser(network, log)
    if parser.parse_from_file(str(onnx)) and not parser.num_errors:
        return
    problems = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        where = f"node '{error.node_name()}' ({error.node_operator()}): " if error.node_operator() else ""
        kind = error.code().name.lower().replace("_", " ")
        problems.append(f"{where}{kind}: {' '.join(error.desc().split())}".rstrip("."))
    raise IncompatibleError(
        f"{library} cannot read {onnx} (opset {opset}): {'; '.join(problems) or errors.last.rstrip('.')}. Export the "
        f"run again with this tgkt-edge, or run this bundle with `engine=onnxruntime`."
    )


def _tensors(onnx: Path, network: trt.INetworkDefinition, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and outputs as the sidecar lists them. IncompatibleError: they are not a bundle's."""
    inputs, outputs = (
        {
            t.name: {
                "dtype": TYPES.get(t.dtype.name, t.dtype.name),
                "shape": [int(t.shape[i]) for i in range(len(t.shape))],
            }
            for t in tensors
        }
        for tensors in (
            [network.get_input(i) for i in range(network.num_inputs)],
            [network.get_output(i) for i in range(network.num_outputs)],
        )
    )
    expected = {INPUT_NAME: {"dtype": "fp32", "shape": [-1, 1, size, size]}}
    if inputs != expected or set(outputs) - {MAPS} != set(OUTPUT_NAMES):
        raise IncompatibleError(
            f"{onnx} is no graph of this bundle: inputs {inputs}, outputs {list(outputs)}; expected '{INPUT_NAME}' "
            f"fp32 [-1, 1, {size}, {size}] and {list(OUTPUT_NAMES)}. Export the run again."
        )
    return inputs, outputs
