"""Rendered scenes (RGB, depth, NIR) that replace recorded data in `tgkt-edge demo`."""
