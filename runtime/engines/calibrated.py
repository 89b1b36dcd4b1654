"""Any engine with the bundle's temperature applied to its probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.runtime.engines.base import Answer, Engine


class CalibratedEngine:
    """An engine whose probabilities are softened; its logits are the network's own.

    Args:
        engine: any. temperature: the bundle's.
    """

    def __init__(self, engine: Engine, temperature: float) -> None:
        self._engine, self._temperature = engine, temperature

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def lanes(self) -> int:
        """The engine's."""
        return self._engine.lanes

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        """See :meth:`tgkt_edge.runtime.engines.base.Engine.infer`."""
        logits, _ = self._engine.infer(batch)
        return logits, soften(logits, self._temperature)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
