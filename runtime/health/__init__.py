"""Whether the sensor is well, sees what the network was adapted to, and the service manager knows it."""
