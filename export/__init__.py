"""From a run to a verified bundle: ONNX, quantisation, TensorRT. Imported as tgkt_edge.export."""
