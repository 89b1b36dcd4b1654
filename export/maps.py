"""Evidence by place in a graph that is not folded: its output ``maps``; see :mod:`tgkt_edge.train.nn.maps`.

A temperature of the bundle divides logits when probabilities are made of them; it divides neither logits nor maps.
"""

from __future__ import annotations

from torch import Tensor, nn

from tgkt_edge.train.nn.maps import LastPooling, PooledHead, class_layer
from tgkt_edge.train.nn.model import Classifier, normalise


class Unfolded(nn.Module):
    """The network as it is, with maps: ``frame`` (N, 1, S, S) -> logits (N, K), probabilities (N, K), maps.

    Args:
        model: as :class:`tgkt_edge.export.graph.Deployed` holds it.
        head: what :func:`tgkt_edge.train.nn.maps.pooled_head` made of it.
    """

    def __init__(self, model: Classifier, head: PooledHead) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.linear, self.merging = class_layer(model)

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        with LastPooling() as pooling:
            features = self.model.features(normalise(frame))
        logits = self.linear(features)
        maps = self.head(pooling)
        if self.merging is not None:
            maps = self.merging.merge_maps(logits, maps)
            logits = self.merging.merge(logits)
        return logits, logits.softmax(1), maps
