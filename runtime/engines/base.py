"""What an engine is: preprocessed frames in, logits and probabilities out. Numpy only."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Answer = tuple[NDArray[np.float32], NDArray[np.float32]]
"""logits (N, K) and probabilities (N, K), float32."""


MapsAnswer = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""logits (N, K), probabilities (N, K) and maps (N, K, h, w), float32."""

Grid = tuple[int, int]
"""Rows and columns of maps."""


class Engine(Protocol):
    """What the pipeline needs of a back-end."""

    @property
    def name(self) -> str:
        """Library and device, for people: "onnxruntime, CPU"."""

    @property
    def lanes(self) -> int:
        """How many calls of :meth:`infer` are worth making at once. More than 1: each takes one core, not all."""

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        """Classify a batch. Any thread may call; answers do not depend on what others ask meanwhile.

        Args:
            batch: (N, 1, S, S) float32 in [0, 1], N >= 1, as :func:`tgkt_edge.preprocess.preprocess` makes it.

        Returns:
            logits (N, K) and probabilities (N, K), float32, in the order of the bundle's classes.

        Raises:
            ValueError: another dtype or shape, or the engine is closed.
            TgktEdgeError: (exit 1) the back-end failed.
        """

    def close(self) -> None:
        """Free the model. Closing twice is harmless."""


class MapsEngine(Engine, Protocol):
    """An engine of graphs that may have the output ``maps``: each class's evidence by place."""

    @property
    def grid(self) -> Grid | None:
        """Rows and columns of its maps; None: its graph has none."""

    def infer_maps(self, batch: NDArray[np.float32]) -> MapsAnswer:
        """As :meth:`infer`, with the maps, which take no time where they are not asked for.

        Returns:
            logits, probabilities, and maps (N, K, h, w) float32, whose mean over h and w is the logits.

        Raises:
            ValueError: also where the graph has no maps.
        """


def on_cpu(engine: Engine) -> bool:
    """Whether the processors that decode frames are also those that infer, as its name says."""
    return "CPU" in engine.name


def with_maps(engine: Engine) -> MapsEngine | None:
    """The engine, if it gives maps."""
    return engine if getattr(engine, "grid", None) is not None else None  # type: ignore[return-value]


def grid_of(engine: Engine) -> Grid | None:
    """Rows and columns of the engine's maps; None: it gives none."""
    grid: Grid | None = getattr(engine, "grid", None)
    return grid


def no_maps(path: object) -> ValueError:
    """The error of an engine that has no maps, when maps are requested."""
    return ValueError(f"{path} has no output maps: export the run again with this tgkt-edge and `maps=True`")


def check_batch(batch: NDArray[Any], size: int) -> None:
    """Raise ValueError unless ``batch`` is (N, 1, size, size) float32 with N >= 1."""
    if not isinstance(batch, np.ndarray) or batch.dtype != np.float32:
        found = getattr(batch, "dtype", type(batch).__name__)
        raise ValueError(f"batch of {found}: expected float32 in [0, 1], as preprocess() returns it")
    if batch.ndim != 4 or batch.shape[1:] != (1, size, size) or batch.shape[0] < 1:
        raise ValueError(f"batch of shape {batch.shape}: expected (N, 1, {size}, {size}) with N >= 1")
