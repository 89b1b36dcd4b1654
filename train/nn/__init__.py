"""Networks, checkpoints, pretrained weights, and where they compute."""
