"""How fast this machine is, before anything is trained: so that a person knows what a run will take."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, frozen, normalise
from tgkt_edge.train.nn.unfilled import WithoutRandomWeights
from tgkt_edge.train.time_left import ANSWER_S, in_words


def measure_speed(config: AdaptConfig, compute: Compute) -> float:
    """How often the nominal time (see :mod:`tgkt_edge.train.time_left`) an image through a ResNet-50 takes here.

    Two batches go through a network of the run's size; the second is timed. No random number of the run is used.
    """
    size, batch = config.image_size, min(config.batch, 32)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        with WithoutRandomWeights():  # which take no other time
            network = frozen(compute.place(SceneClassifier(2)))
        x = normalise(torch.rand(batch, 3, size, size).to(compute.device))
        took = 0.0
        for _ in range(2):
            start = time.perf_counter()
            with compute.autocast():
                network(x)
            if compute.device.type == "cuda":
                torch.cuda.synchronize(compute.device)
            took = time.perf_counter() - start
    return took / batch / (ANSWER_S * (size / 224) ** 2)


def expectation(seconds: Mapping[str, float]) -> str:
    """One line for the person who waits, from the seconds of each stage; empty where all is there."""
    if not seconds:
        return ""
    stages = ", ".join(f"{name} {in_words(took)}" for name, took in seconds.items())
    return f"expected: {stages}; {in_words(sum(seconds.values()))} in all"
