"""``tgkt-edge benchmark``: every precision of a bundle on every engine of this machine, in one table."""

ROUNDS = 12
SECONDS = 6.0
"""Defaults of ``--rounds`` and ``--seconds``; the latter of each row, in all its rounds together."""
