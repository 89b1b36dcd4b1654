"""The errors a user can meet, and the exit code of each.

::

    TgktEdgeError            1  something failed at run time
    ├── UsageError           2  a flag, a path or a configuration is wrong
    │   ├── ConfigError      2  an unknown key or a bad value, in YAML or --set
    │   └── DataError        2  a folder, CSV or image the user brought cannot be used
    │       └── FrameError   2  one frame contradicts its SensorSpec
    ├── GateError            3  verification or an accuracy gate failed
    ├── IncompatibleError    4  an artefact cannot be used here
    │   ├── CheckpointError  4  a checkpoint is damaged or of another task
    │   └── BundleError      4  a bundle or an engine is damaged or of another version
    ├── SourceLostError      5  a camera or recording is lost, or its frames do not fit
    └── MissingDependency    6  a library is not installed; names the extra that installs it

Every message says what was found, what was expected and what to do. 130 is an interrupt (Ctrl-C).
"""

from __future__ import annotations

EXIT_INTERRUPTED = 130


class TgktEdgeError(Exception):
    """Base of all errors that the command line reports without a traceback."""

    exit_code = 1


class UsageError(TgktEdgeError):
    """A flag, a path or a combination of them is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration holds an unknown key or a bad value."""


class DataError(UsageError):
    """A folder, a CSV or an image that the user brought cannot be used."""


class FrameError(DataError):
    """One raw frame contradicts its SensorSpec, or holds no valid pixel."""


class GateError(TgktEdgeError):
    """Verification against the reference, or an accuracy gate, failed."""

    exit_code = 3


class IncompatibleError(TgktEdgeError):
    """An artefact (checkpoint, bundle, engine) cannot be used here."""

    exit_code = 4


class CheckpointError(IncompatibleError):
    """A checkpoint is truncated, altered, or belongs to another task."""


class BundleError(IncompatibleError):
    """A bundle is truncated, altered, or of a version this program cannot read."""


class SourceLostError(TgktEdgeError):
    """A frame source could not be opened, was lost, or delivers frames that do not fit."""

    exit_code = 5


class MissingDependency(TgktEdgeError):
    """A library that this command needs is not installed."""

    exit_code = 6
