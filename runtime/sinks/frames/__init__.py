"""``frames:DIR``: frames of the field that are worth adapting to, and an honest sample, within a budget."""
