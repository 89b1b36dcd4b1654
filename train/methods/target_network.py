"""The target network F_t before its first step, which TGKT, SHOT and SOCKET have in common."""

from __future__ import annotations

import copy
from typing import Literal

from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.nn.predict import reestimate_batch_norm


def start_target_network(
    source: Classifier,
    target: Store,
    norm: Literal["source", "target"],
    config: AdaptConfig,
    compute: Compute,
) -> Classifier:
    """C(F_t(.)) with F_t a copy of F_s that is to learn, and C frozen.

    Args:
        source: C(F_s(.)), left as it is.
        norm: the batch-norm statistics it starts with: the source's, or those of the ``target`` frames.
    """
    student = compute.learner(copy.deepcopy(source).requires_grad_(True), config.accumulate)
    student.classifier.requires_grad_(False)
    if norm == "target":
        reestimate_batch_norm(student, target, config.image_size, config.batch, compute)
    return student
