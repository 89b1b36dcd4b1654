"""Decoded images in files that are mapped into memory: written once, verified, shared by runs, ranks and seeds."""
