"""What libraries would do unasked, changed before they are imported, mostly by their own environment variables.

ONNX Runtime's wheels for Linux collect telemetry from 1.32 on: importing it writes a device id and an upload queue to
``~/.cache/Microsoft``, and a thread of it looks up a host of its vendor. A device in a private place must do neither.
OpenVINO's package writes an id to ``~/intel`` and looks a host up as soon as it is imported; no variable forbids it, so
:func:`tgkt_edge.optional_deps.import_openvino` does.
DepthAI (from 3.x on) keeps a queue of telemetry in ``~/.cache/depthai`` and looks its vendor's host up as soon as a
pipeline is made, asks for notices, and sends the dump of a crashed camera. Importing it also sets handlers for fatal
signals and for SIGXFSZ, which Python ignores so that a quota on file size is an error with a message: with the handler
it is the end of the process.
librealsense (from 2.59 on) sends statistics of use only where somebody consented, and here not even then. No variable
forbids the report that it writes to ``~/.rum/rum.json``.
OpenMP and OpenCV start a thread on every processor of the machine, whatever part of it a container was given.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from tgkt_edge.system.cpu import cpu_limit

DEFAULTS = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: https://onnxruntime.ai, docs/Privacy.md
    # DepthAI: https://docs.luxonis.com/software-v3/support/faq/telemetry, and the README of depthai-core.
    "DEPTHAI_TELEMETRY": "0",
    "DEPTHAI_DISABLE_FEEDBACK": "1",
    "DEPTHAI_DISABLE_STARTUP_NOTIFICATIONS": "1",
    "DEPTHAI_INSTALL_SIGNAL_HANDLER": "0",
    "RS2_RUM_CLOUD_ENABLED": "0",  # librealsense: src/rum/rum-config.cpp
}
"""Variable -> value where the user has set none. Child processes inherit them."""


THREADS = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
"""Variables that hold how many threads a library starts: PyTorch's and numpy's, and OpenCV's."""


def apply_library_defaults(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set every variable of :data:`DEFAULTS` that is unset or empty; one that the user set keeps its value.

    Those of :data:`THREADS` are set only where affinity or a quota allows fewer processors than the machine has.
    """
    limit = cpu_limit()
    threads = {} if limit is None else dict.fromkeys(THREADS, str(limit))
    for name, value in (DEFAULTS | threads).items():
        if not environment.get(name):
            environment[name] = value
