"""Accuracy from a few frames that a person labels."""
