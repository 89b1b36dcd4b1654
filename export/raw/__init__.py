"""``model.raw.onnx``: raw counts of the sensor in, with all of preprocessing inside the graph."""
