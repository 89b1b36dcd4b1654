"""tgkt-edge: adapt an RGB scene classifier to a depth or NIR sensor without labels, export it, run it.

The functions below are what the command line calls, with the same names and arguments. Nothing heavy is imported before
one of them is used, and :func:`load` never needs PyTorch.

::

    import tgkt_edge

    with tgkt_edge.load("bundle") as model:
        decision = model(frame)  # (H, W) raw counts, as the sensor gives them
        print(decision.label, decision.probability, decision.health, decision.ms["total"])
        for decision in model.stream("realsense://"):
            print(decision.label, decision.top)

They raise the errors of :mod:`tgkt_edge.errors`. Names and arguments change only as semantic versioning says.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tgkt_edge.library_defaults import apply_library_defaults

__version__ = "0.1.0"

apply_library_defaults()  # here, since whatever imports one of these libraries imports this package first

if TYPE_CHECKING:
    from tgkt_edge.api.adapt import adapt
    from tgkt_edge.api.audit import audit
    from tgkt_edge.api.benchmark import benchmark
    from tgkt_edge.api.demo import demo
    from tgkt_edge.api.doctor import doctor
    from tgkt_edge.api.export import export
    from tgkt_edge.api.import_source import import_source
    from tgkt_edge.api.run import run
    from tgkt_edge.bundle.inspect_bundle import inspect
    from tgkt_edge.bundle.keys import generate_key
    from tgkt_edge.bundle.signature import sign_bundle, verify_signature
    from tgkt_edge.data.check.check import check_data
    from tgkt_edge.data.check.measure_range import measure_range
    from tgkt_edge.data.public.prepare import prepare
    from tgkt_edge.errors import TgktEdgeError
    from tgkt_edge.evaluation.compare import compare
    from tgkt_edge.evaluation.evaluate import evaluate
    from tgkt_edge.evaluation.verify import verify
    from tgkt_edge.runtime.events import Event
    from tgkt_edge.runtime.model import Model, load
    from tgkt_edge.runtime.predict.predict import predict
    from tgkt_edge.runtime.recorder.import_data import import_data
    from tgkt_edge.runtime.recorder.record import record
    from tgkt_edge.runtime.records import BadFrame, Decision
    from tgkt_edge.sensor import SensorSpec, load_sensor
    from tgkt_edge.train.source_import.options import ImportOptions

__all__ = [
    "BadFrame",
    "Decision",
    "Event",
    "ImportOptions",
    "Model",
    "SensorSpec",
    "TgktEdgeError",
    "__version__",
    "adapt",
    "audit",
    "benchmark",
    "check_data",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "generate_key",
    "import_data",
    "import_source",
    "inspect",
    "load",
    "load_sensor",
    "measure_range",
    "predict",
    "prepare",
    "record",
    "run",
    "sign_bundle",
    "verify",
    "verify_signature",
]

_HOMES = {
    "BadFrame": "tgkt_edge.runtime.records",
    "Decision": "tgkt_edge.runtime.records",
    "Event": "tgkt_edge.runtime.events",
    "ImportOptions": "tgkt_edge.train.source_import.options",
    "Model": "tgkt_edge.runtime.model",
    "SensorSpec": "tgkt_edge.sensor",
    "TgktEdgeError": "tgkt_edge.errors",
    "adapt": "tgkt_edge.api.adapt",
    "audit": "tgkt_edge.api.audit",
    "check_data": "tgkt_edge.data.check.check",
    "compare": "tgkt_edge.evaluation.compare",
    "evaluate": "tgkt_edge.evaluation.evaluate",
    "generate_key": "tgkt_edge.bundle.keys",
    "import_data": "tgkt_edge.runtime.recorder.import_data",
    "import_source": "tgkt_edge.api.import_source",
    "inspect": "tgkt_edge.bundle.inspect_bundle",
    "load": "tgkt_edge.runtime.model",
    "load_sensor": "tgkt_edge.sensor",
    "measure_range": "tgkt_edge.data.check.measure_range",
    "predict": "tgkt_edge.runtime.predict.predict",
    "prepare": "tgkt_edge.data.public.prepare",
    "record": "tgkt_edge.runtime.recorder.record",
    "run": "tgkt_edge.api.run",
    "sign_bundle": "tgkt_edge.bundle.signature",
    "verify": "tgkt_edge.evaluation.verify",
    "verify_signature": "tgkt_edge.bundle.signature",
}

_CALLABLE_PACKAGES = ("benchmark", "demo", "doctor", "export")
"""Names of a package and of a function, which is in ``tgkt_edge.api``: see :mod:`tgkt_edge.callable_package`."""


if not TYPE_CHECKING:  # for a type checker all names stand above, and any other is an error

    def __getattr__(name: str) -> Any:
        """Import a function when it is first asked for."""
        if name in _CALLABLE_PACKAGES:
            return import_module(f"tgkt_edge.{name}")
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'tgkt_edge' has no attribute '{name}'")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
