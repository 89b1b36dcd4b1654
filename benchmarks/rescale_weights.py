"""Rescale the first convolution of ResNet-50 weights so that its outputs vary by about one; the network says the same.

    python benchmarks/rescale_weights.py resnet50-imagenet1k-fp16.safetensors -o resnet50-unit.safetensors

Networks of other frameworks were trained on pixels of 0 to 255, and converted weights keep that scale: the outputs of
the first convolution then vary by thousands, and batch norm divides it away again. What a network says is the same,
how it learns is not: the gradient of a convolution in front of a batch norm falls with its scale, so that its
relative steps fall with the square and the layer hardly learns, and SOCKET's distance of batch-norm statistics, whose
first layer counts ten times, consists of that layer alone. torchvision's own weights need no rescaling.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

EPS = 1e-5
"""Of torchvision's batch norm."""


def rescaled(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    """Tensors with the first convolution divided by a power of two, and that power.

    Args:
        state: ResNet-50 by torchvision's names. Its ``bn1`` follows ``conv1``, which has no bias.

    Returns:
        A copy in which ``conv1.weight`` and ``bn1.*`` are float32, the median of ``bn1.running_var`` lies between 1/2
        and 2, and ``bn1.weight`` makes up for the epsilon that is added to the variance; and the divisor.
    """
    variance = state["bn1.running_var"].float()
    divisor = 2.0 ** round(float(torch.log2(variance.median())) / 2)
    small = variance / divisor**2
    make_up = ((small + EPS) / (variance + EPS)).sqrt() * divisor  # (64,), nearly one
    changed = {
        "conv1.weight": state["conv1.weight"].float() / divisor,
        "bn1.running_mean": state["bn1.running_mean"].float() / divisor,
        "bn1.running_var": small,
        "bn1.weight": state["bn1.weight"].float() * make_up,
    }
    return {**state, **changed}, divisor


def main() -> int:
    """Read, rescale, write; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", dest="out", type=Path, required=True)
    args = parser.parse_args()
    if args.out.exists():
        raise SystemExit(f"{args.out} exists. Choose another file.")
    state, divisor = rescaled(load_file(args.weights))
    save_file(state, args.out)
    print(f"{args.out}: first convolution divided by {divisor:g}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
