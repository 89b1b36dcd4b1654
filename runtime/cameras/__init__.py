"""Several cameras with names, answered by one engine."""
