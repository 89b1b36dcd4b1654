"""Records, summaries and metrics of a run, and how they reach sinks and stdout."""
