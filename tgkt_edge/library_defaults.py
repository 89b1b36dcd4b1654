"""What libraries would do unasked, switched off through their own environment variables before they are imported.

ONNX Runtime's wheels for Linux collect telemetry from 1.32 on: importing it writes a device id and an upload queue to
``~/.cache/Microsoft``, and a thread of it looks up a host of its vendor. A device in a private place must do neither.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

DEFAULTS = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime: https://onnxruntime.ai, docs/Privacy.md
}
"""Variable -> value where the user has set none. Child processes inherit them."""


def apply_library_defaults(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set every variable of :data:`DEFAULTS` that is unset or empty; one that the user set keeps its value."""
    for name, value in DEFAULTS.items():
        if not environment.get(name):
            environment[name] = value
