"""See :mod:`cuda.bindings.runtime` of this folder."""
