"""Where decisions go. One file a kind of sink."""
