"""``tgkt-edge export BUNDLE``: an earlier bundle's files, to which precisions are added. Without torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from tgkt_edge.bundle.bundle import MODEL_FILES, RAW_FILES, Bundle
from tgkt_edge.export.task import Begun, Task
from tgkt_edge.export_options import ExportOptions


def begin_from_bundle(path: Path, folder: Path, options: ExportOptions) -> Begun:
    """Copy every file of the bundle at ``path`` into ``folder``, checked, except those that are made again.

    Raises:
        BundleError: (exit 4) a damaged bundle.
    """
    earlier = Bundle.open(path)
    again = {MODEL_FILES[name] for name in options.made} | set(RAW_FILES.values())  # these follow all others
    earlier.model("fp32")
    for name in earlier.files:
        if name not in again:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(earlier.file(name), folder / name)
    task = Task(folder, earlier.classes, earlier.sensor, earlier.size)
    provenance = {name: value for name, value in earlier.provenance.items() if name != "calibration"}
    verification = {
        name: found
        for name, found in earlier.verification.items()
        if MODEL_FILES.get(name) not in again and not name.startswith("raw")
    }
    calibrated = {
        name: about for name, about in earlier.int8_calibration.items() if MODEL_FILES[name] not in again
    }
    return Begun(
        task, options.calibrate, verification, provenance, calibrated, dict(earlier.calibration), earlier.raw
    )
