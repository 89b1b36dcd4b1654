"""Networks that are about to be loaded from a file, built without the random weights they would throw away."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch import Tensor
from torch.nn import init
from torch.overrides import TorchFunctionMode

_RANDOM = frozenset({Tensor.normal_, Tensor.uniform_, init.normal_, init.uniform_, init.kaiming_uniform_})
"""Of torch.nn.init those that the mode sees; the others come here by way of the tensor's own."""


class WithoutRandomWeights(TorchFunctionMode):
    """Inside, parameters that would be drawn at random are NaN: a ResNet-50 is there in a seventh of the time.

    What is not loaded then shows in every answer, where a random weight would not. No random number is drawn, so a
    stage that builds networks after it was seeded gets other weights for those it keeps: not for them.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func in _RANDOM:
            tensor: Tensor = args[0] if args else kwargs["tensor"]
            tensor.detach().fill_(math.nan)
            return tensor
        return func(*args, **(kwargs or {}))


def unless_random(weights: str) -> AbstractContextManager[object]:
    """:class:`WithoutRandomWeights`; nothing where ``weights`` is "none": the random ones are kept then."""
    return nullcontext() if weights == "none" else WithoutRandomWeights()
