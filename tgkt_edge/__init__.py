"""tgkt-edge: adapt an RGB scene classifier to a depth or NIR sensor without labels, export it, run it."""

__version__ = "0.1.0"
