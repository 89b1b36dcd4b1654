"""The data a user brings: which files there are, and what they hold."""
