"""In the place of NVIDIA's cuda-bindings where there is no GPU."""
