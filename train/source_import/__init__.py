"""People's own RGB classifiers as the source model."""
