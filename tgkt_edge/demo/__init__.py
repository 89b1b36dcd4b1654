"""Rendered scenes (RGB, depth, NIR) that stand in for recorded data in `tgkt-edge demo`."""
