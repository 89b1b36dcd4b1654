"""The folder that a training run writes."""
