"""Any engine with the bundle's temperature applied to its probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.runtime.engines.base import Answer, Engine, Grid, MapsAnswer, no_maps, with_maps


def uncalibrated(engine: Engine) -> Engine:
    """The engine whose probabilities are the network's own."""
    return engine.engine if isinstance(engine, CalibratedEngine) else engine


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

    @property
    def grid(self) -> Grid | None:
        """The engine's."""
        engine = with_maps(self.engine)
        return None if engine is None else engine.grid

    def infer_maps(self, batch: NDArray[np.float32]) -> MapsAnswer:
        """See :meth:`tgkt_edge.runtime.engines.base.MapsEngine.infer_maps`; maps stay as the logits do."""
        engine = with_maps(self.engine)
        if engine is None:
            raise no_maps(self.engine.name)
        logits, _, maps = engine.infer_maps(batch)
        return logits, soften(logits, self.temperature), maps

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()
