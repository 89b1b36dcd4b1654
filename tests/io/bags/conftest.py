"""A maker of each kind of recording."""

from __future__ import annotations

import pytest

from tests.support.bags import KINDS, BagMaker


@pytest.fixture(params=KINDS)
def maker(request: pytest.FixtureRequest) -> BagMaker:
    return BagMaker(request.param)
