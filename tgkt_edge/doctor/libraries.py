"""Libraries: what is installed, whether it does its work, and which copy hides another."""

from __future__ import annotations

from importlib import metadata, util
from pathlib import Path

from tgkt_edge.doctor.findings import Finding
from tgkt_edge.doctor.probe import TIMEOUT, probe
from tgkt_edge.optional_deps import install_command
from tgkt_edge.trt import library as trt

_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_ORT = ("onnxruntime", "onnxruntime-gpu")

OPENCV_CODE = """
import json, cv2, numpy as np
ok, png = cv2.imencode(".png", np.full((4, 4), 4660, np.uint16))
back = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
print(json.dumps({"version": cv2.__version__, "file": cv2.__file__, "sound": bool(ok and (back == 4660).all()),
                  "gstreamer": bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))}))
"""

ORT_CODE = """
import json, onnxruntime as ort, numpy as np
model = bytes.fromhex("MODEL")
report = {"version": ort.__version__, "file": ort.__file__, "available": ort.get_available_providers(), "works": []}
ort.set_default_logger_severity(4)
one_thread = ort.SessionOptions()
one_thread.intra_op_num_threads = 1
for name in report["available"]:
    if name not in ("CPUExecutionProvider", "CUDAExecutionProvider"):
        continue
    try:
        session = ort.InferenceSession(model, one_thread, providers=[name])
        answer = session.run(None, {"x": np.array([21], np.float32)})[0]
        if session.get_providers()[0] == name and answer[0] == 42:
            report["works"].append(name)
    except Exception as error:
        report.setdefault("errors", []).append(name + ": " + str(error).splitlines()[0])
print(json.dumps(report))
"""


OPENVINO_CODE = """
import json, numpy as np
from tgkt_edge.optional_deps import import_openvino
ov = import_openvino()
model = ov.Core().read_model(bytes.fromhex("MODEL"))
answer = ov.Core().compile_model(model, "CPU")([np.array([21], np.float32)])[0]
print(json.dumps({"version": ov.__version__.partition("-")[0], "works": bool(answer[0] == 42)}))
"""


def _field(number: int, payload: bytes | int) -> bytes:
    """One protobuf field; every length here is below 128."""
    if isinstance(payload, int):
        return bytes([number << 3, payload])
    return bytes([number << 3 | 2, len(payload)]) + payload


def add_model() -> bytes:
    """The ONNX file of y = x + x for one float32: no library is needed to write it."""
    shape = _field(2, _field(1, _field(1, 1)))  # TypeProto.Tensor.shape of one dimension of 1
    kind = _field(2, _field(1, _field(1, 1) + shape))  # ValueInfoProto.type: tensor of FLOAT
    node = _field(1, b"x") + _field(1, b"x") + _field(2, b"y") + _field(4, b"Add")
    graph = _field(1, node) + _field(2, b"add") + _field(11, _field(1, b"x") + kind)
    graph += _field(12, _field(1, b"y") + kind)
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))  # ir_version, graph, opset_import


def installed(names: tuple[str, ...]) -> dict[str, str]:
    """Distribution to version, of those of ``names`` that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def opencv(root: Path = Path("/"), timeout: float = TIMEOUT) -> tuple[list[Finding], bool]:
    """Findings on OpenCV, and whether it works."""
    findings = []
    wheels = installed(_OPENCV)
    if len(wheels) > 1:
        findings.append(
            Finding(
                "opencv",
                "problem",
                f"several OpenCV packages are installed over each other: {_listed(wheels)}; they share their files.",
                f"pip uninstall {' '.join(wheels)}, then install one of them.",
            )
        )
    if util.find_spec("cv2") is None:
        advice = f"{install_command('cpu')}, or make the environment with --system-site-packages on a Jetson."
        return [*findings, Finding("opencv", "problem", "OpenCV is not installed.", advice)], False
    answer = probe(OPENCV_CODE, timeout)
    if answer.error or not answer.value.get("sound"):
        why = answer.error or "changes 16-bit values in a PNG"
        return [*findings, Finding("opencv", "problem", f"OpenCV {why}.", "Install it again.")], False
    seen = answer.value
    text = f"OpenCV {seen['version']} works, {'with' if seen['gstreamer'] else 'without'} GStreamer."
    # On the search path or not: what was imported came first.
    system = [] if seen["gstreamer"] or not wheels else _system_copies(root, "cv2*", Path(seen["file"]))
    if system:
        findings.append(
            Finding(
                "opencv",
                "warning",
                f"{text} It is pip's and hides the system's in {system[0]}: no GStreamer, so no CSI cameras.",
                f"pip uninstall {' '.join(wheels)}, in an environment made with --system-site-packages.",
            )
        )
    else:
        findings.append(Finding("opencv", "ok", text))
    return findings, True


def onnxruntime(timeout: float = TIMEOUT, gpu: bool = False) -> tuple[list[Finding], bool]:
    """Findings on ONNX Runtime, by running one operation, and whether it runs on some device.

    ``gpu``: this machine has an NVIDIA GPU, so an ONNX Runtime without CUDA deserves a word.
    """
    findings = []
    wheels = installed(_ORT)
    if len(wheels) > 1:
        findings.append(
            Finding(
                "onnxruntime",
                "warning",
                f"two packages share the same files: {_listed(wheels)}; the one installed last wins.",
                f"pip uninstall {' '.join(wheels)}, then install one of them.",
            )
        )
    if util.find_spec("onnxruntime") is None:
        advice = f"{install_command('cpu')} or {install_command('gpu')}."
        return [*findings, Finding("onnxruntime", "problem", "ONNX Runtime is not installed.", advice)], False
    answer = probe(ORT_CODE.replace("MODEL", add_model().hex()), timeout)
    if answer.error or not answer.value.get("works"):
        why = answer.error or f"runs no operation: {'; '.join(answer.value.get('errors', []))}"
        return [
            *findings,
            Finding("onnxruntime", "problem", f"ONNX Runtime {why}.", "Install it again."),
        ], False
    works, available = answer.value["works"], answer.value["available"]
    text = f"ONNX Runtime {answer.value['version']} ran an operation with {', '.join(works)}."
    cuda = "CUDAExecutionProvider"
    if cuda in available and cuda not in works:
        advice = "Its CUDA or cuDNN is missing or of another version; until then the CPU does the work."
        findings.append(Finding("onnxruntime", "warning", f"{text} Its CUDA provider does not work.", advice))
    elif gpu and cuda not in works:
        advice = f"{install_command('gpu')} in place of onnxruntime; on a Jetson NVIDIA's own wheel."
        findings.append(Finding("onnxruntime", "warning", f"{text} It leaves the GPU idle.", advice))
    else:
        findings.append(Finding("onnxruntime", "ok", text))
    return findings, True


def openvino(timeout: float = TIMEOUT) -> list[Finding]:
    """Findings on OpenVINO, by running one operation; it is optional, and nothing is said where it is missing."""
    if util.find_spec("openvino") is None:
        return []
    answer = probe(OPENVINO_CODE.replace("MODEL", add_model().hex()), timeout)
    if answer.error or not answer.value.get("works"):
        why = answer.error or "computes wrongly"
        text = f"OpenVINO is installed but {why.rstrip('.')}."
        return [Finding("openvino", "warning", text, "Install it again; until then ONNX Runtime is used.")]
    return [Finding("openvino", "ok", f"OpenVINO {answer.value['version']} ran an operation on the CPU.")]


def tensorrt(root: Path = Path("/"), timeout: float = TIMEOUT) -> list[Finding]:
    """Findings on TensorRT; it is optional."""
    if not trt.installed():
        copies = _system_copies(root, "tensorrt")
        if copies:
            advice = "Make the environment with: python3 -m venv --system-site-packages DIR"
            text = f"TensorRT is installed in {copies[0]}, which this environment does not see."
            return [Finding("tensorrt", "warning", text, advice)]
        return [Finding("tensorrt", "ok", "TensorRT is not installed; ONNX Runtime does not need it.")]
    code = (
        "import json; from tgkt_edge.trt import library as trt; b = trt.Builder(trt.Logger(trt.Logger.ERROR));"
        "print(json.dumps({'v': trt.find().text, 'b': bool(b)}))"
    )
    answer = probe(code, timeout)
    if answer.error:
        text = f"TensorRT is installed but {answer.error}."
        return [Finding("tensorrt", "problem", text, "Does its version fit the driver and CUDA here?")]
    return [Finding("tensorrt", "ok", f"{answer.value['v']} can build plans.")]


def cuda(gpu: bool, timeout: float = TIMEOUT) -> list[Finding]:
    """What TensorRT's plans run through, where there is a GPU and TensorRT."""
    if not gpu or not trt.installed():
        return []
    code = "import json; from tgkt_edge.runtime.engines.cuda import Cuda; Cuda(); print(json.dumps({}))"
    answer = probe(code, timeout)
    if answer.error:
        error = answer.error.removeprefix("tgkt_edge.errors.").rstrip(".")
        return [
            Finding(
                "cuda", "warning", f"TensorRT plans cannot run: {error}.", "ONNX Runtime is used instead."
            )
        ]
    return [Finding("cuda", "ok", "TensorRT plans can run: CUDA works.")]


def training() -> list[Finding]:
    """What of the extras `train` and `export` is there."""
    findings = []
    for extra, names in (
        ("train", ("torch", "torchvision", "scikit-learn", "safetensors", "tensorboard")),
        ("export", ("onnx", "onnxscript")),
    ):
        found = installed(names)
        missing = [name for name in names if name not in found]
        text = f"missing: {', '.join(missing)}." if missing else f"{_listed(found)}."
        advice = f"To {extra} here: {install_command(extra)}." if missing else ""
        findings.append(Finding(extra, "ok", text, advice))
    return findings


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _system_copies(root: Path, pattern: str, imported: Path | None = None) -> list[str]:
    """Where the system's Python keeps a library, as paths below ``root``, except for the folder of ``imported``."""
    places = [
        *root.glob("usr/lib/python3*/dist-packages"),
        *root.glob("usr/local/lib/python3*/dist-packages"),
    ]
    return [
        "/" + str(place.relative_to(root))
        for place in places
        if any(place.glob(pattern)) and (imported is None or place not in imported.parents)
    ]
