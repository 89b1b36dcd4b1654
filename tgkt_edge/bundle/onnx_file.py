"""What an ONNX file says of itself, read without the onnx library, which a device does not have.

An ONNX file is one protocol-buffer message (onnx.proto of the ONNX project; field numbers below are from there). Only
the fields that are shown are decoded; weights are counted, not read into memory.

Why not the library, or the manifest: ``inspect`` and ``export --trt`` run on devices that have neither onnx nor ONNX
Runtime; a file is looked at before it is trusted, outside of bundles, too, and in bundles whose manifest says less. A
test compares every field with what the onnx library reads.
"""

from __future__ import annotations

import math
import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tgkt_edge.errors import IncompatibleError

MAPS = "maps"
"""Output of graphs that have it: (N, K, h, w) float32, each class's evidence by place. Its mean over places is the
logit."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

# TensorProto.DataType: name, bits an element.
_TYPES = {
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("string", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32),
    13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16), 17: ("float8e4m3fn", 8),
    18: ("float8e4m3fnuz", 8), 19: ("float8e5m2", 8), 20: ("float8e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4),
}  # fmt: skip


@dataclass(frozen=True)
class OnnxTensor:
    """An input or output: element type, and shape with a number, a name or None (unknown) a dimension."""

    dtype: str
    shape: tuple[int | str | None, ...]


@dataclass
class OnnxInfo:
    """What an ONNX file says of itself.

    Attributes:
        ir_version: of the file format. opset: of the standard operators; 0: none is named.
        other_opsets: domain -> version of operators that are not standard.
        inputs, outputs: by name.
        metadata: key -> text.
        operators: how many nodes of each kind, nodes of sub-graphs and functions not counted.
        parameters: numbers in the weights. parameter_bytes: what they take. weight_types: numbers by element type.
    """

    bytes: int = 0
    ir_version: int = 0
    opset: int = 0
    producer: str = ""
    other_opsets: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, OnnxTensor] = field(default_factory=dict)
    outputs: dict[str, OnnxTensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    operators: Counter[str] = field(default_factory=Counter)
    parameters: int = 0
    parameter_bytes: int = 0
    weight_types: Counter[str] = field(default_factory=Counter)

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8 (Q/DQ), as the operators and weights show it; "mixed" where none prevails."""
        if self.operators["QuantizeLinear"] and self.operators["DequantizeLinear"]:
            return "int8"
        total = sum(self.weight_types[name] for name in ("float32", "float16"))
        for name, precision in (("float32", "fp32"), ("float16", "fp16")):
            if total and self.weight_types[name] > 0.9 * total:
                return precision
        return "mixed" if total else "unknown"


def read_onnx(path: Path) -> OnnxInfo:
    """Read an ONNX file's own description.

    Raises:
        IncompatibleError: (exit 4) missing, empty, damaged, or no ONNX file.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise ValueError("it is empty")
            # Closed with its last view: an error's traceback may still hold one.
            info = _model(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except OSError as error:
        raise IncompatibleError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeDecodeError, too
        raise IncompatibleError(
            f"{path} is no ONNX file, or a damaged one: {error}. Export it again."
        ) from None
    info.bytes = path.stat().st_size
    if not info.ir_version or not info.outputs:
        raise IncompatibleError(
            f"{path} is no ONNX file, or a damaged one: it holds no graph. Export it again."
        )
    return info


def maps_grid(info: OnnxInfo) -> tuple[int, int] | None:
    """Rows and columns of a graph's output ``maps``; None: it has none.

    Raises:
        IncompatibleError: (exit 4) it has one of another shape than (N, K, h, w).
    """
    tensor = info.outputs.get(MAPS)
    if tensor is None:
        return None
    shape = tensor.shape
    if len(shape) != 4 or not isinstance(shape[2], int) or not isinstance(shape[3], int):
        raise IncompatibleError(f"its output {MAPS} has shape {shape}, expected (N, K, rows, columns)")
    return shape[2], shape[3]


def _model(data: memoryview) -> OnnxInfo:
    """ModelProto."""
    info = OnnxInfo()
    for number, value in _fields(data):
        if number == 1:
            info.ir_version = _int(value)
        elif number == 2:
            info.producer = _text(value)
        elif number == 7:
            _graph(_view(value), info)
        elif number == 8:
            domain, version = "", 0
            for inner, content in _fields(_view(value)):
                domain = _text(content) if inner == 1 else domain
                version = _int(content) if inner == 2 else version
            if domain in ("", "ai.onnx"):
                info.opset = max(info.opset, version)
            else:
                info.other_opsets[domain] = version
        elif number == 14:
            key, text = "", ""
            for inner, content in _fields(_view(value)):
                key = _text(content) if inner == 1 else key
                text = _text(content) if inner == 2 else text
            info.metadata[key] = text
    return info


def _graph(data: memoryview, info: OnnxInfo) -> None:
    """GraphProto."""
    initialised = set()
    for number, value in _fields(data):
        if number == 1:
            kind = [_text(content) for inner, content in _fields(_view(value)) if inner == 4]
            info.operators[kind[0] if kind else ""] += 1
        elif number == 5:
            initialised.add(_weight(_view(value), info))
        elif number == 11:
            name, tensor = _value_info(_view(value))
            info.inputs[name] = tensor
        elif number == 12:
            name, tensor = _value_info(_view(value))
            info.outputs[name] = tensor
    for name in initialised & set(info.inputs):  # up to IR version 3 weights were listed as inputs, too
        del info.inputs[name]


def _weight(data: memoryview, info: OnnxInfo) -> str:
    """TensorProto: count it, return its name."""
    dims: list[int] = []
    kind, name = 0, ""
    for number, value in _fields(data):
        if number == 1:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 2:
            kind = _int(value)
        elif number == 8:
            name = _text(value)
    label, bits = _TYPES.get(kind, (f"type {kind}", 0))
    count = math.prod(dims)
    info.parameters += count
    info.parameter_bytes += (count * bits + 7) // 8
    info.weight_types[label] += count
    return name


def _value_info(data: memoryview) -> tuple[str, OnnxTensor]:
    """ValueInfoProto: name and, where it is a tensor, its type and shape."""
    name, dtype = "", "unknown"
    shape: list[int | str | None] = []
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:  # TypeProto
            for tensor in (content for inner, content in _fields(_view(value)) if inner == 1):
                for inner, content in _fields(_view(tensor)):
                    if inner == 1:
                        kind = _int(content)
                        dtype = _TYPES.get(kind, (f"type {kind}", 0))[0]
                    elif inner == 2:  # TensorShapeProto
                        shape = [_dimension(_view(dim)) for one, dim in _fields(_view(content)) if one == 1]
    return name, OnnxTensor(dtype, tuple(shape))


def _dimension(data: memoryview) -> int | str | None:
    for number, value in _fields(data):
        if number == 1:
            return _int(value)
        if number == 2:
            return _text(value)
    return None


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and content of every field of a message. ValueError: it is none, or cut off."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if not number:
            raise ValueError("a field without a number")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"a field of unknown kind {wire}")
        if at + length > end:
            raise ValueError("it ends in the middle of a field: truncated?")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at ``at``, seven bits a byte, and where it ends. Numbers are signed 64-bit."""
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value - (1 << 64) if value >> 63 else value), at
        shift += 7
    raise ValueError("it ends in the middle of a number: truncated?")


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _int(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a text where a number belongs")
    return value


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_view(value)).decode()
