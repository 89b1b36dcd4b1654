"""The folded graph against the plain network: equal on real frames, borders included, and free of what was folded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.data.loading import load_frames
from tgkt_edge.export.fuse import Folded, fold_repeat
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.preprocess import center_crop, resize_side, to_unit
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.nn.model import normalise

SIZE = 32


def test_the_repeat_is_folded_exactly_borders_included() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 8, 7, stride=2, padding=3).double()
    frame = torch.rand(2, 1, 20, 20, dtype=torch.float64)
    plain = conv(normalise(frame.expand(-1, 3, -1, -1)))
    folded = fold_repeat(conv)(torch.cat((frame, torch.ones_like(frame)), dim=1))
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-13)
    # A bias instead of the second channel, the obvious fold, is right inside and wrong where the kernel meets padding.
    kernel = fold_repeat(conv).weight
    assert conv.bias is not None
    biased = F.conv2d(frame, kernel[:, :1], conv.bias + kernel[:, 1].sum((1, 2)), stride=2, padding=3)
    torch.testing.assert_close(biased[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2], rtol=0, atol=1e-13)
    assert (biased[..., 0, :] - plain[..., 0, :]).abs().max() > 0.1


def test_by_hand() -> None:
    """One pixel, 1x1 kernels of one: the sum of the three normalised channels."""
    conv = nn.Conv2d(3, 1, 1).double()
    with torch.no_grad():
        conv.weight.fill_(1)
        assert conv.bias is not None
        conv.bias.fill_(10)
    folded = fold_repeat(conv)
    # (0.5 - 0.485) / 0.229 + (0.5 - 0.456) / 0.224 + (0.5 - 0.406) / 0.225 + 10
    value = folded(torch.tensor([[[[0.5]], [[1.0]]]], dtype=torch.float64)).item()
    assert value == pytest.approx(0.0655022 + 0.1964286 + 0.4177778 + 10, abs=1e-6)


@pytest.mark.parametrize("conv", [nn.Conv2d(1, 4, 3), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")])
def test_what_cannot_be_folded_is_refused(conv: nn.Conv2d) -> None:
    with pytest.raises(ValueError, match="expected 3 ungrouped channels"):
        fold_repeat(conv)


def test_the_folded_network_answers_as_the_plain_one(deployed: Deployed, codes: Any) -> None:
    before = {name: value.clone() for name, value in deployed.state_dict().items()}
    x = torch.from_numpy(to_unit(np.stack([center_crop(c, SIZE) for c in codes])))[:, None]
    with torch.inference_mode():
        plain, folded = deployed(x), Folded(deployed.model).eval()(x)
    for expected, found in zip(plain, folded, strict=True):
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert all(torch.equal(before[name], value) for name, value in deployed.state_dict().items())


def test_the_two_graphs_agree_on_real_frames(
    bundle: Bundle, deployed: Deployed, data_dir: Path, tmp_path: Path
) -> None:
    """16-bit frames of a depth camera, as they are and upside down, through both ONNX files in ONNX Runtime."""
    folder = data_dir / "sensor16" / "depth"
    if not folder.is_dir():
        pytest.skip(f"{folder} does not exist")
    frames, _ = load_frames(folder, load_sensor("depth"), resize_side(SIZE), skip_bad=True)
    batch = to_unit(np.stack([center_crop(c, SIZE) for c in frames.codes]))[:, None]
    batch = np.concatenate((batch, batch[:, :, ::-1]))
    export_onnx(deployed, tmp_path / "plain.onnx", SIZE, bundle.classes, bundle.sensor, fold=False)
    plain, folded = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
            ["logits"], {"frame": batch}
        )[0]
        for path in (tmp_path / "plain.onnx", bundle.model())
    )
    assert len(batch) >= 12
    assert np.abs(folded - plain).max() <= 1e-5 * np.abs(plain).max()
    assert np.ptp(plain, axis=0).max() > 1e-2 * np.abs(plain).max()  # they do get different answers


def test_the_graph_holds_nothing_that_could_be_computed_at_export(bundle: Bundle) -> None:
    model = onnx.load(str(bundle.model()))
    operators = Counter(node.op_type for node in model.graph.node)
    of_the_maps = Counter({"Reshape": 2, "MatMul": 1, "Add": 1})
    assert operators - of_the_maps == {
        "Pad": 1, "Conv": 53, "Relu": 49, "Add": 16, "MaxPool": 1, "ReduceMean": 1, "Gemm": 1, "Softmax": 1,
    }  # fmt: skip
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    (weight,) = (w for w in model.graph.initializer if w.name == first.input[1])
    assert list(weight.dims) == [64, 2, 7, 7]
