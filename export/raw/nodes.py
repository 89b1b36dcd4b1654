"""A graph that is written down node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


class Nodes:
    """Nodes and constants of a graph that is being made, in order; every value is named by what made it.

    Args:
        prefix: of all names, so that they meet none of another graph.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Append a node with one output; return the output's name, ``out`` or a new one."""
        name = f"{self._prefix}{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out or name], name=name, **attributes))
        return out or name

    def constant(self, values: NDArray[Any]) -> str:
        """Name of a constant; equal ones are one."""
        key = (str(values.dtype), values.shape, values.tobytes())
        if key not in self._known:
            name = f"{self._prefix}constant{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
            self._known[key] = name
        return self._known[key]

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """An int64 vector: axes, shapes, starts, ends."""
        return self.constant(np.array(values, np.int64))
