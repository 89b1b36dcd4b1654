"""The passes of batch norm over several ranks: torch's kernels on CPUs compute what the formulas say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tgkt_edge.train.nn.shared_norm import CpuKernels, Formulas, kernels_for

CHANNELS = 5
SHAPES = pytest.mark.parametrize("shape", [(7, CHANNELS), (7, CHANNELS, 3), (4, CHANNELS, 6, 3)], ids=str)


def batch(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, list[Tensor]]:
    """A batch and a gradient far from mean 0 and deviation 1, and four vectors of its channels."""
    torch.manual_seed(0)
    x, grad = (torch.randn(shape).to(dtype) for _ in range(2))
    if x.dim() == 4:
        x, grad = (one.contiguous(memory_format=torch.channels_last) for one in (x * 3 + 1, grad))
    return x, grad, [torch.rand(CHANNELS) + 0.5 for _ in range(4)]


@SHAPES
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_kernels_compute_what_the_formulas_say(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, grad, (mean, inverse, weight, bias) = batch(shape, dtype)
    kernels, formulas = CpuKernels(), Formulas()
    near = 1e-5 if dtype == torch.float32 else 2e-2
    for one, other in zip(kernels.statistics(x), formulas.statistics(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    normalized = [k.normalized(x, mean, inverse, weight, bias) for k in (kernels, formulas)]
    torch.testing.assert_close(*normalized, rtol=near, atol=near)
    torch.testing.assert_close(
        kernels.sums(grad, x, mean, inverse), formulas.sums(grad, x, mean, inverse), rtol=1e-4, atol=1e-4
    )
    sloped = [k.sloped(grad, weight, x, bias, mean) for k in (kernels, formulas)]
    torch.testing.assert_close(*sloped, rtol=near, atol=near)
    assert normalized[0].dtype == sloped[0].dtype == dtype


def test_the_formulas_by_hand() -> None:
    """One channel with the values 1 and 3: mean 2, variance 1."""
    x, grad = torch.tensor([[1.0], [3.0]]), torch.tensor([[10.0], [20.0]])
    mean, half, two = (torch.tensor([value]) for value in (2.0, 0.5, 2.0))
    for kernels in (CpuKernels(), Formulas()):
        assert [value.tolist() for value in kernels.statistics(x)] == [[2.0], [1.0]]
        assert kernels.normalized(x, mean, half, two, mean).flatten().tolist() == [1.0, 3.0]
        assert kernels.sums(grad, x, mean, half).flatten().tolist() == [30.0, 5.0]
        assert kernels.sloped(grad, half, x, two, mean).flatten().tolist() == [9.0, 18.0]


def test_each_device_has_its_own() -> None:
    assert isinstance(kernels_for(torch.device("cpu")), CpuKernels)
    assert isinstance(kernels_for(torch.device("cuda")), Formulas)
