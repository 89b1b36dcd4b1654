"""``tgkt-edge doctor``: what is installed and usable here, what hides what, and what to do about it."""

from tgkt_edge.callable_package import make_callable

make_callable(__name__)
