"""What to do about frames of another dtype than the SensorSpec's."""

from __future__ import annotations

from typing import Any

import numpy as np

from tgkt_edge.sensor.quantities import DTYPES

KNOWN: dict[str, tuple[str, np.dtype[Any]]] = {}
"""Kind and dtype of every preset, by its name; the module of the presets fills it."""


def dtype_advice(found: np.dtype[Any], kind: str, expected: np.dtype[Any]) -> str:
    """What to do about frames of dtype ``found`` where a sensor of ``kind`` has the dtype ``expected``."""
    if found.kind == "f" and found.name not in DTYPES:
        return (
            f"Floating-point numbers of {8 * found.itemsize} bits are not read. Write them with 32, in Python: "
            f"numpy.save('f.npy', values.astype('float32')), and give `sensor` a SensorSpec of dtype float32."
        )
    if found.kind == "f":
        if expected.kind == "f":
            return f"Write 'dtype: {found}' in the SensorSpec, or save all frames as {expected}."
        unit = {"depth": "unit_m: 1 for metres, 0.001 for millimetres", "thermal": "unit_k and offset_k"}
        more = unit.get(kind, "black and white in their unit")
        return f"{_fitting(found, kind)} A YAML file says dtype: {found}, and {more}."
    if found == np.uint8 and expected == np.uint16:
        advice = "If the camera has 16 bits, 8 were lost on the way: record raw 16-bit frames (PNG or FFV1 gray16le). "
    elif found in (np.dtype(np.int16), np.dtype(np.int32), np.dtype(np.uint32)):
        return "Write them as 16-bit PNG without a sign, in Python: cv2.imwrite('f.png', values.astype('uint16'))."
    elif expected.kind == "f":
        advice = "They are whole counts, and their unit is not the SensorSpec's: say what a count is. "
    else:
        advice = ""
    return f"{advice}{_fitting(found, kind)}"


def _fitting(found: np.dtype[Any], kind: str) -> str:
    """The presets for frames of this dtype, those of the sensor's kind first."""
    names = [name for name, (_, dtype) in KNOWN.items() if dtype == found]
    names.sort(key=lambda name: KNOWN[name][0] != kind)
    if not names:
        return "Choose the SensorSpec that matches the camera (`sensor`)."
    listed = ", ".join(f"{name} ({KNOWN[name][0]})" for name in names)
    return f"For {found} frames: `sensor` with {listed}, or a YAML file; 'tgkt-edge data presets' shows what they mean."
