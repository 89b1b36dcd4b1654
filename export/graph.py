"""The deployed graph: sensor frame in, logits and probabilities out, as one ONNX file."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES
from tgkt_edge.bundle.onnx_file import MAPS
from tgkt_edge.errors import GateError
from tgkt_edge.export.fuse import Folded, can_fold
from tgkt_edge.export.maps import Unfolded
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.maps import pooled_head
from tgkt_edge.train.nn.model import Classifier, normalise

OPSET = 18
"""ONNX opset of the graphs: the parsers of TensorRT 10.3 and later and ONNX Runtime read it."""


class Deployed(nn.Module):
    """``frame`` (N, 1, S, S) float32 in [0, 1] -> logits (N, K) and probabilities (N, K).

    Channel repeat and ImageNet normalisation are inside; the weight norm is folded into plain weights. Nothing else is:
    this is the plain network that exported files are compared with.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().to(device="cpu", dtype=torch.float32)
        # A new layer rather than remove_parametrizations: that alters the class, which ``model`` shares with its copy.
        if isinstance(self.model, ImportedClassifier):
            self.model.classifier.linear = _plain(self.model.classifier.linear)
        else:
            self.model.classifier = _plain(self.model.classifier)

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.model(normalise(frame))
        return logits, logits.softmax(1)


def _plain(normed: nn.Linear) -> nn.Linear:
    plain = nn.Linear(normed.in_features, normed.out_features)
    plain.load_state_dict({"weight": normed.weight, "bias": normed.bias})
    return plain.eval()


def export_onnx(
    deployed: Deployed,
    path: Path,
    size: int,
    classes: tuple[str, ...],
    sensor: SensorSpec,
    *,
    fold: bool = True,
    maps: bool = False,
) -> bool:
    """Write the graph with a free batch dimension, classes and SensorSpec in its metadata, and check it.

    Args:
        fold: make it for speed, see :mod:`tgkt_edge.export.fuse`, where the network is a ResNet. False: the plain
            network, to compare with.
        maps: give it the output ``maps``, see :mod:`tgkt_edge.train.nn.maps`, where the network has such maps.

    Returns:
        Whether it has that output.

    Raises:
        GateError: (exit 3) onnx.checker refuses the graph.
    """
    example = torch.rand(2, 1, size, size)
    network: nn.Module = deployed
    if fold and can_fold(deployed.model):
        network = Folded(deployed.model, maps=maps)
    else:
        head = pooled_head(deployed.model, size) if maps else None
        maps = head is not None
        if head is not None:
            network = Unfolded(deployed.model, head)
    names = [*OUTPUT_NAMES, *([MAPS] if maps else [])]
    # The exporter prints its steps to stdout, which is for machines here; and warns of what it handles itself.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network.eval(),
            (example,),
            dynamo=True,
            input_names=[INPUT_NAME],
            output_names=names,
            dynamic_shapes={"frame": {0: torch.export.Dim("batch", min=1)}},
            opset_version=OPSET,
            optimize=True,
        )
    assert program is not None
    model = program.model_proto
    about = {
        "classes": list(classes), "sensor": sensor.to_dict(), "size": size, "resize_side": resize_side(size),
    }  # fmt: skip
    for key, value in about.items():
        model.metadata_props.add(key=f"tgkt_edge.{key}", value=json.dumps(value))
    for node in model.graph.node:  # the exporter's stack traces name paths of the machine that exported
        del node.metadata_props[:]
    onnx.save_model(model, path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except onnx.checker.ValidationError as error:
        raise GateError(f"onnx.checker refuses the exported graph: {error}") from error
    return maps
