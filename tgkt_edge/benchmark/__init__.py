"""``tgkt-edge benchmark``: every precision of a bundle on every engine of this machine, in one table."""

from tgkt_edge.callable_package import make_callable

ROUNDS = 12
SECONDS = 6.0
"""Defaults of ``--rounds`` and ``--seconds``; the latter of each row, in all its rounds together."""

make_callable(__name__)
