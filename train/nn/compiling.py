"""``--compile``: torch.compile on the parts of a network that take the time, where there is a compiler."""

from __future__ import annotations

import torch
from torch import nn


def compile_in_place(network: nn.Module) -> None:
    """Let the convolutions of ``network`` run compiled from their next call on; names, weights and copies stay as they
    are (a copy is not compiled)."""
    for part in heavy_parts(network):
        part.compile()


def heavy_parts(network: nn.Module) -> list[nn.Module]:
    """What to compile: the backbone, or its layers where they are called one by one; a network without one whole."""
    learner = getattr(network, "student", network)  # beside a map that learns with it
    backbone = getattr(learner, "backbone", None)
    if not isinstance(backbone, nn.Module):
        return [network]
    if getattr(learner, "pooled", ()):
        return [layer for name, layer in backbone.named_children() if name.startswith("layer")]
    return [backbone]


def why_not_compiled(device: torch.device) -> str | None:
    """The reason why torch.compile does not work here, found by compiling a small network; None where it does.

    From then on what cannot be compiled later runs as it is, with a warning of torch's.
    """
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).to(device)
    try:
        torch.compile(network)(torch.rand(2, 4, device=device)).sum().backward()
    except (RuntimeError, ImportError, OSError, AttributeError) as error:
        text = str(error).strip() or type(error).__name__
        return text.splitlines()[0][:200]
    torch._dynamo.config.suppress_errors = True
    return None
