"""The model bundle, its TensorRT engines, and what they report of themselves."""
