"""Going on from a network that was shipped, with new frames of its sensor."""
