"""Inference engines behind one interface, and which of them a machine uses."""
