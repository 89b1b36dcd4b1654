"""ONNX and TorchScript classifiers: they answer, and that is all that can be asked of them."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tgkt_edge.errors import CheckpointError
from tgkt_edge.optional_deps import require

SMALLEST = 1e-12
"""A probability below this counts as this when its logarithm is taken."""

PROBED = 2
"""Random images that a program is tried on."""


@dataclass(frozen=True)
class Interface:
    """What a program takes and gives.

    Attributes:
        side: of the image, pixels; None: any. outputs: S. probabilities: whether it ends with a softmax.
        batch: whether it takes several images at once.
    """

    side: int | None
    outputs: int
    probabilities: bool
    batch: bool


class Program(nn.Module):
    """A program whose bytes are kept with the checkpoint; gives logits, or logarithms of its probabilities.

    Args:
        kind: "onnx" or "torchscript". size: of the program, bytes.
    """

    program: Tensor

    def __init__(self, kind: str, size: int, interface: Interface) -> None:
        super().__init__()
        self.kind, self.interface = kind, interface
        self.register_buffer("program", torch.zeros(size, dtype=torch.uint8))
        self._run: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        twin = Program(self.kind, len(self.program), self.interface)
        twin.program.copy_(self.program)
        return twin

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, outputs) float32, on the device of ``x``; no gradients."""
        if self._run is None:
            self._run = open_program(self.kind, self.program.cpu().numpy().tobytes())
        images = x.detach().float().cpu().contiguous()
        parts = [images] if self.interface.batch else list(images.split(1))
        found = torch.cat([self._run(part) for part in parts]).to(x.device)
        return found.clamp_min(SMALLEST).log() if self.interface.probabilities else found


def _raised(kind: str) -> tuple[type[Exception], ...]:
    """What a program's library raises; ONNX Runtime's own exceptions have no common base but Exception."""
    if kind != "onnx":
        return (RuntimeError, ValueError, OSError)
    state = require("onnxruntime", "export", "An ONNX model as the source").capi.onnxruntime_pybind11_state
    own = [one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception)]
    return (RuntimeError, ValueError, OSError, *own)


def open_program(kind: str, content: bytes) -> Any:
    """A function from (B, 3, H, W) float32 to the (B, S) output, on the CPU. Raises CheckpointError."""
    try:
        if kind == "torchscript":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = torch.jit.load(io.BytesIO(content), map_location="cpu").eval()
            return lambda x: _only(module(x))
        onnxruntime = require("onnxruntime", "export", "An ONNX model as the source")
        if _weights_beside(content):
            raise CheckpointError(
                "its weights are not in it but in a file that lay beside it (external data): import the model again"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except _raised(kind) as error:
        raise CheckpointError(f"the {kind} program cannot be loaded: {error}") from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        shown = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
        raise CheckpointError(
            f"its inputs are {shown}; expected one of float32 in the layout N x 3 x height x width"
        )
    (entry,) = inputs
    if isinstance(entry.shape[1], int) and entry.shape[1] != 3:
        raise CheckpointError(
            f"its input {entry.name} is {entry.shape}; expected N x 3 x height x width, channels second"
        )
    if len(outputs) != 1:
        shown = ", ".join(f"{one.name} {one.shape}" for one in outputs)
        raise CheckpointError(
            f"its outputs are {shown}; expected one, N x classes: a classifier without boxes, masks or features"
        )
    if outputs[0].type not in ("tensor(float)", "tensor(float16)", "tensor(double)"):
        raise CheckpointError(
            f"its output {outputs[0].name} is {outputs[0].type}; expected floating-point numbers: logits or "
            f"probabilities"
        )
    run = lambda x: torch.from_numpy(session.run(None, {entry.name: x.numpy()})[0]).float()  # noqa: E731
    run.fixed = [side if isinstance(side, int) else None for side in entry.shape]  # type: ignore[attr-defined]
    return run


def _only(answer: Any) -> Tensor:
    if not isinstance(answer, Tensor):
        raise CheckpointError(
            f"its answer is {type(answer).__name__}; expected one tensor, N x classes: a classifier in evaluation mode"
        )
    return answer.float()


def probe(kind: str, content: bytes, side: int | None) -> Interface:
    """Try a program on random images.

    Args:
        side: of its image, where the person gave one; else what the program fixes, else any, tried with 224.

    Raises:
        CheckpointError: it is no classifier of RGB images.
    """
    run = open_program(kind, content)
    fixed = getattr(run, "fixed", [None] * 4)
    if fixed[2] is not None and fixed[2] != fixed[3]:
        raise CheckpointError(f"its input is {fixed[2]} x {fixed[3]} pixels; expected a square")
    if fixed[0] not in (None, 1):
        raise CheckpointError(
            f"its input takes {fixed[0]} images at once, and no other number; expected one, or any number: export it "
            f"with a free first dimension"
        )
    inside = fixed[2]
    batch = fixed[0] is None
    shown = side or inside or 224
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.standard_normal((PROBED, 3, shown, shown)).astype(np.float32))
    parts = [images] if batch else list(images.split(1))
    try:
        found = torch.cat([run(part) for part in parts])
    except _raised(kind) as error:
        raise CheckpointError(
            f"it fails on float32 images of 3 x {shown} x {shown}, channels first: "
            f"{' '.join(str(error).split())[:200]}. If it was made for another side, give that with `size`; if it "
            f"takes anything else, another layout, type or more inputs, export it again."
        ) from error
    if found.dim() > 2 and found[0].numel() == found.shape[1]:
        found = found.flatten(1)
    if found.dim() != 2 or len(found) != PROBED or found.shape[1] < 2:
        raise CheckpointError(
            f"its answer to {PROBED} images is {tuple(found.shape)}; expected ({PROBED}, classes): a classifier "
            f"of at least two classes"
        )
    if not found.isfinite().all():
        raise CheckpointError("its answers to random images are infinite or not a number")
    summed = (found.min() >= 0) and torch.allclose(found.sum(1), torch.ones(PROBED), atol=1e-3)
    return Interface(side if side is not None else inside, found.shape[1], bool(summed), batch)


def _weights_beside(content: bytes) -> bool:
    """Whether an ONNX model's weights are in another file, which ONNX Runtime would look for in the current folder."""
    onnx = require("onnx", "export", "An ONNX model as the source")
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # noqa: BLE001 - protobuf's errors have no common base; ONNX Runtime says what is wrong
        return False
    constants = [one.t for node in model.graph.node for one in node.attribute if one.HasField("t")]
    return any(map(onnx.external_data_helper.uses_external_data, [*model.graph.initializer, *constants]))


def with_weights(path: Path) -> bytes:
    """An ONNX file in one piece: weights in a file beside it, as PyTorch exports them, become part of it.

    Raises:
        CheckpointError: that file is missing or damaged, or both together are too large for one (2 GB).
    """
    content = path.read_bytes()
    if not _weights_beside(content):
        return content
    onnx = require("onnx", "export", "An ONNX model as the source")
    try:
        whole: bytes = onnx.load_model(path, load_external_data=True).SerializeToString()
    except Exception as error:
        raise CheckpointError(
            f"its weights are in another file, expected beside it, which cannot be read: "
            f"{' '.join(str(error).split())[:300]}. Copy both files, or export with external_data=False."
        ) from error
    return whole


def read_program(path: Path, kind: str, side: int | None) -> tuple[bytes, Interface]:
    """The program's bytes and what it takes and gives. Raises CheckpointError, naming the file."""
    try:
        content = with_weights(path) if kind == "onnx" else path.read_bytes()
        return content, probe(kind, content, side)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
