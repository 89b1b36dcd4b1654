"""Building TensorRT plans from a bundle's ONNX files, over TensorRT 10.3 to 11 and TensorRT-RTX. Needs no torch.

``flavours`` holds what differs between the libraries; ``build`` makes a plan in memory, ``write`` puts it in a bundle.
"""
