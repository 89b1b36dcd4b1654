"""From a run to a verified bundle: ONNX, quantisation, TensorRT. Imported as tgkt_edge.export, and callable."""

from tgkt_edge.callable_package import make_callable

make_callable(__name__)
