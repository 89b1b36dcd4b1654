"""One file a verb of the command line. Libraries are imported inside the commands, never at module level."""
