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
        self.engine, self.temperature = engine, temperature

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    @property
    def precision(self) -> str | None:
        """The engine's, where it is known."""
        precision: str | None = getattr(self.engine, "precision", None)
        return precision

    @property
    def lanes(self) -> int:
        """The engine's."""
        return self.engine.lanes

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        """See :meth:`tgkt_edge.runtime.engines.base.Engine.infer`."""
        logits, _ = self.engine.infer(batch)
        return logits, soften(logits, self.temperature)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()
