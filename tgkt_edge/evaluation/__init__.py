"""Accuracy and agreement on frames: of runs, of bundles, of precisions."""

MAX_DROP = 0.01
"""What a precision may lose by default: one point of accuracy."""
