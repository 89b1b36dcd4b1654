"""Rendered scenes (RGB, depth, NIR) that replace recorded data in `tgkt-edge demo`."""

from tgkt_edge.callable_package import make_callable

make_callable(__name__)
