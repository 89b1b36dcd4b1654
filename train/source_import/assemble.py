"""A found model and the person's words as one classifier, and the network it was, to compare with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import ResNet

from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.nn.architectures import TIMM, V1_STRIDES, build, fixed_side, refuses_side
from tgkt_edge.train.nn.imported import ImportedClassifier, Pixels, Trunk
from tgkt_edge.train.nn.program import Program, read_program
from tgkt_edge.train.source_import.class_names import Classes
from tgkt_edge.train.source_import.files import Found
from tgkt_edge.train.source_import.recognize import Recognized, network_of, recognize_usable

Whole = Callable[[Tensor], Tensor]
"""(B, 3, S, S) as the network wants it -> (B, S) logits: the model as it was, all outputs."""


@dataclass(frozen=True)
class Model:
    """A model whose architecture is known and whose classes are not yet.

    Attributes:
        arch: name; "onnx" or "torchscript" of a program. body: gives what the last linear layer sees, D = ``width``.
        weight, bias: of that layer, (S, D) and (S,); of a program the identity. whole: the model as it was.
        side: pixels, where it takes no other. what: for the person. notes: how it was found.
        about: what a checkpoint needs to build ``body`` again. other: the same with the strides of ResNets before v1.5,
            or with v1.5's, where names and shapes leave both open.
    """

    arch: str
    body: nn.Module
    width: int
    weight: Tensor
    bias: Tensor
    whole: Whole
    side: int | None
    what: str
    notes: list[str]
    about: dict[str, Any]
    other: Whole | None = None

    @property
    def outputs(self) -> int:
        """S."""
        return len(self.weight)

    def refuses(self, side: int) -> str | None:
        """Why it does not work on images of ``side`` pixels; None where it can, or where only asking it tells."""
        if "program" in self.about:
            return None
        return refuses_side(build(self.arch, 2, memory=False), side)


def model_of(found: Found, arch: str | None, side: int | None) -> Model:
    """Recognise what a file holds.

    Args:
        arch, side: what the person said, if anything.

    Raises:
        CheckpointError: no classifier, or not one that names and shapes tell. UsageError: ``arch`` is unknown.
    """
    file = str(found.files[0])
    if found.container in ("onnx", "torchscript"):
        return _program(found, side)
    named = arch
    if named is None and found.config:
        named = TIMM + str(found.config["architecture"])
    if found.parts is not None:
        return _shot(found, named, file)
    known = recognize_usable(found.state, file, named)
    whole = network_of(known)
    notes = list(found.notes)
    if known.left_out:
        notes.append(
            f"{len(known.left_out)} tensors left out, which only training needs: {', '.join(known.left_out[:4])}"
        )
    head = f"{known.head} {whole.width} -> {len(known.weight)}"
    weight, bias = known.weight, known.bias
    return Model(
        known.arch, whole.network, whole.width, weight, bias,
        lambda x: nn.functional.linear(whole.network(x).flatten(1), weight, bias),
        fixed_side(whole.network), f"{known.arch}, {len(weight)} classes, {head}", notes,
        {"arch": known.arch, "short": known.short}, _other_strides(known),
    )  # fmt: skip


def _other_strides(known: Recognized) -> Whole | None:
    """The network of the other kind of strides; built when it is first asked."""
    plain = known.arch.removesuffix(V1_STRIDES)
    if not isinstance(build(known.arch, 2, memory=False), ResNet) or known.arch.startswith(TIMM):
        return None
    other = dataclasses.replace(known, arch=plain if known.arch != plain else plain + V1_STRIDES)

    def whole(x: Tensor) -> Tensor:
        if not built:
            built.append(network_of(other).network)
        return nn.functional.linear(built[0](x).flatten(1), known.weight, known.bias)

    built: list[nn.Module] = []
    return whole


def _program(found: Found, side: int | None) -> Model:
    (file,) = found.files
    content, interface = read_program(file, found.container, side)
    body = Program(found.container, len(content), interface)
    body.program.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    count = interface.outputs
    ends = "probabilities" if interface.probabilities else "logits"
    return Model(
        found.container, body, count, torch.eye(count), torch.zeros(count), body, interface.side,
        f"{found.container} program, {count} classes, {ends}: a teacher only", list(found.notes),
        {"program": found.container, "bytes": len(content), "interface": asdict(interface)},
    )  # fmt: skip


def _shot(found: Found, arch: str | None, file: str) -> Model:
    """SHOT's and SOCKET's three files; bottleneck, its batch norm and the classifier are one linear layer together."""
    assert found.parts is not None
    bottleneck, classifier = found.parts
    try:
        first, offset = bottleneck["bottleneck.weight"].double(), bottleneck["bottleneck.bias"].double()
        weight, bias = classifier["fc.weight"].double(), classifier["fc.bias"].double()
        normed = "bn.running_mean" in bottleneck and int(bottleneck.get("bn.num_batches_tracked", 1)) > 0
        if normed:  # one that saw no batch was not used: SHOT's --classifier ori
            scale = bottleneck["bn.weight"].double() / (bottleneck["bn.running_var"].double() + 1e-5).sqrt()
            offset = (offset - bottleneck["bn.running_mean"].double()) * scale + bottleneck[
                "bn.bias"
            ].double()
            first = first * scale[:, None]
        joined, constant = (weight @ first).float(), (weight @ offset + bias).float()
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{file}: beside it, source_B.pt and source_C.pt are not those of SHOT or SOCKET: {error}. Expected "
            f"bottleneck.weight, bn.* and fc.weight (or fc.weight_g and fc.weight_v)."
        ) from error
    state = {**found.state, "fc.weight": joined, "fc.bias": constant}
    known = recognize_usable(state, file, arch)
    whole = network_of(known)

    def as_it_was(x: Tensor) -> Tensor:
        f = nn.functional.linear(
            whole.network(x).flatten(1), bottleneck["bottleneck.weight"], bottleneck["bottleneck.bias"]
        )
        if normed:
            f = nn.functional.batch_norm(
                f, bottleneck["bn.running_mean"], bottleneck["bn.running_var"], bottleneck["bn.weight"],
                bottleneck["bn.bias"],
            )  # fmt: skip
        return nn.functional.linear(f, classifier["fc.weight"], classifier["fc.bias"])

    return Model(
        known.arch, whole.network, whole.width, joined, constant, as_it_was, fixed_side(whole.network),
        f"{known.arch} with SHOT's bottleneck of {len(first)}, {len(weight)} classes", list(found.notes),
        {"arch": known.arch, "short": False},
    )  # fmt: skip


def assemble(model: Model, classes: Classes, pixels: Pixels) -> ImportedClassifier:
    """The classifier of the task's classes, in evaluation mode."""
    about = {**model.about, "width": model.width, "pixels": asdict(pixels), "groups": classes.places}
    network = ImportedClassifier(Trunk(model.body, pixels), model.width, classes.places, about)
    with torch.no_grad():
        rows = torch.tensor(classes.outputs)
        network.classifier.linear.weight.copy_(model.weight[rows])
        network.classifier.linear.bias.copy_(model.bias[rows])
    return network.eval()
