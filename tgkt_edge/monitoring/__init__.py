"""What frames and predictions looked like at adaptation, and how far a new one is from that."""
