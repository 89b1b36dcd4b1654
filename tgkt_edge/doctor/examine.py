"""All checks in one list."""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.doctor import libraries, machine
from tgkt_edge.doctor.findings import Finding
from tgkt_edge.doctor.probe import TIMEOUT


def examine(root: Path = Path("/"), timeout: float = TIMEOUT) -> tuple[list[Finding], bool]:
    """Every finding, and whether ``tgkt-edge run`` works here: OpenCV and ONNX Runtime do.

    Args:
        root: where the system's files lie.
        timeout: seconds for each check that runs in a process of its own.
    """
    seen, sees = libraries.opencv(root, timeout)
    gpu = machine.has_gpu(root)
    ran, runs = libraries.onnxruntime(timeout, gpu)
    ran += libraries.openvino(timeout)
    plans = [*libraries.tensorrt(root, timeout), *libraries.cuda(gpu, timeout)]
    findings = [*machine.system(root), *seen, *ran, *plans, *libraries.training()]
    findings += machine.cameras(timeout=timeout)
    return [finding.scrubbed() for finding in findings], sees and runs
