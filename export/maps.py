"""Evidence by place in a graph that is not folded: its output ``maps``; see :mod:`tgkt_edge.train.nn.maps`.

A temperature of the bundle divides logits when probabilities are made of them; it divides neither logits nor maps.
"""

from __future__ import annotations

from torch import Tensor, nn

from tgkt_edge.train.nn.maps import LastPooling, PlaceHead, class_layer, on_pooled
from tgkt_edge.train.nn.model import Classifier, normalise


class Unfolded(nn.Module):
    """The network as it is, with maps: ``frame`` (N, 1, S, S) -> logits (N, K), probabilities (N, K), maps.

    Args:
        model: as :class:`tgkt_edge.export.graph.Deployed` holds it; one that
            :func:`tgkt_edge.train.nn.maps.mean_of_last_map` is true of.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model
        self.linear, self.merging = class_layer(model)
        self.places = PlaceHead(on_pooled(model), [self.linear.in_features])

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        with LastPooling() as pooling:
            features = self.model.features(normalise(frame))
        assert pooling.before is not None
        logits = self.linear(features)
        maps = self.places([pooling.before], [None])
        if self.merging is not None:
            maps = self.merging.merge_maps(logits, maps)
            logits = self.merging.merge(logits)
        return logits, logits.softmax(1), maps
