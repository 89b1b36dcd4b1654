"""``tgkt-edge doctor``: what is installed and usable here, what hides what, and what to do about it."""
