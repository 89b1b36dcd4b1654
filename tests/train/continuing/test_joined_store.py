"""New and old frames as one set."""

from __future__ import annotations

import numpy as np
import torch

from tgkt_edge.train.batches import JoinedStore, Store, random_views

CPU = torch.device("cpu")


def stores() -> tuple[JoinedStore, Store]:
    codes = np.random.default_rng(0).integers(0, 65536, (9, 20, 20), dtype=np.uint16)
    return JoinedStore([Store(part, CPU) for part in (codes[:4], codes[4:5], codes[5:])]), Store(codes, CPU)


def test_views_are_those_of_one_store() -> None:
    joined, whole = stores()
    assert len(joined) == 9
    assert (joined.side, joined.channels) == (20, 1)
    rng = np.random.default_rng(1)
    views = random_views(rng, rng.permutation(9), 20, 16)
    torch.testing.assert_close(joined.take(views, 16), whole.take(views, 16), rtol=0, atol=0)


def test_a_digest_names_the_pixels_wherever_they_lie() -> None:
    joined, whole = stores()
    assert joined.digest(0, 4) == whole.digest(0, 4)
    assert joined.digest(6, 8) == whole.digest(6, 8)
    across = {joined.digest(start, stop) for start in range(4) for stop in range(5, 10)}
    assert len(across) == 4 * 5


def test_the_same_parts_are_the_same() -> None:
    joined, whole = stores()
    assert joined.same(stores()[0])
    assert not joined.same(whole)
    assert not joined.same(JoinedStore(joined.parts[:2]))
