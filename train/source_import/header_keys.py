"""Names under which the header of an imported source model holds what is known of it."""

from __future__ import annotations

IMPORT = "import"
"""Under this name the header's ``extra`` says where a source model comes from."""

DIGEST = "digest"
"""And under this one there, of the weights as they were imported."""

LEFT_OUT = "left_out"
"""The names of the classes that no class of the task consists of."""

KEPT = "images"
"""Whose features are kept, of its labelled images, and by what network."""

FITTED = "fitted"
"""What the scale was fitted on."""
