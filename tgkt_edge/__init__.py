"""tgkt-edge: adapt an RGB scene classifier to a depth or NIR sensor without labels, export it, run it."""

from tgkt_edge.library_defaults import apply_library_defaults

__version__ = "0.1.0"

apply_library_defaults()  # here, since whatever imports one of these libraries imports this package first
