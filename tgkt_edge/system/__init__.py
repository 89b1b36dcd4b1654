"""The machine: its GPU, clocks, temperatures and power mode."""
