"""Accuracy and agreement on frames: of runs, of bundles, of precisions."""
